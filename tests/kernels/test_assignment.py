"""The solver finds the best assignment from any starting prices."""

import numpy as np
import pytest
import torch
from numba import njit
from scipy.optimize import linear_sum_assignment

from inrgen.core import rng
from inrgen.kernels.assignment import improve, make_scratch, padded


def gains_of(num: int, units: int, rank: int = 0, seed: int = 0) -> torch.Tensor:
    keys = rng.keys(seed, "gains", torch.arange(num))
    if rank == 0:
        return rng.normal(keys, (units, units), torch.float64)
    sides = rng.normal(keys, (2, units, rank), torch.float64)
    return sides[:, 0] @ sides[:, 1].mT


@njit
def improve_each(gains, prices, current, changed):
    """Improve a batch of assignments and their prices in place."""
    num, units, _ = gains.shape
    stride = padded(units)
    rows, price = np.zeros((units, stride)), np.full(stride, np.inf)
    for b in range(num):
        rows[:, :units] = gains[b]
        price[:units] = prices[b]
        changed[b] = improve(rows.reshape(-1), price, current[b], make_scratch(units))
        prices[b] = price[:units]


def improved(gains, current, prices=None):
    """Assignments from current ones, whether each changed, and the prices."""
    columns, changed = current.clone(), torch.zeros(len(current), dtype=torch.bool)
    prices = torch.zeros(current.shape, dtype=torch.float64) if prices is None else prices.clone()
    improve_each(gains.numpy(), prices.numpy(), columns.numpy(), changed.numpy())
    return columns, changed, prices


def solve(gains: torch.Tensor) -> torch.Tensor:
    """Assignments improved from the identity."""
    num, units, _ = gains.shape
    return improved(gains, torch.arange(units).repeat(num, 1))[0]


def reference(gains: torch.Tensor) -> torch.Tensor:
    """Assignments by scipy, one problem after another."""
    solved = [linear_sum_assignment(g, maximize=True)[1] for g in gains.numpy()]
    return torch.from_numpy(np.stack(solved))


@pytest.mark.parametrize("units", [1, 2, 5, 32, 65])
@pytest.mark.parametrize("rank", [0, 3])
def test_the_permutations_are_those_of_another_solver(units, rank):
    gains = gains_of(200, units, rank)
    assert torch.equal(solve(gains), reference(gains))


def test_prices_of_other_problems_change_nothing():
    gains = gains_of(300, 16)
    current = torch.arange(16).repeat(300, 1)
    for prices in (
        improved(gains + 0.1 * gains_of(300, 16, seed=1), current)[2],
        1e3 * gains_of(300, 16, seed=2)[:, 0],
    ):
        solved, changed, _ = improved(gains, current, prices)
        assert torch.equal(solved, reference(gains))
        assert torch.equal(changed, (solved != current).any(dim=1))


def test_ties_keep_what_is_there_and_end():
    current = rng.bits(rng.keys(0, "orders", torch.arange(50)), 9).argsort(dim=1)
    for gains in (torch.zeros(50, 9, 9), torch.ones(50, 9, 9), gains_of(50, 9, 1).round()):
        solved, changed, _ = improved(gains.double(), current)
        assert torch.equal(solved.sort(dim=1).values, torch.arange(9).repeat(50, 1))
        assert torch.equal(solved[~changed], current[~changed])
        best = gains.double().gather(2, reference(gains)[:, :, None]).sum(dim=(1, 2))
        found = gains.double().gather(2, solved[:, :, None]).sum(dim=(1, 2))
        torch.testing.assert_close(found, best)


def test_extreme_scales_are_solved():
    for scale in (1e-200, 1e-12, 1e12):
        gains = gains_of(50, 12) * scale
        assert torch.equal(solve(gains), reference(gains))


def test_no_problems_are_no_trouble():
    assert solve(torch.zeros(0, 4, 4, dtype=torch.float64)).shape == (0, 4)
