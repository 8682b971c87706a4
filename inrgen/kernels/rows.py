"""Symmetries, motions and noise on flat rows in one pass, compiled, to the bits of inrgen.core.

Import it late: numba is slow to load.
"""

import math
from typing import no_type_check

import numpy as np
from numba import njit

from inrgen.kernels.compiled import kept_on_disk

# The digits of a float32 but for its sign, and the least of them that is not finite.
_SIZE, _INFINITE = np.int32(0x7FFFFFFF), np.int32(0x7F800000)


@kept_on_disk
@no_type_check
def note_finite(flat, found):
    """found[r] = whether row r is finite throughout: its largest number is, by size, as bits."""
    bits = flat.view(np.int32)
    for row in range(flat.shape[0]):
        numbers, most = bits[row], np.int32(0)
        for i in range(len(numbers)):
            most = max(most, numbers[i] & _SIZE)
        found[row] = most < _INFINITE


@kept_on_disk
@no_type_check
def negate_rows(flat, signs, widths, found):
    """core.symmetry.negate: every weight times the signs of the units that it joins.

    signs: of all hidden units of a row, layer after layer, +1 and -1; products with them are exact.
    """
    num_layers = len(widths) - 1
    for row in range(flat.shape[0]):
        at, used = 0, 0
        below, above = signs[row, :0], signs[row, : widths[1]]
        for layer in range(num_layers):
            num_in, num_out = widths[layer], widths[layer + 1]
            stop = at + num_in * num_out
            old = flat[row, at:stop].reshape(num_out, num_in)
            new = found[row, at:stop].reshape(num_out, num_in)
            old_bias, new_bias = flat[row, stop : stop + num_out], found[row, stop : stop + num_out]
            is_last = layer == num_layers - 1
            for unit in range(num_out):
                sign = np.float32(1.0) if is_last else above[unit]
                new_bias[unit] = old_bias[unit] * sign
                if layer == 0:
                    for i in range(num_in):
                        new[unit, i] = old[unit, i] * sign
                else:
                    for i in range(num_in):
                        new[unit, i] = old[unit, i] * (sign * below[i])
            at = stop + num_out
            below = above
            if not is_last:
                used += num_out
                above = signs[row, used : used + widths[layer + 2]]


@kept_on_disk
@no_type_check
def move_rows(flat, matrix, shift, scale, offset, widths, found):
    """core.geometry.apply: another first layer, and another last one where values are scaled.

    Sums over coordinates begin at zero and go in order, each product rounded, as tensors' do.
    """
    num_in, num_first, num_last = widths[0], widths[1], widths[-1]
    last = flat.shape[1] - num_last * (widths[-2] + 1)
    for row in range(flat.shape[0]):
        old, new = flat[row], found[row]
        bias = num_first * num_in
        for unit in range(num_first):
            pushed = np.float32(0.0)
            for j in range(num_in):
                turned = np.float32(0.0)
                for i in range(num_in):
                    turned += old[unit * num_in + i] * matrix[row, i, j]
                new[unit * num_in + j] = turned
                pushed += old[unit * num_in + j] * shift[row, j]
            new[bias + unit] = old[bias + unit] + pushed
        new[bias + num_first : last] = old[bias + num_first : last]
        size = flat.shape[1] - num_last
        for place in range(last, size):
            new[place] = scale[row] * old[place]
        raised = (scale[row] - np.float32(1.0)) * offset
        for place in range(size, flat.shape[1]):
            new[place] = scale[row] * old[place] + raised


@njit(nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
@no_type_check
def _variance(values):
    """The unbiased variance in float64, and the square of the mean."""
    total = 0.0
    for i in range(len(values)):
        total += np.float64(values[i])
    mean = total / len(values)
    squares = 0.0
    for i in range(len(values)):
        away = np.float64(values[i]) - mean
        squares += away * away
    return squares / (len(values) - 1), mean * mean


@kept_on_disk
@no_type_check
def deviations(flat, cuts, found, doubtful):
    """found[r, t] = the standard deviation of tensor t of a row, places cuts[t] to cuts[t + 1] - 1.

    In float32, worked out in float64 as tensors do; doubtful[r, t] where summing in another order
    could show in its last digit, as it does where numbers hardly differ. 0 for a single number.
    """
    for row in range(flat.shape[0]):
        for t in range(len(cuts) - 1):
            values = flat[row, cuts[t] : cuts[t + 1]]
            if len(values) < 2:
                found[row, t], doubtful[row, t] = np.float32(0.0), False
                continue
            variance, square = _variance(values)
            deviation = math.sqrt(variance)
            margin = len(values) * 2.0**-50 * deviation
            low, high = np.float32(deviation - margin), np.float32(deviation + margin)
            found[row, t] = low
            # written so that what is not finite is in doubt
            doubtful[row, t] = not (low == high and square < 1e3 * variance)


@kept_on_disk
@no_type_check
def add_rows(flat, normal, sizes, cuts, found):
    """core.noise.add_noise: flat + sizes * normal, sizes being one for each tensor of each row."""
    for row in range(flat.shape[0]):
        for t in range(len(cuts) - 1):
            old, drawn = flat[row, cuts[t] : cuts[t + 1]], normal[row, cuts[t] : cuts[t + 1]]
            new, size = found[row, cuts[t] : cuts[t + 1]], sizes[row, t]
            if len(old) < 2:
                new[:] = old
            else:
                for i in range(len(old)):
                    new[i] = old[i] + size * drawn[i]
