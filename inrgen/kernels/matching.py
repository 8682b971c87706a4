"""Weight matching of pairs on a CPU: a pair stays in cache from the first sweep to the last.

core/matching.py explains the method. INRs are flat rows, as in the store; choices are
(layers, units), padded to the widest layer. The numbers that meet a hidden layer's units form one
table by units, [W^T, b, W_next]. So the gains of all its matches are one product of the two INRs'
tables, after the rows of the second are moved.
"""

from typing import no_type_check

import numpy as np
from numba import njit

from inrgen.kernels import assignment, emitter, kept_on_disk, matching_blocks, sources_digest
from inrgen.kernels.assignment import improve, make_scratch, padded
from inrgen.kernels.matching_blocks import TILE_COLUMNS, TILE_ROWS, scaled, tile

PERMUTATION, SIGNED, PHASE = 0, 1, 2
# Adding and subtracting this rounds a number to the nearest integer, in a loop that the compiler
# can vectorise.
_ROUNDER = 1.5 * 2.0**52


@njit
@no_type_check
def _turned(sign, odd, incoming, outgoing, bias_1, bias_2, step):
    """Gain and phase of the best match of two units with this sign and parity."""
    # The best phase brings the two biases closest, among integers of the given parity.
    away = (bias_1 - sign * bias_2) / step
    phase = odd + 2.0 * (((away - odd) / 2.0 + _ROUNDER) - _ROUNDER)
    bias = sign * bias_2 + phase * step
    gain = sign * incoming + (bias_1 - bias / 2.0) * bias + sign * (1.0 - 2.0 * odd) * outgoing
    return gain, phase


@njit
@no_type_check
def _best_turn(incoming, outgoing, bias_1, bias_2, step):
    """Sign and phase of the best match of two units."""
    best, best_sign, best_phase = -np.inf, 1, 0
    for sign in (1, -1):
        for odd in (0, 1):
            gain, phase = _turned(float(sign), float(odd), incoming, outgoing, bias_1, bias_2, step)
            # Strict, so the first of equal ways wins in every batch.
            if gain > best:
                best, best_sign, best_phase = gain, sign, int(phase)
    return best_sign, best_phase


@njit
@no_type_check
def _phase_gains(incoming, outgoing, bias_1, bias_2, step, gains):
    """Fill gains with that of every match, in the best of its four ways."""
    stride = bias_2.shape[0]
    for i in range(bias_1.shape[0]):
        row = slice(i * stride, (i + 1) * stride)
        come, go, gain, bias = incoming[row], outgoing[row], gains[row], bias_1[i]
        for j in range(stride):
            a = _turned(1.0, 0.0, come[j], go[j], bias, bias_2[j], step)[0]
            b = _turned(1.0, 1.0, come[j], go[j], bias, bias_2[j], step)[0]
            c = _turned(-1.0, 0.0, come[j], go[j], bias, bias_2[j], step)[0]
            d = _turned(-1.0, 1.0, come[j], go[j], bias, bias_2[j], step)[0]
            gain[j] = max(max(a, b), max(c, d))


@njit
@no_type_check
def _lay_out(row, at, sizes, width, table):
    """Fill the table of one hidden layer, in tiles of `width` columns; padding is zero."""
    m, n, o = sizes
    depth = m + 1 + o
    bias = at + n * m
    table[:] = 0.0
    for i in range(n):
        # Within a tile, the columns of one table row are adjacent.
        place = i // width * width * depth + i % width
        for k in range(m):
            table[place + k * width] = row[at + i * m + k]
        table[place + m * width] = row[bias + i]
        for k in range(o):
            table[place + (m + 1 + k) * width] = row[bias + n + k * n + i]


@njit
@no_type_check
def _set_ends(table, sizes, ends):
    """Overwrite biases and outgoing weights in a table whose one tile is as wide as its layer."""
    m, n, o = sizes
    for k in range(1 + o):
        place = (m + k) * padded(n)
        table[place : place + n] = ends[k]


@njit
@no_type_check
def _move(table, layer, sizes, choice, moved):
    """Copy the second INR's table with its rows in the order and signs of the layers around.

    table is one tile as wide as the layer; moved gets tiles of TILE_COLUMNS.
    """
    order, sign, phase = choice
    m, n, o = sizes
    depth = m + 1 + o
    stride = padded(n)
    for k in range(depth):
        source, factor = m, 1.0
        if k < m:
            # Coordinates have the identity. Parity of a phase acts on outgoing weights only.
            source = order[layer, k]
            factor = float(sign[layer, k] * (1 - 2 * (phase[layer, k] & 1)))
        elif k > m:
            source = m + 1 + order[layer + 2, k - m - 1]
            factor = float(sign[layer + 2, k - m - 1])
        for j in range(0, stride, TILE_COLUMNS):
            scaled(table, source * stride + j, factor, moved, j * depth + k * TILE_COLUMNS)


@njit
@no_type_check
def _multiply(left, right, skip, stop, sizes, total):
    """Fill total with products of the units' columns, summed over table rows skip..stop-1."""
    n, depth = sizes[1], sizes[0] + 1 + sizes[2]
    for j in range(0, n, TILE_COLUMNS):
        place = j * depth + skip * TILE_COLUMNS
        for i in range(0, n, TILE_ROWS):
            first = i * depth + skip * TILE_ROWS
            tile(left, first, right, place, stop - skip, total, i * padded(n) + j, padded(n))


# Reassociation vectorises the sum; its last digits do not matter.
@njit(fastmath={"reassoc"})
@no_type_check
def _total(gains):
    """The sum, in any order: finite if all gains are, unless they overflow."""
    total = 0.0
    for value in gains:
        total += value
    return total


@njit
@no_type_check
def _fill_gains(kind, step, left, right, skip, sizes, rooms):
    """Fill the last of rooms with the gain of every match, and the others with its parts.

    skip: number of table rows of incoming weights to leave out, 0 or all.
    """
    m, n, o = sizes
    stride = padded(n)
    scores, gains = rooms[0], rooms[2]
    if kind == PERMUTATION:
        _multiply(left, right, skip, m + 1 + o, sizes, gains)
    elif kind == SIGNED:
        _multiply(left, right, skip, m + 1 + o, sizes, scores)
        for i in range(n * stride):
            gains[i] = abs(scores[i])
    else:
        _multiply(left, right, skip, m, sizes, scores)
        _multiply(left, right, m + 1, m + 1 + o, sizes, rooms[1])
        bias_1, bias_2 = _biases(left, right, sizes)
        _phase_gains(scores, rooms[1], bias_1, bias_2, step, gains)


@njit
@no_type_check
def _biases(left, right, sizes):
    """The biases of both INRs' units, read from their tables; those of the second are padded."""
    m, n, o = sizes
    depth = m + 1 + o
    first, second = np.empty(n), np.empty(padded(n))
    for i in range(n):
        first[i] = left[(i // TILE_ROWS * depth + m) * TILE_ROWS + i % TILE_ROWS]
    for j in range(padded(n)):
        second[j] = right[(j // TILE_COLUMNS * depth + m) * TILE_COLUMNS + j % TILE_COLUMNS]
    return first, second


@njit
@no_type_check
def _turn_units(kind, step, left, right, sizes, rooms, order, sign, phase):
    """Set sign and phase of every matched unit to the best; return whether any changed."""
    changed = False
    stride = padded(sizes[1])
    scores = rooms[0]
    if kind == SIGNED:
        for i in range(sizes[1]):
            new = -1 if scores[i * stride + order[i]] < 0 else 1
            changed |= sign[i] != new
            sign[i] = new
    elif kind == PHASE:
        bias_1, bias_2 = _biases(left, right, sizes)
        for i in range(sizes[1]):
            at, j = i * stride + order[i], order[i]
            new = _best_turn(scores[at], rooms[1][at], bias_1[i], bias_2[j], step)
            changed |= sign[i] != new[0] or phase[i] != new[1]
            sign[i], phase[i] = new
    return changed


@njit
@no_type_check
def _improve_layer(kind, step, layer, skip, sizes, tables, choice, price, room, scratch):
    """Solve one layer's assignment, all others held; return whether its choice changed.

    skip: as in _fill_gains.
    """
    left, right, moved = tables
    n = sizes[1]
    rooms = room[:, : n * padded(n)]
    _move(right, layer, sizes, choice, moved)
    _fill_gains(kind, step, left, moved, skip, sizes, rooms)
    # Overflow of huge weights gives gains on which the search would not end.
    if not np.isfinite(_total(rooms[2])):
        return False
    order, sign, phase = choice
    mine = order[layer + 1, :n], sign[layer + 1, :n], phase[layer + 1, :n]
    changed = improve(rooms[2], price, mine[0], scratch)
    turned = _turn_units(kind, step, left, moved, sizes, rooms, *mine)
    return changed or turned


@njit
@no_type_check
def _open(kind, steps, widths, place, tables, choice, prices, ends, room, scratch):
    """Match layers from the last to the first, each by its connections to layers already matched.

    So incoming weights count for the first layer only, where they read coordinates. ends holds
    the biases and outgoing weights that decide the last layer.
    """
    left, right, moved = tables
    last = widths.shape[0] - 3
    for layer in range(last, -1, -1):
        sizes = (widths[layer], widths[layer + 1], widths[layer + 2])
        part = slice(place[layer], place[layer + 1])
        mine = right[part]
        if layer == last:
            mine = right[part].copy()
            _set_ends(mine, sizes, ends)
        skip = sizes[0] if layer > 0 else 0
        price, pair = prices[layer, : padded(sizes[1])], (left[part], mine, moved)
        _improve_layer(kind, steps[layer], layer, skip, sizes, pair, choice, price, room, scratch)


@njit
@no_type_check
def _sweep(kind, steps, widths, place, tables, choice, prices, stale, sweeps, room, scratch):
    """Improve layer after layer until none is stale, i.e. has a neighbour that changed since."""
    left, right, moved = tables
    for sweep in range(sweeps.shape[0]):
        if not stale[1:-1].any():
            break
        for layer in sweeps[sweep]:
            if not stale[layer + 1]:
                continue
            sizes = (widths[layer], widths[layer + 1], widths[layer + 2])
            part = slice(place[layer], place[layer + 1])
            price, pair = prices[layer, : padded(sizes[1])], (left[part], right[part], moved)
            stale[layer + 1] = False
            if _improve_layer(
                kind, steps[layer], layer, 0, sizes, pair, choice, price, room, scratch
            ):
                stale[layer] = True
                stale[layer + 2] = True


@njit
@no_type_check
def _descend(
    one, two, finite, widths, steps, sweeps, kind, ends, orders, signs, phases, start, stop
):
    num_hidden, widest = widths.shape[0] - 2, widths.max()
    place = np.zeros(num_hidden + 1, np.int64)
    for l in range(num_hidden):
        place[l + 1] = place[l] + padded(widths[l + 1]) * (widths[l] + 1 + widths[l + 2])
    left, right, moved = np.empty(place[-1]), np.empty(place[-1]), np.empty(place[-1])
    tables = left, right, moved
    # Tiles may reach past the last unit.
    room, scratch = np.empty((3, padded(widest) ** 2)), make_scratch(widest)
    prices = np.empty((num_hidden, padded(widest)))
    stale = np.empty(num_hidden + 2, np.bool_)
    laid_out = False
    for b in range(start, stop):
        if not finite[b]:
            continue
        at = 0
        for l in range(num_hidden):
            sizes, part = (widths[l], widths[l + 1], widths[l + 2]), slice(place[l], place[l + 1])
            if not laid_out:
                _lay_out(one[b if one.shape[0] > 1 else 0], at, sizes, TILE_ROWS, left[part])
            _lay_out(two[b], at, sizes, padded(sizes[1]), right[part])
            at += sizes[1] * (sizes[0] + 1)
            # Prices of infinity keep padding columns out of every assignment.
            prices[l, : sizes[1]] = 0.0
            prices[l, sizes[1] :] = np.inf
        # A reference shared by all pairs needs its table only once.
        laid_out = one.shape[0] == 1
        choice = orders[b], signs[b], phases[b]
        stale[:] = True
        if ends.shape[0] > 0:
            _open(kind, steps, widths, place, tables, choice, prices, ends[b], room, scratch)
            # The opening gave the first layer all its connections, unless it is also the last.
            stale[1] = num_hidden == 1
        _sweep(kind, steps, widths, place, tables, choice, prices, stale, sweeps, room, scratch)


def _compile_for(digest):
    @kept_on_disk
    @no_type_check
    def descend(
        one, two, finite, widths, steps, sweeps, kind, ends, orders, signs, phases, start, stop
    ):
        _descend(
            one, two, finite, widths, steps, sweeps, kind, ends, orders, signs, phases, start, stop
        )
        return digest

    return descend


# descend(...) improves the choices of pairs start..stop-1 in place. one (b or 1, P) and two (b, P)
# are flat rows. orders, signs and phases (b, layers, units) hold one entry for the coordinates, one
# for each hidden layer and one for the outputs. steps is pi / omega of each hidden layer; sweeps
# (s, hidden) names the layers in order. ends (b, 1 + d_out, units) opens the descent unless it is
# empty. It returns the digest of its sources.
_SOURCES = (__file__, assignment.__file__, matching_blocks.__file__, emitter.__file__)
descend = _compile_for(sources_digest(*_SOURCES))
