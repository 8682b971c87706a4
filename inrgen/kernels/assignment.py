"""Inner loops of the linear assignment solver (Jonker and Volgenant, Computing 38, 1987).

Rows bid for columns until few rows are left; those find a column along shortest chains of
exchanges. gain[i, j] - price[j] is the worth of column j to row i at the current prices. Every
assigned row always holds its best column, and so the final assignment is optimal. Rows are padded
to whole tiles; a price of infinity keeps padding out.
"""

from typing import no_type_check

import numpy as np
from numba import njit

from inrgen.kernels.matching_blocks import TILE_COLUMNS, best_two, relax


@njit
@no_type_check
def padded(num):
    """num columns rounded up to whole tiles."""
    return (num + TILE_COLUMNS - 1) // TILE_COLUMNS * TILE_COLUMNS


@njit
@no_type_check
def _claim(gain, stride, price, row_of, col_of, free):
    """Give each row its best column unless that is taken; return how many rows stay free.

    Few do if the prices come from a similar problem.
    """
    row_of[:] = -1
    waiting = 0
    for i in range(col_of.shape[0]):
        j = best_two(gain, i * stride, price, stride)[2]
        if row_of[j] < 0:
            row_of[j] = i
            col_of[i] = j
        else:
            free[waiting] = i
            waiting += 1
    return waiting


@njit
@no_type_check
def _bid(gain, stride, price, row_of, col_of, free, waiting):
    """Let free rows take their best column and raise its price; return how many stay free.

    A row that loses its column bids again at once, within a budget.
    """
    # Rows may outbid each other in steps as small as rounding allows; a shortest chain is cheaper.
    budget = 16
    k = 0
    previous = waiting
    waiting = 0
    while k < previous:
        i = free[k]
        k += 1
        best, second, j = best_two(gain, i * stride, price, stride)
        # At this price the row is indifferent between its best and second best column.
        raised = price[j] + (best - second)
        rises = raised > price[j]
        price[j] = raised
        loser = row_of[j]
        row_of[j] = i
        col_of[i] = j
        if loser >= 0:
            if rises and budget > 0:
                budget -= 1
                k -= 1
                free[k] = loser
            else:
                free[waiting] = loser
                waiting += 1
    return waiting


@njit
@no_type_check
def _make_room(gain, stride, price, row_of, col_of, start, reach, held, before, done, length):
    """Assign row start by the best chain of exchanges (Dijkstra), and adjust the prices.

    held is a copy of the prices, with infinity at columns that are done.
    """
    held[:] = price
    reach[:] = -np.inf
    high, end = relax(gain, start * stride, held, 0.0, start, -1, reach, before, stride)
    num_done = 0
    i = row_of[end]
    while i >= 0:
        done[num_done] = end
        length[num_done] = high
        num_done += 1
        base = gain[i * stride + end] - price[end] - high
        high, end = relax(gain, i * stride, held, base, i, end, reach, before, stride)
        i = row_of[end]
    # Prices of settled columns rise by their slack, so assigned rows keep their best columns.
    for k in range(num_done):
        price[done[k]] += length[k] - high
    # Walk the chain back from the free column, and give each row its next column.
    j = end
    while True:
        i = before[j]
        row_of[j] = i
        j, col_of[i] = col_of[i], j
        if i == start:
            return


@njit
@no_type_check
def make_scratch(widest):
    """Scratch arrays for up to `widest` columns: one of int64, one of float64."""
    return np.zeros((5, padded(widest)), np.int64), np.empty((3, padded(widest)))


@njit
@no_type_check
def improve(gain, price, current, scratch):
    """Improve one assignment and its prices in place; return whether it got better.

    Better means by more than rounding, so ties keep the current assignment.

    Args:
        gain: flat, n rows of padded(n).
        price: padded(n) prices, infinity past the n columns.
        current: (n,) column of each row.
        scratch: from make_scratch.
    """
    n = current.shape[0]
    if n == 1:
        return False
    stride = padded(n)
    free, row_of, before, done = scratch[0][:4, :stride]
    col_of = scratch[0][4, :n]
    reach, held, length = scratch[1][:, :stride]
    # Greedy claim, two rounds of bids (as published), then shortest chains for the rest.
    waiting = _claim(gain, stride, price, row_of, col_of, free)
    for _ in range(2):
        waiting = _bid(gain, stride, price, row_of, col_of, free, waiting)
    for k in range(waiting):
        _make_room(gain, stride, price, row_of, col_of, free[k], reach, held, before, done, length)
    old = 0.0
    new = 0.0
    for i in range(n):
        old += gain[i * stride + current[i]]
        new += gain[i * stride + col_of[i]]
    # The margin covers rounding of the sums, which would otherwise flip ties back and forth.
    if new > old + 1e-12 * abs(old):
        current[:] = col_of
        return True
    return False
