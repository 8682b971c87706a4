"""Grids in a spec's own convention."""

import pytest
import torch
from torch.testing import assert_close

from inrgen.core.grid import grid_coords
from inrgen.core.spec import InrSpec

PLANE = InrSpec(widths=(2, 4, 1), omega=(30.0,))


def test_the_longest_side_spans_the_range_and_pixels_are_square():
    points = grid_coords(PLANE, (3, 5)).reshape(3, 5, 2)
    assert_close(points[0, :, 0], torch.linspace(-1, 1, 5))  # xy: columns first
    assert_close(points[:, 0, 1], torch.tensor([-0.5, 0.0, 0.5]))
    ij = InrSpec(widths=(2, 4, 1), omega=(30.0,), coord_order="ij")
    assert torch.equal(grid_coords(ij, (3, 5)), points.flip(-1).reshape(15, 2))
    wide = InrSpec(widths=(2, 4, 1), omega=(30.0,), coord_range=(0.0, 1.0), coord_center=(0.5, 0.5))
    square = grid_coords(wide, (4, 4))
    assert_close(square.amin(0), torch.zeros(2))
    assert_close(square.amax(0), torch.ones(2))


def test_other_dimensions():
    solid = InrSpec(
        widths=(3, 4, 1), omega=(30.0,), coord_order="xyz", coord_center=(0.0, 0.0, 0.0)
    )
    points = grid_coords(solid, (2, 3, 4), torch.float64)
    assert points.shape == (24, 3)
    assert points.dtype == torch.float64
    assert_close(points.mean(0), torch.zeros(3, dtype=torch.float64))
    line = InrSpec(widths=(1, 4, 1), omega=(30.0,), coord_order="x", coord_center=(0.0,))
    assert grid_coords(line, (1,)).tolist() == [[0.0]]
    with pytest.raises(ValueError, match="shape needs 3 positive sides"):
        grid_coords(solid, (2, 2))
    with pytest.raises(ValueError, match="shape needs 1 positive sides"):
        grid_coords(line, (0,))
