"""The compiled inner loops of the assignment solver. Import it late: numba is slow to load.

Jonker and Volgenant, Computing 38 (1987): rows bid for columns until few are left over, and those
find room along shortest chains of exchanges. cost[j] = -gain[i, j] - price[j] is what column j
costs row i at the prices of the moment; the column of every assigned row is always its cheapest,
which is what makes the result the best. Loops are cut so that the compiler makes vectors of them.
"""

from typing import no_type_check

import numpy as np
from numba import njit

# Lets a minimum be taken in any order: costs are never NaN here, and -0.0 is as good as 0.0.
_ANY_ORDER = {"nnan", "nsz", "reassoc"}


@njit(nogil=True, cache=True, fastmath=_ANY_ORDER)
@no_type_check
def _price_row(gain, price, cost):
    """Fill cost for one row and return the least."""
    best = np.inf
    for j in range(cost.shape[0]):
        value = -gain[j] - price[j]
        cost[j] = value
        best = value if value < best else best
    return best


@njit(nogil=True, cache=True, fastmath=_ANY_ORDER)
@no_type_check
def _least(cost):
    best = np.inf
    for j in range(cost.shape[0]):
        best = cost[j] if cost[j] < best else best
    return best


@njit(nogil=True, cache=True)
@no_type_check
def _place(cost, value):
    """The first column of this cost."""
    for j in range(cost.shape[0]):
        if cost[j] == value:
            return j
    return -1


@njit(nogil=True, cache=True)
@no_type_check
def _claim(gain, price, row_of, col_of, free, cost):
    """Give each row its cheapest column where nobody has it yet; return how many stay free.

    With the prices of a problem much like this one, few do.
    """
    row_of[:] = -1
    col_of[:] = -1
    waiting = 0
    for i in range(gain.shape[0]):
        j = _place(cost, _price_row(gain[i], price, cost))
        if row_of[j] < 0:
            row_of[j] = i
            col_of[i] = j
        else:
            free[waiting] = i
            waiting += 1
    return waiting


@njit(nogil=True, cache=True)
@no_type_check
def _bid(gain, price, row_of, col_of, free, waiting, cost):
    """Let free rows take the column they want most, raising its price; return how many stay free.

    A row so outbid bids again at once, but only so often: rows may outbid each other in steps as
    small as rounding allows, and a shortest chain is cheaper than a long war.
    """
    budget = 16
    k = 0
    previous = waiting
    waiting = 0
    while k < previous:
        i = free[k]
        k += 1
        best = _price_row(gain[i], price, cost)
        j = _place(cost, best)
        cost[j] = np.inf
        lowered = price[j] - (_least(cost) - best)
        falls = lowered < price[j]
        if falls:
            price[j] = lowered
        elif row_of[j] >= 0:
            other = _place(cost, best)
            j = other if other >= 0 else j
        loser = row_of[j]
        col_of[i] = j
        row_of[j] = i
        if loser >= 0:
            col_of[loser] = -1
            if falls and budget > 0:
                budget -= 1
                k -= 1
                free[k] = loser
            else:
                free[waiting] = loser
                waiting += 1
    return waiting


@njit(nogil=True, cache=True, fastmath=_ANY_ORDER)
@no_type_check
def _relax(gain, held, base, i, dist, before):
    """Shorten what can be shortened through row i; return the least that is still open."""
    low = np.inf
    for j in range(dist.shape[0]):
        through = -gain[j] - held[j] - base
        old = dist[j]
        shorter = through < old
        new = through if shorter else old
        before[j] = i if shorter else before[j]
        dist[j] = new
        low = new if new < low else low
    return low


@njit(nogil=True, cache=True)
@no_type_check
def _make_room(gain, price, row_of, col_of, start, dist, held, before, done, length):
    """Assign row start by the cheapest chain of exchanges (Dijkstra), and mend the prices.

    held are the prices by which a chain may go on: -inf for a column that is done, which so costs
    more than any that is open.
    """
    before[:] = start
    held[:] = price
    low = _price_row(gain[start], price, dist)
    num_done = 0
    while True:
        end = _place(dist, low)
        i = row_of[end]
        if i < 0:
            break
        done[num_done] = end
        length[num_done] = low
        num_done += 1
        base = -gain[i, end] - price[end] - low
        dist[end] = np.inf
        held[end] = -np.inf
        low = _relax(gain[i], held, base, i, dist, before)
    for k in range(num_done):
        price[done[k]] += length[k] - low
    j = end
    while True:
        i = before[j]
        row_of[j] = i
        j, col_of[i] = col_of[i], j
        if i == start:
            return


@njit(nogil=True, cache=True)
@no_type_check
def make_scratch(n):
    """Room for the search among n columns: whole numbers, and costs."""
    return np.empty((5, n), np.int64), np.empty((3, n))


@njit(nogil=True, cache=True)
@no_type_check
def improve(gain, price, current, scratch):
    """Improve one assignment and its prices in place; say whether it got better.

    Better means by more than rounding, so ties keep the current assignment.
    """
    n = gain.shape[0]
    if n == 1:
        return False
    free, row_of, col_of, before, done = scratch[0][:, :n]
    cost, held, length = scratch[1][:, :n]
    waiting = _claim(gain, price, row_of, col_of, free, cost)
    for _ in range(2):
        waiting = _bid(gain, price, row_of, col_of, free, waiting, cost)
    for k in range(waiting):
        _make_room(gain, price, row_of, col_of, free[k], cost, held, before, done, length)
    old = 0.0
    new = 0.0
    for i in range(n):
        old += gain[i, current[i]]
        new += gain[i, col_of[i]]
    if new > old + 1e-12 * abs(old):
        current[:] = col_of
        return True
    return False


@njit(nogil=True, cache=True)
@no_type_check
def improve_each(gains, finite, prices, current, changed, start, stop):
    """Improve assignments start..stop-1 of a batch in place.

    A problem that is not finite is left alone: no comparison with NaN holds, and a search would
    not end.
    """
    scratch = make_scratch(gains.shape[1])
    for b in range(start, stop):
        changed[b] = finite[b] and improve(gains[b], prices[b], current[b], scratch)
