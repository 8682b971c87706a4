"""What is drawn halfway between two INRs is what lies halfway, as they are and aligned."""

import numpy as np
import pytest
import torch

from inrgen.core import rng, symmetry
from inrgen.core.config import InitConfig
from inrgen.core.siren import initialise
from inrgen.core.spec import InrSpec
from inrgen.figures.midpoints import MidpointColumn, midpoint_pictures, midpoints_figure

SPEC = InrSpec(widths=(2, 16, 16, 1), omega=(30.0, 30.0), output_offset=0.5)


@pytest.fixture
def views():
    """Networks, and the same ones with their units in another order and some of them negated."""
    keys = rng.keys(0, "views", torch.arange(3))
    first = initialise(SPEC, InitConfig(), keys)
    second = symmetry.permute(first, symmetry.random_permutations(SPEC, keys))
    signs = [1 - 2 * rng.integers(rng.fold(keys, layer), (16,), 0, 2) for layer in range(2)]
    return first, symmetry.negate(second, signs)


def test_halfway_is_the_picture_again_once_the_symmetry_is_taken_out(views):
    found = midpoint_pictures(SPEC, *views, (6, 5), ("permutation", "signed"))
    names = ["one view", "another view", "halfway", "halfway,\npermutation", "halfway,\nsigned"]
    assert list(found) == names
    one, other, raw, permuted, signed = found.values()
    assert one.shape == (3, 6, 5, 1)
    np.testing.assert_allclose(other, one, atol=1e-4)
    np.testing.assert_allclose(signed, one, atol=1e-4)
    assert abs(raw - one).max() > 0.01
    assert abs(permuted - one).max() > 0.01


def test_each_pair_is_a_column_of_the_figure(views):
    found = midpoint_pictures(SPEC, *views, (6, 5), ("signed",))
    columns = [
        MidpointColumn(title=str(i), pictures={name: found[name][i] for name in found})
        for i in range(3)
    ]
    figure = midpoints_figure(columns, "a heading")
    assert len(figure.axes) == 3 * 4
    assert [axes.get_title() for axes in figure.axes[:3]] == ["0", "1", "2"]
    shown = figure.axes[4].get_images()[0].get_array()
    np.testing.assert_array_equal(shown, np.clip(found["another view"][1, :, :, 0], 0, 1))
    with pytest.raises(ValueError, match="at least one pair"):
        midpoints_figure([])
