"""Blocks of the assignment solver and of matching: one pass over rows of float64 numbers.

Rows are parts of flat arrays, padded to whole vectors. None may hold NaN.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from inrgen.kernels.emitter import DOUBLE, INT, Emitter

# One AVX-512 register, or two of AVX; LLVM splits vectors that a machine lacks.
_LANES = 8
# Tile of a matrix product: this many rows and columns are held in registers.
TILE_ROWS, TILE_COLUMNS = 4, 2 * _LANES


class _Rows(Emitter):
    """Vectors of float64 with the numbers of their columns."""

    def __init__(self, context, builder):
        super().__init__(context, builder, DOUBLE, _LANES)
        self.whole_numbers = ir.VectorType(INT, _LANES)
        self.least, self.never = self.constant(-np.inf), self.constant(np.inf)

    def columns(self, start):
        """start, start + 1 and so on, as float64."""
        lanes = ir.Constant(self.vector, [float(i) for i in range(_LANES)])
        return self.builder.fadd(self.splat(self.builder.sitofp(start, DOUBLE)), lanes)

    def starts(self, num):
        """A loop over the starts of the vectors of a row of num numbers."""
        zero, step = ir.Constant(INT, 0), ir.Constant(INT, _LANES)
        return cgutils.for_range_slice(self.builder, zero, num, step, INT)


class _Greatest:
    """The greatest number of a row and its first column, kept lane by lane."""

    def __init__(self, emitter):
        self.e, builder = emitter, emitter.builder
        self.held = cgutils.alloca_once_value(builder, emitter.least)
        self.places = cgutils.alloca_once_value(builder, emitter.least)

    def take(self, values, columns):
        """Take in the values of some columns; return each lane's greatest value before them."""
        builder, held = self.e.builder, self.e.builder.load(self.held)
        wins = builder.fcmp_ordered(">", values, held)
        builder.store(builder.select(wins, columns, builder.load(self.places)), self.places)
        builder.store(self.e.greater(values, held), self.held)
        return held

    def place_of(self, top):
        """The first column of the greatest value, which every lane of top holds."""
        builder = self.e.builder
        # Lanes keep their first maximum, so the smallest of their columns is the first of all.
        ties = builder.fcmp_ordered("==", builder.load(self.held), top)
        candidates = builder.select(ties, builder.load(self.places), self.e.never)
        (least,) = self.e.reduce_lanes(lambda a, b: [self.e.less(a[0], b[0])], candidates)
        return builder.fptosi(self.e.first(least), INT)


@intrinsic
def best_two(typingctx, gains, at, prices, num):
    """The greatest gains[at + j] - prices[j] for j < num, the second greatest, and the first j."""
    result = types.Tuple((types.float64, types.float64, types.int64))

    def generate(context, builder, signature, args):
        e = _Rows(context, builder)
        row = e.at(e.data(signature.args[0], args[0]), args[1])
        price = e.data(signature.args[2], args[2])
        greatest, second = _Greatest(e), cgutils.alloca_once_value(builder, e.least)
        with e.starts(args[3]) as (start, _):
            value = builder.fsub(e.load(e.at(row, start)), e.load(e.at(price, start)))
            # The loser of each comparison competes for second place.
            behind = e.less(value, greatest.take(value, e.columns(start)))
            builder.store(e.greater(builder.load(second), behind), second)

        def better_two(a, b):
            behind = e.greater(e.less(a[0], b[0]), e.greater(a[1], b[1]))
            return [e.greater(a[0], b[0]), behind]

        lanes = builder.load(greatest.held), builder.load(second)
        top, after = e.reduce_lanes(better_two, *lanes)
        found = e.first(top), e.first(after), greatest.place_of(top)
        return context.make_tuple(builder, result, found)

    return result(gains, at, prices, num), generate


@intrinsic
def relax(typingctx, gains, at, held, base, row, done, reach, before, num):
    """Raise reach[j] to gains[at + j] - held[j] - base where that is more; note row in before[j].

    Column `done` is closed first, or none if it is -1: held becomes infinity there, and reach
    minus infinity. (Writing one number and reading it at once as part of a vector would stall.)
    Returns the greatest of reach[:num] and its first column.
    """
    result = types.Tuple((types.float64, types.int64))

    def generate(context, builder, signature, args):
        e = _Rows(context, builder)
        gain, prices, reached, origin = (e.data(signature.args[k], args[k]) for k in (0, 2, 6, 7))
        gain, away, here = e.at(gain, args[1]), e.splat(args[3]), e.splat(args[4])
        # Column numbers are float64, so that their masks select float64 vectors directly.
        closing = e.splat(builder.sitofp(args[5], DOUBLE))
        greatest = _Greatest(e)
        with e.starts(args[8]) as (start, _):
            columns = e.columns(start)
            closed = builder.fcmp_ordered("==", columns, closing)
            price = builder.select(closed, e.never, e.load(e.at(prices, start)))
            e.store(price, e.at(prices, start))
            through = builder.fsub(builder.fsub(e.load(e.at(gain, start)), price), away)
            old = builder.select(closed, e.least, e.load(e.at(reached, start)))
            farther = builder.fcmp_ordered(">", through, old)
            value = builder.select(farther, through, old)
            e.store(value, e.at(reached, start))
            was = e.load(e.at(origin, start), e.whole_numbers)
            e.store(builder.select(farther, here, was), e.at(origin, start))
            greatest.take(value, columns)
        lanes = builder.load(greatest.held)
        (top,) = e.reduce_lanes(lambda a, b: [e.greater(a[0], b[0])], lanes)
        return context.make_tuple(builder, result, (e.first(top), greatest.place_of(top)))

    return result(gains, at, held, base, row, done, reach, before, num), generate


@intrinsic
def scaled(typingctx, source, source_at, factor, target, target_at):
    """target[target_at + c] = factor * source[source_at + c] for the columns c of a tile."""

    def generate(context, builder, signature, args):
        e = _Rows(context, builder)
        read = e.at(e.data(signature.args[0], args[0]), args[1])
        write = e.at(e.data(signature.args[3], args[3]), args[4])
        factor_ = e.splat(args[2])
        for lane in range(0, TILE_COLUMNS, _LANES):
            value = builder.fmul(factor_, e.load(e.step(read, lane)))
            e.store(value, e.step(write, lane))
        return context.get_dummy_value()

    return types.void(source, source_at, factor, target, target_at), generate


@intrinsic
def tile(typingctx, left, left_at, right, right_at, depth, total, at, stride):
    """Tile of a matrix product; entry (r, c) goes to total[at + r * stride + c].

    The entry is the sum over k < depth of left[left_at + k * TILE_ROWS + r] times
    right[right_at + k * TILE_COLUMNS + c].
    """

    def generate(context, builder, signature, args):
        e = _Rows(context, builder)
        lefts, rights, totals = (
            e.at(e.data(signature.args[k], args[k]), args[k + 1]) for k in (0, 2, 5)
        )
        columns = range(0, TILE_COLUMNS, _LANES)
        sums = [
            [cgutils.alloca_once_value(builder, e.constant(0.0)) for _ in columns]
            for _ in range(TILE_ROWS)
        ]
        with cgutils.for_range(builder, args[4]) as loop:
            a = e.at(lefts, builder.mul(loop.index, ir.Constant(INT, TILE_ROWS)))
            b = e.at(rights, builder.mul(loop.index, ir.Constant(INT, TILE_COLUMNS)))
            vectors = [e.load(e.step(b, column)) for column in columns]
            for r, held in enumerate(sums):
                scalar = e.splat(builder.load(e.step(a, r)))
                for place, vector in zip(held, vectors, strict=True):
                    builder.store(e.fma(scalar, vector, builder.load(place)), place)
        for r, held in enumerate(sums):
            line = e.at(totals, builder.mul(args[7], ir.Constant(INT, r)))
            for column, place in zip(columns, held, strict=True):
                e.store(builder.load(place), e.step(line, column))
        return context.get_dummy_value()

    return types.void(left, left_at, right, right_at, depth, total, at, stride), generate
