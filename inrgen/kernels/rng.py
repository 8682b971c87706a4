"""Random numbers on a CPU in one pass, with the bits that a dozen passes over tensors give.

Uniform numbers are exact at every step. Short polynomials give normal numbers to a relative 2^-49.
That decides their float32 value except once in a million numbers; the kernel flags those rows, and
core/rng.py recomputes them.
"""

import math
from typing import no_type_check

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from inrgen.kernels import kept_on_disk

# Assumed bound on the relative error of a normal number: eight times that of the polynomials and
# roundings, which also covers the last digit of torch's own log and cos.
_DOUBT = 2.0**-46
# sin(r) / r in powers of r^2 for |r| <= pi / 2, and (log((1 + s) / (1 - s)) / s - 2) / s^2 in
# powers of s^2 for |s| <= 0.172; interpolated at Chebyshev nodes, relative error 2^-52 and 2^-50.
_SINE = (
    0.9999999999999999,
    -0.16666666666666072,
    0.008333333333282726,
    -0.00019841269824853736,
    2.7557316608034622e-06,
    -2.5051881879351066e-08,
    1.6048166167666442e-10,
    -7.374360691567403e-13,
)
_LOG = (
    0.6666666666666206,
    0.4000000001126889,
    0.2857142411852602,
    0.22222864433634934,
    0.18140099709839158,
    0.16623238036644686,
)
# pi / 2 and 3 pi / 2, each as a float64 and the remainder that it lacks.
_QUARTER, _QUARTER_REST = 0.5 * math.pi, 6.123233995736766e-17
_THREE, _THREE_REST = 4.71238898038469, 1.8369701987210297e-16
_LN_2 = 0.6931471805599453
# The bits of sqrt(1/2), where mantissas begin, and of 1.
_ROOT_BITS, _ONE_BITS = 0x3FE6A09E667F3BCD, 0x3FF0000000000000
_MANTISSA = (1 << 52) - 1


@intrinsic
def _bits_of(typingctx, number):
    """The 64 bits of a float64."""

    def emit(context, builder, signature, args):
        return builder.bitcast(args[0], ir.IntType(64))

    return types.int64(types.float64), emit


@intrinsic
def _number_of(typingctx, bits):
    """The float64 that has these 64 bits."""

    def emit(context, builder, signature, args):
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.int64), emit


@kept_on_disk
@no_type_check
def fill_unit(keys, constants, digits, found):
    """Set found[r, p] to the first `digits` binary digits of position p of key r, in [0, 1).

    constants holds the three of SplitMix64. Every step is exact: wrapping uint64 arithmetic, then
    a product with a power of two.
    """
    golden, mix_1, mix_2 = constants[0], constants[1], constants[2]
    drop, unit = np.uint64(64 - digits), 2.0**-digits
    # numba would turn uint64 with a plain integer into float64.
    s_1, s_2, s_3 = np.uint64(30), np.uint64(27), np.uint64(31)
    for row in range(found.shape[0]):
        key, numbers = keys[row], found[row]
        for place in range(found.shape[1]):
            x = key + np.uint64(place + 1) * golden
            x = (x ^ (x >> s_1)) * mix_1
            x = (x ^ (x >> s_2)) * mix_2
            numbers[place] = ((x ^ (x >> s_3)) >> drop) * unit


@njit(nogil=True)
@no_type_check
def _fill_pairs(key, constants, chances, turns):
    """Fill 1 - u and 2 pi u' for the pairs of uniform numbers behind a key's normal numbers.

    Positions are those of one draw of twice as many numbers. Rounding happens where tensors round.
    """
    golden, mix_1, mix_2 = constants[0], constants[1], constants[2]
    s_1, s_2, s_3, drop = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
    num = len(chances)
    for place in range(num):
        x = key + np.uint64(place + 1) * golden
        x = (x ^ (x >> s_1)) * mix_1
        x = (x ^ (x >> s_2)) * mix_2
        chances[place] = 1.0 - ((x ^ (x >> s_3)) >> drop) * 2.0**-53
    for place in range(num):
        x = key + np.uint64(num + place + 1) * golden
        x = (x ^ (x >> s_1)) * mix_1
        x = (x ^ (x >> s_2)) * mix_2
        turns[place] = ((x ^ (x >> s_3)) >> drop) * 2.0**-53 * (2.0 * math.pi)


@njit(nogil=True, error_model="numpy", fastmath={"contract"})
@no_type_check
def _pairs_to_normal(chances, turns, found):
    """Fill sqrt(-2 log(chance)) cos(turn); return how many may be off in their last digit.

    A chance is 2^e m with m in [sqrt(1/2), sqrt(2)), and log m is an odd series in s = (m - 1) /
    (m + 1). cos is the sine of the distance to its nearest zero, which keeps the relative error
    small there. A number is in doubt if that distance is too small to be known well.
    """
    doubts = 0
    for place in range(len(found)):
        # Shifting by sqrt(1/2) centres mantissas on 1, where the series in s is shortest.
        shifted = _bits_of(chances[place]) + (_ONE_BITS - _ROOT_BITS)
        exponent = (shifted >> 52) - 1023
        mantissa = _number_of((shifted & _MANTISSA) + _ROOT_BITS)
        s = (mantissa - 1.0) / (mantissa + 1.0)
        z = s * s
        series = _LOG[4] + z * _LOG[5]
        series = _LOG[2] + z * (_LOG[3] + z * series)
        series = _LOG[0] + z * (_LOG[1] + z * series)
        log = exponent * _LN_2 + (2.0 * s + s * z * series)
        turn = turns[place]
        before = turn < math.pi
        r = (_QUARTER - turn) + _QUARTER_REST if before else (turn - _THREE) - _THREE_REST
        z = r * r
        series = _SINE[6] + z * _SINE[7]
        series = _SINE[4] + z * (_SINE[5] + z * series)
        series = _SINE[2] + z * (_SINE[3] + z * series)
        series = _SINE[0] + z * (_SINE[1] + z * series)
        value = math.sqrt(-2.0 * log) * (r * series)
        margin = abs(value) * _DOUBT
        low, high = np.float32(value - margin), np.float32(value + margin)
        # Rounding at both ends of the error interval must agree, else the number is in doubt.
        found[place] = low
        doubts += (low != high) | (abs(r) < 2.0**-30) | (log > -(2.0**-30))
    return doubts


@kept_on_disk
@no_type_check
def fill_normal(keys, constants, found, doubtful):
    """Fill found[r] with standard normal float32 numbers of key r, by Box and Muller's transform.

    doubtful[r] says that some number of the row may not be the rounding of the exact one.
    """
    num = found.shape[1]
    chances, turns = np.empty(num), np.empty(num)
    for row in range(found.shape[0]):
        _fill_pairs(keys[row], constants, chances, turns)
        doubtful[row] = _pairs_to_normal(chances, turns, found[row]) > 0
