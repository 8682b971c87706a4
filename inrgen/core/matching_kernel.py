"""Weight matching of pairs on a CPU, compiled: a pair stays in cache from first to last sweep.

The same descent as the one in step over tensors (matching_tensors). Import it late: numba is slow
to load. Rows are flat, as in the store; choices are (layers, units), padded to the widest layer.
"""

from typing import no_type_check

import numpy as np
from numba import njit

from inrgen.core.assignment_kernel import improve, make_scratch

PERMUTATION, SIGNED, PHASE = 0, 1, 2


@njit(nogil=True, cache=True)
@no_type_check
def _way(kind, incoming, outgoing, bias_1, bias_2, step):
    """Gain, sign and phase of the best way for one unit to stand for another."""
    if kind != PHASE:
        score = incoming + outgoing + bias_1 * bias_2
        if kind == SIGNED and score < 0:
            return -score, -1, 0
        return score, 1, 0
    best, best_sign, best_phase = -np.inf, 1, 0
    for sign in (1, -1):
        for odd in (0, 1):
            away = (bias_1 - sign * bias_2) / step
            phase = odd + 2 * np.rint((away - odd) / 2)
            bias = sign * bias_2 + phase * step
            gain = sign * incoming + (bias_1 - bias / 2) * bias + sign * (1 - 2 * odd) * outgoing
            if gain > best:
                best, best_sign, best_phase = gain, sign, int(phase)
    return best, best_sign, best_phase


@njit(nogil=True, cache=True)
@no_type_check
def _fill_gains(kind, incoming, outgoing, bias_1, bias_2, step, gains):
    """The gain of every match."""
    n = gains.shape[0]
    for i in range(n):
        if kind == PHASE:
            for j in range(n):
                gains[i, j] = _way(
                    kind, incoming[i, j], outgoing[i, j], bias_1[i], bias_2[j], step
                )[0]
        elif kind == SIGNED:
            for j in range(n):
                gains[i, j] = abs(incoming[i, j] + outgoing[i, j] + bias_1[i] * bias_2[j])
        else:
            for j in range(n):
                gains[i, j] = incoming[i, j] + outgoing[i, j] + bias_1[i] * bias_2[j]


@njit(nogil=True, cache=True, fastmath={"contract"})
@no_type_check
def _products(left, order, factor, right, total):
    """total[i, :] = sum over m of left[i, m] factor[m] right[order[m], :].

    Two rows of total by four of right at a time: total is loaded and stored a quarter as often,
    and right half as often, as without.
    """
    num, depth = total.shape[0], order.shape[0]
    twos, fours = num - num % 2, depth - depth % 4
    total[:] = 0.0
    for i in range(0, twos, 2):
        k = i + 1
        for m in range(0, fours, 4):
            a, b, c, d = order[m], order[m + 1], order[m + 2], order[m + 3]
            share_a, other_a = left[i, m] * factor[m], left[k, m] * factor[m]
            share_b, other_b = left[i, m + 1] * factor[m + 1], left[k, m + 1] * factor[m + 1]
            share_c, other_c = left[i, m + 2] * factor[m + 2], left[k, m + 2] * factor[m + 2]
            share_d, other_d = left[i, m + 3] * factor[m + 3], left[k, m + 3] * factor[m + 3]
            for j in range(total.shape[1]):
                x, y, z, w = right[a, j], right[b, j], right[c, j], right[d, j]
                total[i, j] += (share_a * x + share_b * y) + (share_c * z + share_d * w)
                total[k, j] += (other_a * x + other_b * y) + (other_c * z + other_d * w)
    for i in range(num):
        for m in range(fours if i < twos else 0, depth):
            share = left[i, m] * factor[m]
            for j in range(total.shape[1]):
                total[i, j] += share * right[order[m], j]


@njit(nogil=True, cache=True)
@no_type_check
def _turn(row, widths, at, turned):
    """The same row with every weight matrix as (in, out)."""
    for layer in range(widths.shape[0] - 1):
        m, n = widths[layer], widths[layer + 1]
        block = row[at[layer] : at[layer] + n * m].reshape(n, m)
        turned[at[layer] : at[layer] + n * m].reshape(m, n)[:] = block.T


@njit(nogil=True, cache=True)
@no_type_check
def _layer_products(layer, widths, at, rows, choice, factor, incoming, outgoing):
    """What comes in to each pair of units, without biases, and what goes out of it."""
    first, second, turned = rows
    order, sign, phase = choice
    m, n, o = widths[layer], widths[layer + 1], widths[layer + 2]
    start, above = at[layer], at[layer + 1]
    for k in range(m):
        # Coordinates, below the first hidden layer, neither move nor turn.
        parity = 1 - 2 * (phase[layer, k] & 1)
        factor[k] = sign[layer, k] * parity
    left = first[start : start + n * m].reshape(n, m)
    right = turned[start : start + n * m].reshape(m, n)
    _products(left, order[layer, :m], factor, right, incoming)
    for k in range(o):
        factor[k] = sign[layer + 2, k]
    left = first[above : above + o * n].reshape(o, n).T
    right = second[above : above + o * n].reshape(o, n)
    _products(left, order[layer + 2, :o], factor, right, outgoing)


@njit(nogil=True, cache=True, fastmath={"reassoc"})
@no_type_check
def _total(gains):
    """The sum, in whatever order: finite where all are and none is beyond all measure."""
    total = 0.0
    for i in range(gains.shape[0]):
        for j in range(gains.shape[1]):
            total += gains[i, j]
    return total


@njit(nogil=True, cache=True)
@no_type_check
def _improve_layer(kind, step, biases, incoming, outgoing, gains, price, choice, scratch):
    """Solve one layer's assignment; say whether its choice changed."""
    order, sign, phase = choice
    bias_1, bias_2 = biases
    n = gains.shape[0]
    _fill_gains(kind, incoming, outgoing, bias_1, bias_2, step, gains)
    if not np.isfinite(_total(gains)):
        return False
    changed = improve(gains, price, order, scratch)
    if kind != PERMUTATION:
        for i in range(n):
            j = order[i]
            way = _way(kind, incoming[i, j], outgoing[i, j], bias_1[i], bias_2[j], step)
            changed |= sign[i] != way[1] or phase[i] != way[2]
            sign[i] = way[1]
            phase[i] = way[2]
    return changed


@njit(nogil=True, cache=True)
@no_type_check
def descend(one, two, finite, widths, steps, sweeps, kind, orders, signs, phases, start, stop):
    """Improve the choices of pairs start..stop-1 in place.

    one (b or 1, P) and two (b, P) are flat rows; orders, signs and phases (b, layers, units) hold
    one entry for the coordinates, one for each hidden layer and one for the outputs; steps is
    pi / omega of each hidden layer; sweeps (s, hidden) names the layers in their order.
    """
    num_hidden = widths.shape[0] - 2
    at = np.zeros(num_hidden + 2, np.int64)
    for layer in range(num_hidden + 1):
        at[layer + 1] = at[layer] + widths[layer + 1] * (widths[layer] + 1)
    widest = widths.max()
    first, second, turned = np.empty(at[-1]), np.empty(at[-1]), np.empty(at[-1])
    rooms = np.empty((3, widest * widest))
    factor = np.empty(widest)
    prices = np.empty((num_hidden, widest))
    stale = np.empty(num_hidden + 2, np.bool_)
    scratch = make_scratch(widest)
    for b in range(start, stop):
        if not finite[b]:
            continue
        first[:] = one[b if one.shape[0] > 1 else 0]
        second[:] = two[b]
        _turn(second, widths, at, turned)
        prices[:] = 0.0
        stale[:] = True
        for sweep in range(sweeps.shape[0]):
            if not stale[1:-1].any():
                break
            for layer in sweeps[sweep]:
                if not stale[layer + 1]:
                    continue
                n = widths[layer + 1]
                incoming = rooms[0, : n * n].reshape(n, n)
                outgoing = rooms[1, : n * n].reshape(n, n)
                gains = rooms[2, : n * n].reshape(n, n)
                rows = (first, second, turned)
                choice = (orders[b], signs[b], phases[b])
                _layer_products(layer, widths, at, rows, choice, factor, incoming, outgoing)
                end = at[layer + 1]
                biases = (first[end - n : end], second[end - n : end])
                mine = (
                    orders[b, layer + 1, :n],
                    signs[b, layer + 1, :n],
                    phases[b, layer + 1, :n],
                )
                price = prices[layer, :n]
                stale[layer + 1] = False
                if _improve_layer(
                    kind, steps[layer], biases, incoming, outgoing, gains, price, mine, scratch
                ):
                    stale[layer] = True
                    stale[layer + 2] = True
