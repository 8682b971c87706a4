"""Vector instructions of compiled set attention, on one head's numbers in a workspace.

A vector holds the numbers of LANES units side by side. The workspace has a head's matrices in rows
padded to whole vectors: (w, h) by channel and unit, and shares and slopes (h, h) by the queried and
the querying unit. Shares are attention weights; slopes are gradients of scores. Numbers of a single
unit, by which whole vectors are multiplied, are read from the input array (h, c): w channels from
`at` on. Nothing is marked fast-math, so a NaN stays a NaN.
"""

import math

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from inrgen.kernels.emitter import BITS, INT, LANES, Workspace

# Taylor series of e^r for |r| <= ln(2) / 2; its remainder is below 2e-8.
_EXPONENTIAL = tuple(1.0 / math.factorial(k) for k in range(8))
# ln(2) as a number of few bits, whose small multiples are exact, and the remainder.
_LN2_HEAD, _LN2_REST = 0.693359375, math.log(2.0) - 0.693359375
# Shares below e^-87 of the largest are raised to it, because smaller floats are denormal.
_LEAST = -87.0


def _exponential(e, x):
    """e^x for x <= 0, as 2^k e^r with the nearest whole k."""
    b, least = e.builder, e.constant(_LEAST)
    x = b.select(b.fcmp_ordered("<", x, least), least, x)
    whole = e.call("rint", b.fmul(x, e.constant(1.0 / math.log(2.0))))
    rest = e.fma(whole, e.constant(-_LN2_HEAD), x)
    rest = e.fma(whole, e.constant(-_LN2_REST), rest)
    exponent = b.add(b.fptosi(whole, BITS), ir.Constant(BITS, [127] * LANES))
    power = b.bitcast(b.shl(exponent, ir.Constant(BITS, [23] * LANES)), least.type)
    return b.fmul(e.polynomial(_EXPONENTIAL, rest), power)


class _Numbers:
    """The channels of one unit of a head, each broadcast to every lane."""

    def __init__(self, emitter, context, signature, arguments, width):
        self.e, self.width = emitter, width
        found = context.make_array(signature.args[2])(context, emitter.builder, arguments[2])
        self.first = emitter.at(found.data, arguments[3])
        self.stride = cgutils.unpack_tuple(emitter.builder, found.shape)[1]

    def __getitem__(self, unit):
        first = self.e.at(self.first, self.e.builder.mul(unit, self.stride))
        loads = [self.e.builder.load(self.e.step(first, c)) for c in range(self.width)]
        return [self.e.splat(value) for value in loads]


class _Head(Workspace):
    """The workspace of one head, with its width and the padded length of rows."""

    def __init__(self, context, builder, signature, arguments, width, padded):
        super().__init__(context, builder, signature.args[0], arguments[0])
        self.width, self.padded = width, padded

    def row(self, matrix, number, unit):
        """Address of a row at a unit; the row's number is an int, or a value at run time."""
        if isinstance(number, int):
            number = ir.Constant(INT, number)
        return self.at(self.place(matrix, self.builder.mul(number, self.padded)), unit)

    def column(self, matrix, unit):
        """The vectors of all channels that begin at a unit."""
        return [self.load(self.row(matrix, c, unit)) for c in range(self.width)]

    def dot(self, left, right):
        """Sum of products over channels."""
        total = self.builder.fmul(left[0], right[0])
        for a, b in zip(left[1:], right[1:], strict=True):
            total = self.fma(a, b, total)
        return total


@intrinsic(prefer_literal=True)
def weigh(typingctx, work, width, keys, at, q, shares, inverse, num, padded, unit):
    """Write the shares e^(q . k - max) of a vector of units from `unit` on, over num units.

    q is (w, h) in the workspace. inverse[unit] is one over the sum of shares, by which they are not
    multiplied yet.
    """
    w = width.literal_value

    def codegen(context, builder, signature, arguments):
        q, shares, inverse, num, padded, unit = arguments[4:]
        e = _Head(context, builder, signature, arguments, w, padded)
        k = _Numbers(e, context, signature, arguments, w)
        queries = e.column(q, unit)
        top = cgutils.alloca_once_value(builder, e.constant(-math.inf))
        with cgutils.for_range(builder, num) as loop:
            score = e.dot(k[loop.index], queries)
            e.store(score, e.row(shares, loop.index, unit))
            held = builder.load(top)
            more = builder.fcmp_ordered(">", score, held)
            builder.store(builder.select(more, score, held), top)
        total = cgutils.alloca_once_value(builder, e.constant(0.0))
        with cgutils.for_range(builder, num) as loop:
            place = e.row(shares, loop.index, unit)
            share = _exponential(e, builder.fsub(e.load(place), builder.load(top)))
            e.store(share, place)
            builder.store(builder.fadd(builder.load(total), share), total)
        one = builder.fdiv(e.constant(1.0), builder.load(total))
        e.store(one, e.at(e.place(inverse), unit))
        return context.get_dummy_value()

    return types.void(work, width, keys, *[types.int64] * 7), codegen


@intrinsic(prefer_literal=True)
def gather(typingctx, work, width, numbers, at, rows, out, num, padded, unit):
    """out[c, unit] = the sum over j < num of numbers[j, c] rows[j, unit], for a vector of units."""
    w = width.literal_value

    def codegen(context, builder, signature, arguments):
        rows, out, num, padded, unit = arguments[4:]
        e = _Head(context, builder, signature, arguments, w, padded)
        numbers = _Numbers(e, context, signature, arguments, w)
        sums = [cgutils.alloca_once_value(builder, e.constant(0.0)) for _ in range(w)]
        with cgutils.for_range(builder, num) as loop:
            vector = e.load(e.row(rows, loop.index, unit))
            for place, number in zip(sums, numbers[loop.index], strict=True):
                builder.store(e.fma(number, vector, builder.load(place)), place)
        for c, place in enumerate(sums):
            e.store(builder.load(place), e.row(out, c, unit))
        return context.get_dummy_value()

    return types.void(work, width, numbers, *[types.int64] * 6), codegen


@intrinsic(prefer_literal=True)
def slope(typingctx, work, width, values, at, g, shares, inverse, slopes, num, padded, unit):
    """Write the gradients of the scores of a vector of units, from the output's gradient g (w, h).

    Shares a are normalised on the way. The gradient of a share is g . v, and that of a score is
    a (g . v - sum_j a_j (g . v_j)).
    """
    w = width.literal_value

    def codegen(context, builder, signature, arguments):
        g, shares, inverse, slopes, num, padded, unit = arguments[4:]
        e = _Head(context, builder, signature, arguments, w, padded)
        v = _Numbers(e, context, signature, arguments, w)
        wanted = e.column(g, unit)
        factor = e.load(e.at(e.place(inverse), unit))
        mean = cgutils.alloca_once_value(builder, e.constant(0.0))
        with cgutils.for_range(builder, num) as loop:
            gradient = e.dot(v[loop.index], wanted)
            e.store(gradient, e.row(slopes, loop.index, unit))
            place = e.row(shares, loop.index, unit)
            share = builder.fmul(e.load(place), factor)
            e.store(share, place)
            builder.store(e.fma(share, gradient, builder.load(mean)), mean)
        with cgutils.for_range(builder, num) as loop:
            place = e.row(slopes, loop.index, unit)
            away = builder.fsub(e.load(place), builder.load(mean))
            e.store(builder.fmul(away, e.load(e.row(shares, loop.index, unit))), place)
        return context.get_dummy_value()

    return types.void(work, width, values, *[types.int64] * 8), codegen


@intrinsic
def transpose(typingctx, work, source, target, padded, row, unit):
    """Transpose a square of LANES rows of source (h, h) into target."""

    def codegen(context, builder, signature, arguments):
        source, target, padded, row, unit = arguments[1:]
        e = _Head(context, builder, signature, arguments, 0, padded)
        rows = [builder.add(row, ir.Constant(INT, l)) for l in range(LANES)]
        columns = e.transposed([e.load(e.row(source, r, unit)) for r in rows])
        for l, column in enumerate(columns):
            e.store(column, e.row(target, builder.add(unit, ir.Constant(INT, l)), row))
        return context.get_dummy_value()

    return types.void(work, *[types.int64] * 5), codegen


class _Square(Workspace):
    """A square of LANES units by LANES channels, in the workspace and in an array (h, c)."""

    def __init__(self, context, builder, signature, arguments):
        super().__init__(context, builder, signature.args[0], arguments[0])
        place, padded, array, at, unit, self.factor = arguments[1:]
        found = context.make_array(signature.args[3])(context, builder, array)
        stride = cgutils.unpack_tuple(builder, found.shape)[1]
        first = self.at(found.data, builder.add(builder.mul(unit, stride), at))
        inside = self.place(place, unit)
        steps = [ir.Constant(INT, l) for l in range(LANES)]
        self.outside = [self.at(first, builder.mul(stride, l)) for l in steps]
        self.inside = [self.at(inside, builder.mul(padded, l)) for l in steps]

    def copy(self, sources, targets):
        """Transpose one square, times the factor, into the other."""
        factor = self.splat(self.factor)
        columns = self.transposed([self.load(source) for source in sources])
        for column, target in zip(columns, targets, strict=True):
            self.store(self.builder.fmul(column, factor), target)


@intrinsic
def flip_in(typingctx, work, place, padded, array, at, unit, factor):
    """Transpose channels from `at` on of LANES units of array (h, c), times factor, to (c, h)."""

    def codegen(context, builder, signature, arguments):
        square = _Square(context, builder, signature, arguments)
        square.copy(square.outside, square.inside)
        return context.get_dummy_value()

    ints = types.int64, types.int64
    return types.void(work, *ints, array, *ints, types.float32), codegen


@intrinsic
def flip_out(typingctx, work, place, padded, array, at, unit, factor):
    """The inverse of flip_in, multiplied by factor again."""

    def codegen(context, builder, signature, arguments):
        square = _Square(context, builder, signature, arguments)
        square.copy(square.inside, square.outside)
        return context.get_dummy_value()

    ints = types.int64, types.int64
    return types.void(work, *ints, array, *ints, types.float32), codegen
