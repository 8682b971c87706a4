"""Draws depend on names, not on batches, order or devices."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from inrgen.core import rng

ITEMS = rng.hash_items(f"train/{i:05d}" for i in range(4000))
PINNED_KEYS = [6896870531736059493, -8201500904943600279]
PINNED_BITS = [-3721461500127506499, -9207763350606933180]
PINNED_UNIFORM = 0.7982591390609741


def test_names_and_draws_are_pinned():
    """A stored data set names its randomness, so these numbers may never change."""
    keys = rng.keys(7, "init", rng.hash_items(["train/00000", "cow.obj"]), 3, 2)
    assert keys.tolist() == PINNED_KEYS
    assert rng.bits(keys, 2)[0].tolist() == PINNED_BITS
    assert_close(rng.uniform(keys)[0], torch.tensor(PINNED_UNIFORM), rtol=0, atol=0)


def test_every_part_of_a_name_counts():
    base = rng.keys(0, "a", ITEMS, 0, 0)
    for other in (
        rng.keys(1, "a", ITEMS, 0, 0),
        rng.keys(0, "b", ITEMS, 0, 0),
        rng.keys(0, "a", ITEMS, 1, 0),
        rng.keys(0, "a", ITEMS, 0, 1),
        rng.fold(base, 0),
    ):
        assert not bool(torch.isin(other, base).any())
    assert len(base.unique()) == len(ITEMS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_draw_does_not_see_its_batch(dtype):
    keys = rng.keys(0, "draw", ITEMS)
    rows = torch.tensor([3999, 5, 17])
    for draw in (
        lambda k: rng.uniform(k, (3, 5), dtype=dtype),
        lambda k: rng.normal(k, (7,), dtype=dtype),
        lambda k: rng.integers(k, (4,), -3, 9),
        lambda k: rng.bits(k, 6),
    ):
        whole = draw(keys)
        assert torch.equal(draw(keys[rows]), whole[rows])
        assert torch.equal(draw(keys[:1])[0], whole[0])
    assert torch.equal(rng.bits(keys, 2, start=4), rng.bits(keys, 6)[:, 4:])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_draws_have_their_distribution(dtype):
    keys = rng.keys(0, "moments", ITEMS)
    unit = rng.uniform(keys, (50,), dtype=dtype).double()
    normal = rng.normal(keys, (50,), dtype=dtype).double()
    count = unit.numel()
    assert abs(float(unit.mean()) - 0.5) < 5 / math.sqrt(12 * count)
    assert abs(float(unit.var()) - 1 / 12) < 0.001
    assert abs(float(normal.mean())) < 5 / math.sqrt(count)
    assert abs(float(normal.var()) - 1) < 0.02
    assert abs(float(normal.pow(4).mean()) - 3) < 0.1
    assert bool(normal.isfinite().all())
    # Neighbouring positions and neighbouring items are uncorrelated.
    centred = unit - 0.5
    for a, b in ((centred[:, 1:], centred[:, :-1]), (centred[1:], centred[:-1])):
        assert abs(float((a * b).mean()) * 12) < 5 / math.sqrt(count)
    whole = rng.integers(keys, (50,), -2, 3)
    shares = torch.bincount(whole.flatten() + 2).double() / count
    assert_close(shares, torch.full((5,), 0.2, dtype=torch.float64), rtol=0, atol=0.005)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (1.0, 2.0), (-0.25, 0.25), (16.0, 17.0)])
def test_uniform_numbers_stay_below_their_end(low, high):
    for dtype in (torch.float32, torch.float64):
        drawn = rng.uniform(rng.keys(0, "ends", ITEMS), (500,), low, high, dtype)
        assert float(drawn.min()) >= low
        assert float(drawn.max()) < high


def test_integers_need_a_range():
    with pytest.raises(ValueError, match="integers needs low < high"):
        rng.integers(ITEMS, (), 3, 3)


def test_compiled_normal_numbers_are_those_of_tensors_to_the_bit():
    keys = rng.keys(0, "compiled", ITEMS)[:400]
    compiled = rng.normal(keys, (1001,))
    one_by_one = torch.stack([rng.normal(keys[r : r + 1], (1001,))[0] for r in range(20)])
    assert torch.equal(compiled[:20], one_by_one)
    tensors = rng.normal(keys, (1001,), torch.float64).to(torch.float32)
    assert torch.equal(compiled, tensors)


def test_numbers_in_doubt_are_counted():
    """cos near its zero, log near its zero, and a number halfway between two of float32."""
    from inrgen.kernels.rng import _pairs_to_normal

    sure = (0.3, 1.0)
    halfway = 1.0 + 2.0**-24
    # The last chance gives, at cos = 1, a number halfway between two of float32.
    hard = [(0.3, math.pi / 2), (1.0 - 2.0**-40, 1.0), (math.exp(-(halfway**2) / 2), 0.0)]
    for chance, turn in hard:
        for place in range(9):
            pairs = np.array([sure] * 9)
            pairs[place] = chance, turn
            found = np.empty(9, np.float32)
            columns = (np.ascontiguousarray(column) for column in pairs.T)
            assert _pairs_to_normal(*columns, found) == 1
    assert _pairs_to_normal(np.full(9, 0.3), np.full(9, 1.0), np.empty(9, np.float32)) == 0
