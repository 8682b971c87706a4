"""Vector instructions of the compiled exchange within a weight, on one row of its units.

A vector holds so many channels of one entry side by side. Arrays are flat, and `at` says where in
them a row begins. Nothing is marked fast-math, so a NaN stays a NaN.
"""

import math

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from inrgen.kernels.emitter import FLOAT, INT, Workspace


class _Row(Workspace):
    """Vectors of several arrays, the first of which a Workspace knows by itself."""

    def __init__(self, context, builder, signature, arguments):
        super().__init__(context, builder, signature.args[0], arguments[0])
        self.context, self.signature, self.arguments = context, signature, arguments

    def start(self, number):
        """A place: that of an array among the arguments, which its offset follows."""
        kind, array = self.signature.args[number], self.arguments[number]
        data = self.context.make_array(kind)(self.context, self.builder, array).data
        return self.at(data, self.arguments[number + 1])

    def entry(self, start, index, stride):
        """The place of an entry's numbers."""
        return self.at(start, self.builder.mul(index, stride))

    def number(self, value):
        """A whole number in every lane."""
        return self.splat(self.builder.sitofp(value, FLOAT))

    def times(self, start, first, vectors):
        """start plus each vector times one of the numbers from first on."""
        total = start
        for c, vector in enumerate(vectors):
            number = self.splat(self.builder.load(self.step(first, c)))
            total = self.fma(number, vector, total)
        return total

    def take_greater(self, value, place, held, held_place):
        """The greater of value and held, with its place; NaN is the greatest, the first of equals.

        held and held_place are where they lie.
        """
        b = self.builder
        old = b.load(held)
        keep = b.or_(b.fcmp_ordered(">=", old, value), b.fcmp_unordered("uno", old, old))
        b.store(b.select(keep, old, value), held)
        b.store(b.select(keep, b.load(held_place), place), held_place)


@intrinsic(prefer_literal=True)
def exchange_row(
    typingctx, x, x_at, num_in, entry, entry_at, row, row_at, columns, columns_at, y, y_at,
    top_row, top_row_at, top_columns, top_columns_at, place_row, place_row_at,
    place_columns, place_columns_at, outer, num, width,
):  # fmt: skip
    """y[i] = max(0, x[i] entry + row + columns[i]) for a vector of channels and i < num.

    x[i] has num_in numbers; entry, columns and y have width numbers in a row. top_row and
    place_row become the greatest and where it is, top_columns and place_columns what is greatest
    so far, with outer for its place.
    """
    depth = num_in.literal_value

    def codegen(context, builder, signature, arguments):
        e = _Row(context, builder, signature, arguments)
        outer, num, width = arguments[-3:]
        x = e.start(0)
        matrix, row, columns, y, top, tops, place, places = (e.start(i) for i in range(3, 18, 2))
        rows = [e.load(e.entry(matrix, ir.Constant(INT, c), width)) for c in range(depth)]
        base, here, zero = e.load(row), e.number(outer), e.constant(0.0)
        held = cgutils.alloca_once_value(builder, e.constant(-math.inf))
        held_place = cgutils.alloca_once_value(builder, zero)
        tall, tall_place = (cgutils.alloca_once(builder, zero.type) for _ in range(2))
        with cgutils.for_range(builder, num) as loop:
            i = loop.index
            start = builder.fadd(base, e.load(e.entry(columns, i, width)))
            first = e.at(x, builder.mul(i, ir.Constant(INT, depth)))
            value = e.times(start, first, rows)
            value = builder.select(builder.fcmp_ordered("<", value, zero), zero, value)
            e.store(value, e.entry(y, i, width))
            e.take_greater(value, e.number(i), held, held_place)
            column, column_place = e.entry(tops, i, width), e.entry(places, i, width)
            builder.store(e.load(column), tall)
            builder.store(e.load(column_place), tall_place)
            e.take_greater(value, here, tall, tall_place)
            e.store(builder.load(tall), column)
            e.store(builder.load(tall_place), column_place)
        e.store(builder.load(held), top)
        e.store(builder.load(held_place), place)
        return context.get_dummy_value()

    arrays = [x, types.int64, num_in]
    for array in (entry, row, columns, y, top_row, top_columns, place_row, place_columns):
        arrays += [array, types.int64]
    return types.void(*arrays, types.int64, types.int64, types.int64), codegen


@intrinsic
def slope_row(
    typingctx, found, found_at, given, given_at, y, y_at, top_row, top_row_at, top_columns,
    top_columns_at, place_row, place_row_at, place_columns, place_columns_at, row, row_at,
    columns, columns_at, outer, num, width,
):  # fmt: skip
    """The gradients found[i] of a vector of channels before the rectifier, for i < num.

    They are those given of y and those of the maxima, top_row and top_columns, at their places.
    row and columns gain their sums.
    """

    def codegen(context, builder, signature, arguments):
        e = _Row(context, builder, signature, arguments)
        outer, num, width = arguments[-3:]
        found, given, y, top, tops, place, places, row, columns = (
            e.start(i) for i in range(0, 18, 2)
        )
        here, zero = e.number(outer), e.constant(0.0)
        greatest, greatest_place = e.load(top), e.load(place)
        total = cgutils.alloca_once_value(builder, e.load(row))

        def where(condition, value):
            return builder.select(condition, value, zero)

        with cgutils.for_range(builder, num) as loop:
            own, tall, tall_place, value, column = (
                e.entry(start, loop.index, width) for start in (given, tops, places, y, columns)
            )
            by_row = builder.fcmp_ordered("==", greatest_place, e.number(loop.index))
            by_column = builder.fcmp_ordered("==", e.load(tall_place), here)
            slope = builder.fadd(e.load(own), where(by_row, greatest))
            slope = builder.fadd(slope, where(by_column, e.load(tall)))
            slope = where(builder.fcmp_unordered("ugt", e.load(value), zero), slope)
            e.store(slope, e.entry(found, loop.index, width))
            e.store(builder.fadd(e.load(column), slope), column)
            builder.store(builder.fadd(builder.load(total), slope), total)
        e.store(builder.load(total), row)
        return context.get_dummy_value()

    arrays = [found, given, y, top_row, top_columns, place_row, place_columns, row, columns]
    places = [part for array in arrays for part in (array, types.int64)]
    return types.void(*places, types.int64, types.int64, types.int64), codegen


@intrinsic(prefer_literal=True)
def spread_row(typingctx, out, out_at, stride, x, x_at, depth, matrix, matrix_at, num):
    """out[i] = x[i] matrix for a vector of channels and i < num.

    x[i] has depth numbers; rows of out and of the matrix are stride apart.
    """
    count = depth.literal_value

    def codegen(context, builder, signature, arguments):
        e = _Row(context, builder, signature, arguments)
        out, x, matrix = e.start(0), e.start(3), e.start(6)
        stride, num = arguments[2], arguments[8]
        rows = [e.load(e.entry(matrix, ir.Constant(INT, c), stride)) for c in range(count)]
        with cgutils.for_range(builder, num) as loop:
            first = e.at(x, builder.mul(loop.index, ir.Constant(INT, count)))
            value = e.times(e.constant(0.0), first, rows)
            e.store(value, e.entry(out, loop.index, stride))
        return context.get_dummy_value()

    pairs = [out, types.int64, types.int64, x, types.int64, depth, matrix, types.int64]
    return types.void(*pairs, types.int64), codegen


@intrinsic(prefer_literal=True)
def product_row(typingctx, out, out_at, stride, x, x_at, depth, slopes, slopes_at, num):
    """out[k] gains the sum over i < num of x[i, k] slopes[i], for a vector of channels, k < depth.

    Rows of out and of slopes are stride apart.
    """
    count = depth.literal_value

    def codegen(context, builder, signature, arguments):
        e = _Row(context, builder, signature, arguments)
        out, x, slopes = e.start(0), e.start(3), e.start(6)
        stride, num = arguments[2], arguments[8]
        places = [e.entry(out, ir.Constant(INT, c), stride) for c in range(count)]
        sums = [cgutils.alloca_once_value(builder, e.load(place)) for place in places]
        with cgutils.for_range(builder, num) as loop:
            slope = e.load(e.entry(slopes, loop.index, stride))
            first = e.at(x, builder.mul(loop.index, ir.Constant(INT, count)))
            for c, held in enumerate(sums):
                number = e.splat(builder.load(e.step(first, c)))
                builder.store(e.fma(number, slope, builder.load(held)), held)
        for place, held in zip(places, sums, strict=True):
            e.store(builder.load(held), place)
        return context.get_dummy_value()

    pairs = [out, types.int64, types.int64, x, types.int64, depth, slopes, types.int64]
    return types.void(*pairs, types.int64), codegen
