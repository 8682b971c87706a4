"""Weights and labels mix in one proportion."""

import pytest
import torch
from torch.testing import assert_close

from inrgen.core import mixing
from inrgen.core.siren import evaluate
from inrgen.core.spec import InrSpec

SPEC = InrSpec(widths=(2, 8, 8, 1), omega=(30.0, 30.0))


def test_a_mixture_lies_on_the_line_between(make_params, make_coords):
    a, b = make_params(SPEC, seed=0), make_params(SPEC, seed=1)
    lam = torch.tensor([0.0, 0.25, 1.0], dtype=torch.float64)
    mixed = mixing.mix(a, b, lam)
    assert_close(mixed.flat(), lam[:, None] * a.flat() + (1 - lam)[:, None] * b.flat())
    assert torch.equal(mixed.flat()[2], a.flat()[2])
    assert torch.equal(mixed.flat()[0], b.flat()[0])
    assert_close(mixing.mix(b, a, 1 - lam).flat(), mixed.flat())
    assert_close(mixing.mix(a, a, lam).flat(), a.flat())
    coords = make_coords(SPEC)
    assert_close(mixing.midpoint_error(SPEC, a, a, coords), torch.zeros(3, dtype=torch.float64))
    halfway = evaluate(SPEC, mixing.mix(a, b, torch.full((3,), 0.5)), coords)
    mean = (evaluate(SPEC, a, coords) + evaluate(SPEC, b, coords)) / 2
    rms = (halfway - mean).square().mean((1, 2)).sqrt()
    assert_close(mixing.midpoint_error(SPEC, a, b, coords), rms)


def test_labels_stay_distributions():
    first = mixing.one_hot(torch.tensor([0, 1, 2]), 4)
    second = mixing.one_hot(torch.tensor([3, 1, 0]), 4)
    lam = torch.tensor([0.25, 0.5, 1.0])
    mixed = mixing.mix_labels(first, second, lam)
    assert_close(mixed, torch.tensor([[0.25, 0, 0, 0.75], [0, 1, 0, 0], [0, 0, 1, 0]]))
    smooth = mixing.smooth_labels(mixed, 0.1)
    assert_close(smooth, 0.9 * mixed + 0.025)
    assert_close(smooth.sum(1), torch.ones(3))
    with pytest.raises(ValueError, match="labels must lie in"):
        mixing.one_hot(torch.tensor([-1, 2]), 3)
    with pytest.raises(ValueError, match="strength"):
        mixing.smooth_labels(mixed, 1.5)


def test_select_takes_whole_inrs(make_params):
    a, b = make_params(SPEC, seed=0), make_params(SPEC, seed=1)
    picked = mixing.select(torch.tensor([True, False, True]), a, b).flat()
    assert torch.equal(picked, torch.stack([a.flat()[0], b.flat()[1], a.flat()[2]]))
