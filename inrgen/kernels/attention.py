"""Set attention and its gradient on a CPU, compiled: one head of one INR at a time, in cache.

Import it late: numba is slow to load. Shares are never stored but worked out again for gradients,
as in arXiv 2205.14135, so memory does not grow with pairs of units.
"""

from collections.abc import Callable
from functools import cache
from typing import no_type_check

import numpy as np
from numba import njit
from numba.misc.special import literally

from inrgen.kernels import attention_vector, emitter, kept_on_disk, sources_digest
from inrgen.kernels.attention_vector import (
    flip_in,
    flip_out,
    gather,
    slope,
    turn,
    weigh,
)
from inrgen.kernels.emitter import LANES


@njit
@no_type_check
def _workspace(width, num, thin, square):
    """Room for so many matrices (w, h) and (h, h) and a row, with rows of a padded length."""
    padded = (num + LANES - 1) // LANES * LANES
    work = np.zeros(padded * (thin * width + square * padded + 1), np.float32)
    return padded, padded * width, padded * padded, work


@njit
@no_type_check
def _squares(num, width):
    """How many units can be moved in squares."""
    return num // LANES * LANES if width % LANES == 0 else 0


@njit
@no_type_check
def _lay_out(asked, at, width, factor, padded, work, place):
    """A head's channels from `at` on of asked (h, c) to (w, h)."""
    whole = _squares(asked.shape[0], width)
    for unit in range(0, whole, LANES):
        for c in range(0, width, LANES):
            flip_in(work, place + c * padded, padded, asked, at + c, unit, factor)
    for unit in range(whole, asked.shape[0]):
        for c in range(width):
            work[place + c * padded + unit] = asked[unit, at + c] * factor


@njit
@no_type_check
def _take_back(work, place, factor, padded, found, at, width):
    """The inverse, but times a factor once more."""
    whole = _squares(found.shape[0], width)
    for unit in range(0, whole, LANES):
        for c in range(0, width, LANES):
            flip_out(work, place + c * padded, padded, found, at + c, unit, factor)
    for unit in range(whole, found.shape[0]):
        for c in range(width):
            found[unit, at + c] = work[place + c * padded + unit] * factor


@njit
@no_type_check
def _add(found, added, at, width):
    """found += added for a head's channels."""
    for unit in range(found.shape[0]):
        for c in range(at, at + width):
            found[unit, c] += added[unit, c]


@njit
@no_type_check
def _forward(asked, drawn, width, scale, start, stop):
    width = literally(width)
    num, size = asked.shape[1], asked.shape[2] // 3
    padded, thin, square, work = _workspace(width, num, 2, 1)
    q, out, shares = 0, thin, 2 * thin
    inverse = shares + square
    for b in range(start, stop):
        inr = asked[b]
        for at in range(0, size, width):
            _lay_out(inr, at, width, scale, padded, work, q)
            for unit in range(0, num, LANES):
                weigh(work, width, inr, size + at, q, shares, inverse, num, padded, unit)
                gather(work, width, inr, 2 * size + at, shares, out, num, padded, unit)
            for c in range(out, out + thin, padded):
                for unit in range(padded):
                    work[c + unit] *= work[inverse + unit]
            _take_back(work, out, np.float32(1.0), padded, drawn[b], at, width)
            _add(drawn[b], inr, at, width)


@njit
@no_type_check
def _backward(asked, given, found, width, scale, start, stop):
    width = literally(width)
    num, size = asked.shape[1], asked.shape[2] // 3
    padded, thin, square, work = _workspace(width, num, 3, 3)
    q, g, out, shares = 0, thin, 2 * thin, 3 * thin
    slopes, turned, inverse = shares + square, shares + 2 * square, shares + 3 * square
    one = np.float32(1.0)
    for b in range(start, stop):
        inr, wanted, into = asked[b], given[b], found[b]
        for at in range(0, size, width):
            k, v = size + at, 2 * size + at
            _lay_out(inr, at, width, scale, padded, work, q)
            _lay_out(wanted, at, width, one, padded, work, g)
            for unit in range(0, num, LANES):
                weigh(work, width, inr, k, q, shares, inverse, num, padded, unit)
                slope(work, width, inr, v, g, shares, inverse, slopes, num, padded, unit)
                gather(work, width, inr, k, slopes, out, num, padded, unit)
            _take_back(work, out, scale, padded, into, at, width)
            _add(into, wanted, at, width)
            _gather_turned(work, width, inr, at, slopes, turned, out, num, padded)
            _take_back(work, out, scale, padded, into, k, width)
            _gather_turned(work, width, wanted, at, shares, turned, out, num, padded)
            _take_back(work, out, one, padded, into, v, width)


@njit
@no_type_check
def _gather_turned(work, width, numbers, at, source, turned, out, num, padded):
    """What each unit that is asked gets from all that ask it."""
    for row in range(0, num, LANES):
        for unit in range(0, num, LANES):
            turn(work, source, turned, padded, row, unit)
    for unit in range(0, num, LANES):
        gather(work, width, numbers, at, turned, out, num, padded, unit)


@cache
def kernels(width: int) -> tuple[Callable[..., None], Callable[..., None]]:
    """forward and backward for heads of so many channels, compiled for that width.

    forward(asked, drawn, scale, start, stop) fills drawn (b, h, c) with q + attention of INRs
    start..stop-1 of asked (b, h, 3 c), in which all queries come first, then keys, then values.
    backward(asked, given, found, scale, start, stop) fills found with the gradients of asked, from
    those of drawn.
    """
    digest = sources_digest(__file__, attention_vector.__file__, emitter.__file__)

    @kept_on_disk
    @no_type_check
    def forward(asked, drawn, scale, start, stop):
        _forward(asked, drawn, width, scale, start, stop)
        return digest

    @kept_on_disk
    @no_type_check
    def backward(asked, given, found, scale, start, stop):
        _backward(asked, given, found, width, scale, start, stop)
        return digest

    return forward, backward
