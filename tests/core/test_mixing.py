"""Weights and labels mix in one proportion, and noise has the stated size."""

import pytest
import torch
from torch.testing import assert_close

from inrgen.core import mixing, rng
from inrgen.core.params import Params, select
from inrgen.core.spec import InrSpec

SPEC = InrSpec(widths=(2, 8, 8, 1), omega=(30.0, 30.0))
NOISY = InrSpec(widths=(2, 16, 16, 1), omega=(30.0, 30.0))


def test_a_mixture_lies_on_the_line_between(make_params):
    a, b = make_params(SPEC, seed=0), make_params(SPEC, seed=1)
    lam = torch.tensor([0.0, 0.25, 1.0], dtype=torch.float64)
    mixed = mixing.mix(a, b, lam)
    assert_close(mixed.flat(), lam[:, None] * a.flat() + (1 - lam)[:, None] * b.flat())
    assert torch.equal(mixed.flat()[2], a.flat()[2])
    assert torch.equal(mixed.flat()[0], b.flat()[0])
    assert_close(mixing.mix(b, a, 1 - lam).flat(), mixed.flat())
    assert_close(mixing.mix(a, a, lam).flat(), a.flat())


def test_labels_stay_distributions():
    first = mixing.one_hot(torch.tensor([0, 1, 2]), 4)
    second = mixing.one_hot(torch.tensor([3, 1, 0]), 4)
    lam = torch.tensor([0.25, 0.5, 1.0])
    mixed = mixing.mix_labels(first, second, lam)
    assert_close(mixed, torch.tensor([[0.25, 0, 0, 0.75], [0, 1, 0, 0], [0, 0, 1, 0]]))
    with pytest.raises(ValueError, match="labels must lie in"):
        mixing.one_hot(torch.tensor([-1, 2]), 3)


def test_select_takes_whole_inrs(make_params):
    a, b = make_params(SPEC, seed=0), make_params(SPEC, seed=1)
    picked = select(torch.tensor([True, False, True]), a, b).flat()
    assert torch.equal(picked, torch.stack([a.flat()[0], b.flat()[1], a.flat()[2]]))


def normal(num: int) -> Params:
    keys = rng.keys(0, "noise", torch.arange(num))
    return Params.from_flat(NOISY, rng.normal(keys, (NOISY.num_params,), torch.float64))


def test_noise_is_measured_by_each_tensor_of_each_inr(make_params):
    params = make_params(NOISY, num=50)
    params = params.map(lambda t: t * torch.linspace(1, 5, 50).reshape(-1, *[1] * (t.ndim - 1)))
    noisy = mixing.add_noise(params, normal(50), 0.32)
    for before, after, drawn in zip(params.weights, noisy.weights, normal(50).weights, strict=True):
        std = before.flatten(1).std(dim=1)[:, None, None]
        assert_close(after - before, 0.32 * std * drawn)
    assert torch.equal(noisy.biases[-1], params.biases[-1]), "a tensor of one element has no std"
    assert mixing.add_noise(params, normal(50), 0.0).flat().equal(params.flat())


def test_noise_trains_through_constant_tensors(make_params):
    leaf = make_params(NOISY).flat().requires_grad_()
    zeroed = Params.from_flat(NOISY, leaf).map(lambda t: t * 0 if t.ndim == 2 else t)
    mixing.add_noise(zeroed, normal(3), 0.3).flat().sum().backward()
    assert leaf.grad is not None
    assert bool(leaf.grad.isfinite().all())


def test_dropped_entries_are_zero_and_survivors_rescaled(make_params):
    params = make_params(NOISY)
    keep = tuple(
        t > 0 for pair in zip(normal(3).weights, normal(3).biases, strict=True) for t in pair
    )
    for rescale in (1.0, 1.0 / 0.9):
        dropped = mixing.drop(params, keep, rescale)
        assert_close(dropped.weights[1], params.weights[1] * keep[2] * rescale)
        assert_close(dropped.biases[1], params.biases[1] * keep[3] * rescale)
    with pytest.raises(ValueError, match="keep needs 6 tensors; got 1"):
        mixing.drop(params, keep[:1], 1.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_quantile_is_pooled_over_each_inr(dtype, make_params):
    params = make_params(NOISY, num=20, dtype=dtype)
    share = rng.uniform(rng.keys(3, "q", torch.arange(20)), dtype=dtype)
    share[0], share[1] = 0.0, 1.0
    dropped = mixing.drop_below_quantile(params, share).flat()
    for row, q in enumerate(share):
        sizes = params.flat()[row].abs()
        small = sizes < torch.quantile(sizes, q)
        assert torch.equal(dropped[row], params.flat()[row].masked_fill(small, 0.0))
