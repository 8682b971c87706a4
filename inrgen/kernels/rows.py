"""Passes over flat rows: symmetries, motions, noise and errors, with the bits that core gives."""

import math
from typing import no_type_check

import numpy as np
from numba import njit

from inrgen.kernels import kept_on_disk

# The bits of a float32 without its sign, and the smallest such bits that are not finite.
_SIZE, _INFINITE = np.int32(0x7FFFFFFF), np.int32(0x7F800000)
_TILE = 64
# Taylor series of sin(pi r) in powers of r^2; for |r| <= 1/2 the remainder is under 2e-18.
_SINE = tuple((-1.0) ** k * math.pi ** (2 * k + 1) / math.factorial(2 * k + 1) for k in range(11))


@kept_on_disk
@no_type_check
def note_finite(flat, found):
    """Set found[r] to whether every number of row r is finite; compares absolute values as bits."""
    # Integer maxima vectorise, while a float maximum must treat NaN apart.
    bits = flat.view(np.int32)
    for row in range(flat.shape[0]):
        numbers, most = bits[row], np.int32(0)
        for i in range(len(numbers)):
            most = max(most, numbers[i] & _SIZE)
        found[row] = most < _INFINITE


@kept_on_disk
@no_type_check
def negate_rows(flat, signs, widths, found):
    """core.symmetry.negate: multiply every weight by the signs of the two units that it joins.

    signs holds +1 and -1 for all hidden units of a row, layer after layer, so products are exact.
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
                # Outputs have no sign.
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
    """core.geometry.apply: change the first layer, and the last one where values are scaled.

    Sums over coordinates start at zero and run in order, each product rounded, as in torch.
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
        # f + offset scaled by s is s f + (s - 1) offset + offset, as in core.geometry.
        raised = (scale[row] - np.float32(1.0)) * offset
        for place in range(size, flat.shape[1]):
            new[place] = scale[row] * old[place] + raised


# Reassociation vectorises the sums; deviations flags results that could depend on it.
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
    """Set found[r, t] to the standard deviation of tensor t of row r, entries cuts[t]..cuts[t+1]-1.

    It is computed in float64 and rounded to float32, as torch does; it is 0 for a single number.
    doubtful[r, t] says that another order of summation could change the last digit, which happens
    where numbers hardly differ.
    """
    for row in range(flat.shape[0]):
        for t in range(len(cuts) - 1):
            values = flat[row, cuts[t] : cuts[t + 1]]
            if len(values) < 2:
                found[row, t], doubtful[row, t] = np.float32(0.0), False
                continue
            variance, square = _variance(values)
            deviation = math.sqrt(variance)
            # Bounds the rounding of a sum of that many float64 terms in any order.
            margin = len(values) * 2.0**-50 * deviation
            low, high = np.float32(deviation - margin), np.float32(deviation + margin)
            found[row, t] = low
            # Negated, so that NaN counts as doubtful.
            doubtful[row, t] = not (low == high and square < 1e3 * variance)


@kept_on_disk
@no_type_check
def add_rows(flat, normal, sizes, cuts, found):
    """core.mixing.add_noise: flat + sizes * normal, with one size for each tensor of each row."""
    for row in range(flat.shape[0]):
        for t in range(len(cuts) - 1):
            old, drawn = flat[row, cuts[t] : cuts[t + 1]], normal[row, cuts[t] : cuts[t + 1]]
            new, size = found[row, cuts[t] : cuts[t + 1]], sizes[row, t]
            if len(old) < 2:
                new[:] = old
            else:
                for i in range(len(old)):
                    new[i] = old[i] + size * drawn[i]


@njit(fastmath={"contract"})
@no_type_check
def _sine(half_turns):
    """Replace t by sin(pi t), from the distance to the nearest integer and its parity."""
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
        # Parity by arithmetic, because converting to integers would end vectorisation.
        odd = whole - 2.0 * np.floor(0.5 * whole)
        half_turns[t] = value * rest * (1.0 - 2.0 * odd)


@njit(fastmath={"contract"})
@no_type_check
def _affine(theta, at, fan_in, fan_out, scale, inputs, outputs):
    """Fill outputs with scale * (W x + b) for a tile; W and b start at theta[at]."""
    # Four inputs a pass: each output tile is loaded and stored a quarter as often.
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
    """The sum of squared errors of one INR over the tile of points that starts at begin."""
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
        # The outputs of a layer are the inputs of the next; swapping buffers saves a copy.
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
    """Fill found with the mean squared errors of INRs start..stop-1, in float64.

    Args:
        scales: omega / pi of each hidden layer, and 1 for the last layer.
        theta: (b, p) flat rows.
        coords: (c, n, d_in), with c = 1 if all signals share their points.
        values: (s, n, d_out).
        signal_of: (b,) signal of each INR.
    """
    # Entries of the last tile past the last point are computed and never read.
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


@kept_on_disk
@no_type_check
def copy_rows(source, starts, target, places):
    """Set row places[i] of target to the numbers of source from starts[i] on, for every i."""
    size = target.shape[1]
    for i in range(len(starts)):
        # slices, whose indices cannot be negative, make this twice as fast as an offset does
        row, place = source[starts[i] : starts[i] + size], target[places[i]]
        for j in range(size):
            place[j] = row[j]
