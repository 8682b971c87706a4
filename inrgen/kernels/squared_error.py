"""Squared errors of SIRENs over points: one INR at a time in float64, a tile of points in cache."""

import math
from typing import no_type_check

import numpy as np
from numba import njit

from inrgen.kernels.compiled import kept_on_disk

_TILE = 64
# sin(pi r) in powers of r^2, Taylor's: for |r| <= 1/2 what is left out is under 2e-18.
_SINE = tuple((-1.0) ** k * math.pi ** (2 * k + 1) / math.factorial(2 * k + 1) for k in range(11))


@njit(fastmath={"contract"})
@no_type_check
def _sine(half_turns):
    """sin(pi t) in place of t: of t less its nearest whole number, and of that number's parity."""
    for t in range(_TILE):
        whole = np.floor(half_turns[t] + 0.5)
        rest = half_turns[t] - whole
        square = rest * rest
        value = _SINE[10]
        value = value * square + _SINE[9]
        value = value * square + _SINE[8]
        value = value * square + _SINE[7]
        value = value * square + _SINE[6]
        value = value * square + _SINE[5]
        value = value * square + _SINE[4]
        value = value * square + _SINE[3]
        value = value * square + _SINE[2]
        value = value * square + _SINE[1]
        value = value * square + _SINE[0]
        odd = whole - 2.0 * np.floor(0.5 * whole)
        half_turns[t] = value * rest * (1.0 - 2.0 * odd)


@njit(fastmath={"contract"})
@no_type_check
def _affine(theta, at, fan_in, fan_out, scale, inputs, outputs):
    """scale * (W x + b) for a tile, with W and b from theta[at] on; four inputs at a time."""
    fours = fan_in // 4 * 4
    for o in range(fan_out):
        out, row = outputs[o], at + o * fan_in
        out[:] = theta[at + fan_in * fan_out + o] * scale
        for i in range(0, fours, 4):
            w0, w1 = theta[row + i] * scale, theta[row + i + 1] * scale
            w2, w3 = theta[row + i + 2] * scale, theta[row + i + 3] * scale
            x0, x1, x2, x3 = inputs[i], inputs[i + 1], inputs[i + 2], inputs[i + 3]
            for t in range(_TILE):
                out[t] += (w0 * x0[t] + w1 * x1[t]) + (w2 * x2[t] + w3 * x3[t])
        for i in range(fours, fan_in):
            w, x = theta[row + i] * scale, inputs[i]
            for t in range(_TILE):
                out[t] += w * x[t]


@njit
@no_type_check
def _tile_errors(widths, scales, offset, theta, coords, values, begin, one, two):
    """The sum of squared errors of one INR over the tile of points from begin on."""
    points, depth = min(_TILE, len(values) - begin), len(widths) - 1
    for d in range(widths[0]):
        for t in range(points):
            one[d, t] = coords[begin + t, d]
    at = 0
    for layer in range(depth):
        fan_in, fan_out = widths[layer], widths[layer + 1]
        _affine(theta, at, fan_in, fan_out, scales[layer], one, two)
        at += fan_out * (fan_in + 1)
        if layer < depth - 1:
            for h in range(fan_out):
                _sine(two[h])
        one, two = two, one
    total = 0.0
    for k in range(widths[depth]):
        for t in range(points):
            error = one[k, t] + offset - values[begin + t, k]
            total += error * error
    return total


@kept_on_disk
@no_type_check
def mean_squares(widths, scales, offset, theta, coords, values, signal_of, found, start, stop):
    """Fill found with the mean squared errors of rows start..stop-1 of theta (b, p).

    coords is (c, n, d_in), one for all or one a signal, values (s, n, d_out). scales is omega / pi
    of each hidden layer, and 1 for the last.
    """
    # What a last tile holds past the last point is computed and never read.
    one, two = np.zeros((widths.max(), _TILE)), np.zeros((widths.max(), _TILE))
    for row in range(start, stop):
        signal = signal_of[row]
        points, target = coords[signal if len(coords) > 1 else 0], values[signal]
        total = 0.0
        for begin in range(0, len(target), _TILE):
            total += _tile_errors(
                widths, scales, offset, theta[row], points, target, begin, one, two
            )
        found[row] = total / target.size
