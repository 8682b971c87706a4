"""Set attention of narrow heads and its gradient on a CPU: one head of one INR at a time, in cache.

The attention weights ("shares") are never stored but computed again for gradients, as in arXiv
2205.14135, so memory does not grow with pairs of units. torch's batched products of such small
matrices take five times as long.
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
    transpose,
    weigh,
)
from inrgen.kernels.emitter import LANES


@njit
@no_type_check
def _workspace(width, num, thin, square):
    """Memory for `thin` matrices (w, h), `square` matrices (h, h) and a row, all rows padded."""
    padded = (num + LANES - 1) // LANES * LANES
    work = np.zeros(padded * (thin * width + square * padded + 1), np.float32)
    return padded, padded * width, padded * padded, work


@njit
@no_type_check
def _squares(num, width):
    """Number of units that can be transposed in squares of vectors."""
    return num // LANES * LANES if width % LANES == 0 else 0


@njit
@no_type_check
def _lay_out(source, at, width, factor, padded, work, place):
    """Transpose a head's channels, from `at` on, of source (h, c) to the workspace (w, h)."""
    whole = _squares(source.shape[0], width)
    for unit in range(0, whole, LANES):
        for c in range(0, width, LANES):
            flip_in(work, place + c * padded, padded, source, at + c, unit, factor)
    for unit in range(whole, source.shape[0]):
        for c in range(width):
            work[place + c * padded + unit] = source[unit, at + c] * factor


@njit
@no_type_check
def _take_back(work, place, factor, padded, target, at, width):
    """The inverse of _lay_out, multiplied by factor again."""
    whole = _squares(target.shape[0], width)
    for unit in range(0, whole, LANES):
        for c in range(0, width, LANES):
            flip_out(work, place + c * padded, padded, target, at + c, unit, factor)
    for unit in range(whole, target.shape[0]):
        for c in range(width):
            target[unit, at + c] = work[place + c * padded + unit] * factor


@njit
@no_type_check
def _add(target, added, at, width):
    """target += added for a head's channels."""
    for unit in range(target.shape[0]):
        for c in range(at, at + width):
            target[unit, c] += added[unit, c]


@njit
@no_type_check
def _forward(joined, results, width, scale, start, stop):
    width = literally(width)
    num, size = joined.shape[1], joined.shape[2] // 3
    padded, thin, square, work = _workspace(width, num, 2, 1)
    q, out, shares = 0, thin, 2 * thin
    inverse = shares + square
    for b in range(start, stop):
        inr = joined[b]
        for at in range(0, size, width):
            _lay_out(inr, at, width, scale, padded, work, q)
            for unit in range(0, num, LANES):
                weigh(work, width, inr, size + at, q, shares, inverse, num, padded, unit)
                gather(work, width, inr, 2 * size + at, shares, out, num, padded, unit)
            for c in range(out, out + thin, padded):
                for unit in range(padded):
                    work[c + unit] *= work[inverse + unit]
            _take_back(work, out, np.float32(1.0), padded, results[b], at, width)
            _add(results[b], inr, at, width)


@njit
@no_type_check
def _backward(joined, out_grad, grad, width, scale, start, stop):
    width = literally(width)
    num, size = joined.shape[1], joined.shape[2] // 3
    padded, thin, square, work = _workspace(width, num, 3, 3)
    q, g, out, shares = 0, thin, 2 * thin, 3 * thin
    slopes, turned, inverse = shares + square, shares + 2 * square, shares + 3 * square
    one = np.float32(1.0)
    for b in range(start, stop):
        inr, mine, target = joined[b], out_grad[b], grad[b]
        for at in range(0, size, width):
            k, v = size + at, 2 * size + at
            _lay_out(inr, at, width, scale, padded, work, q)
            _lay_out(mine, at, width, one, padded, work, g)
            for unit in range(0, num, LANES):
                weigh(work, width, inr, k, q, shares, inverse, num, padded, unit)
                slope(work, width, inr, v, g, shares, inverse, slopes, num, padded, unit)
                gather(work, width, inr, k, slopes, out, num, padded, unit)
            _take_back(work, out, scale, padded, target, at, width)
            _add(target, mine, at, width)
            _gather_turned(work, width, inr, at, slopes, turned, out, num, padded)
            _take_back(work, out, scale, padded, target, k, width)
            _gather_turned(work, width, mine, at, shares, turned, out, num, padded)
            _take_back(work, out, one, padded, target, v, width)


@njit
@no_type_check
def _gather_turned(work, width, numbers, at, source, turned, out, num, padded):
    """Sum over the querying units, for each unit that they query: gather on the transpose."""
    for row in range(0, num, LANES):
        for unit in range(0, num, LANES):
            transpose(work, source, turned, padded, row, unit)
    for unit in range(0, num, LANES):
        gather(work, width, numbers, at, turned, out, num, padded, unit)


@cache
def kernels(width: int) -> tuple[Callable[..., None], Callable[..., None]]:
    """Forward and backward for heads of `width` channels, compiled for that width.

    forward(joined, out, scale, start, stop) fills out (b, h, c) with q + attention of INRs
    start..stop-1 of joined (b, h, 3 c), which holds all queries, then keys, then values.
    backward(joined, out_grad, grad, scale, start, stop) fills grad with the gradients of joined.
    """
    digest = sources_digest(__file__, attention_vector.__file__, emitter.__file__)

    @kept_on_disk
    @no_type_check
    def forward(joined, out, scale, start, stop):
        _forward(joined, out, width, scale, start, stop)
        return digest

    @kept_on_disk
    @no_type_check
    def backward(joined, out_grad, grad, scale, start, stop):
        _backward(joined, out_grad, grad, width, scale, start, stop)
        return digest

    return forward, backward
