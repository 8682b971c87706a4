"""Rows of numbers, eight at a time: what compiled matching spends its time on.

Written in the compiler's own vector instructions, which it fits to the machine, rather than left to
its vectoriser: that finds neither the greatest and its place in one pass, nor sums that stay in
registers. Rows are parts of flat float64 arrays, padded to whole vectors; none may hold NaN.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 8
# A tile of a product of matrices: so many rows by so many columns, held in registers.
TILE_ROWS, TILE_COLUMNS = 4, 2 * LANES

_FLOAT, _INT, _LANE = ir.DoubleType(), ir.IntType(64), ir.IntType(32)
_VECTOR, _WHOLES = ir.VectorType(_FLOAT, LANES), ir.VectorType(_INT, LANES)
_LEAST = ir.Constant(_VECTOR, [-np.inf] * LANES)
_NEVER = ir.Constant(_VECTOR, [np.inf] * LANES)


class _Emitter:
    """Vector instructions on flat arrays."""

    def __init__(self, context, builder):
        self.context, self.builder = context, builder

    def data(self, array_type, array):
        return self.context.make_array(array_type)(self.context, self.builder, array).data

    def at(self, pointer, index):
        return self.builder.gep(pointer, [index])

    def step(self, pointer, count):
        return self.builder.gep(pointer, [ir.Constant(_INT, count)])

    def load(self, pointer, kind=_VECTOR):
        return self.builder.load(self.builder.bitcast(pointer, kind.as_pointer()), align=8)

    def store(self, value, pointer):
        target = self.builder.bitcast(pointer, value.type.as_pointer())
        self.builder.store(value, target, align=8)

    def splat(self, scalar):
        kind = ir.VectorType(scalar.type, LANES)
        lane = self.builder.insert_element(
            ir.Constant(kind, ir.Undefined), scalar, ir.Constant(_LANE, 0)
        )
        zeros = ir.Constant(ir.VectorType(_LANE, LANES), [0] * LANES)
        return self.builder.shuffle_vector(lane, lane, zeros)

    def greater(self, a, b):
        return self.builder.select(self.builder.fcmp_ordered(">", a, b), a, b)

    def less(self, a, b):
        return self.builder.select(self.builder.fcmp_ordered("<", a, b), a, b)

    def across(self, together, *vectors):
        """All lanes put together, two and two: every lane ends up with the result of all."""
        for distance in (4, 2, 1):
            turn = ir.Constant(ir.VectorType(_LANE, LANES), [i ^ distance for i in range(LANES)])
            vectors = together(vectors, [self.builder.shuffle_vector(v, v, turn) for v in vectors])
        return vectors

    def first(self, vector):
        return self.builder.extract_element(vector, ir.Constant(_LANE, 0))

    def columns(self, start):
        """start, start + 1 and so on, as numbers like the others."""
        lanes = ir.Constant(_VECTOR, [float(i) for i in range(LANES)])
        return self.builder.fadd(self.splat(self.builder.sitofp(start, _FLOAT)), lanes)

    def vectors(self, num):
        """A loop over the starts of the vectors of a row of num numbers."""
        zero, step = ir.Constant(_INT, 0), ir.Constant(_INT, LANES)
        return cgutils.for_range_slice(self.builder, zero, num, step, _INT)


class _Greatest:
    """The greatest of a row and its first place, lane by lane until all lanes are put together."""

    def __init__(self, emitter):
        self.e, builder = emitter, emitter.builder
        self.held = cgutils.alloca_once_value(builder, _LEAST)
        self.places = cgutils.alloca_once_value(builder, _LEAST)

    def take(self, values, columns):
        """Look at the values of so many columns; return what was the greatest of each lane."""
        builder, held = self.e.builder, self.e.builder.load(self.held)
        wins = builder.fcmp_ordered(">", values, held)
        builder.store(builder.select(wins, columns, builder.load(self.places)), self.places)
        builder.store(self.e.greater(values, held), self.held)
        return held

    def place_of(self, top):
        """The first place of the greatest, which every lane of top holds."""
        builder = self.e.builder
        ties = builder.fcmp_ordered("==", builder.load(self.held), top)
        candidates = builder.select(ties, builder.load(self.places), _NEVER)
        (least,) = self.e.across(lambda a, b: [self.e.less(a[0], b[0])], candidates)
        return builder.fptosi(self.e.first(least), _INT)


@intrinsic
def best_two(typingctx, gains, at, prices, num):
    """The greatest of gains[at + j] - prices[j] over j < num, the next, and the first's place."""
    result = types.Tuple((types.float64, types.float64, types.int64))

    def generate(context, builder, signature, args):
        e = _Emitter(context, builder)
        row = e.at(e.data(signature.args[0], args[0]), args[1])
        price = e.data(signature.args[2], args[2])
        greatest, second = _Greatest(e), cgutils.alloca_once_value(builder, _LEAST)
        with e.vectors(args[3]) as (start, _):
            value = builder.fsub(e.load(e.at(row, start)), e.load(e.at(price, start)))
            behind = e.less(value, greatest.take(value, e.columns(start)))
            builder.store(e.greater(builder.load(second), behind), second)

        def better_two(a, b):
            behind = e.greater(e.less(a[0], b[0]), e.greater(a[1], b[1]))
            return [e.greater(a[0], b[0]), behind]

        lanes = builder.load(greatest.held), builder.load(second)
        top, after = e.across(better_two, *lanes)
        found = e.first(top), e.first(after), greatest.place_of(top)
        return context.make_tuple(builder, result, found)

    return result(gains, at, prices, num), generate


@intrinsic
def relax(typingctx, gains, at, held, base, row, done, reach, before, num):
    """Raise reach[j] to gains[at + j] - held[j] - base where that is more, with before[j] = row.

    Column done, of which there is none for -1, is closed first: held there is infinity from now
    on and reach the reverse. (A number written alone and read at once as part of a vector would
    stall.) Returns the greatest of reach[:num], and its first place.
    """
    result = types.Tuple((types.float64, types.int64))

    def generate(context, builder, signature, args):
        e = _Emitter(context, builder)
        gain, prices, reached, origin = (e.data(signature.args[k], args[k]) for k in (0, 2, 6, 7))
        gain, away, here = e.at(gain, args[1]), e.splat(args[3]), e.splat(args[4])
        closing = e.splat(builder.sitofp(args[5], _FLOAT))
        greatest = _Greatest(e)
        with e.vectors(args[8]) as (start, _):
            columns = e.columns(start)
            closed = builder.fcmp_ordered("==", columns, closing)
            price = builder.select(closed, _NEVER, e.load(e.at(prices, start)))
            e.store(price, e.at(prices, start))
            through = builder.fsub(builder.fsub(e.load(e.at(gain, start)), price), away)
            old = builder.select(closed, _LEAST, e.load(e.at(reached, start)))
            farther = builder.fcmp_ordered(">", through, old)
            value = builder.select(farther, through, old)
            e.store(value, e.at(reached, start))
            was = e.load(e.at(origin, start), _WHOLES)
            e.store(builder.select(farther, here, was), e.at(origin, start))
            greatest.take(value, columns)
        lanes = builder.load(greatest.held)
        (top,) = e.across(lambda a, b: [e.greater(a[0], b[0])], lanes)
        return context.make_tuple(builder, result, (e.first(top), greatest.place_of(top)))

    return result(gains, at, held, base, row, done, reach, before, num), generate


@intrinsic
def scaled(typingctx, source, source_at, factor, target, target_at):
    """target[target_at + c] = factor * source[source_at + c], for the columns of a tile."""

    def generate(context, builder, signature, args):
        e = _Emitter(context, builder)
        read = e.at(e.data(signature.args[0], args[0]), args[1])
        write = e.at(e.data(signature.args[3], args[3]), args[4])
        factor_ = e.splat(args[2])
        for lane in range(0, TILE_COLUMNS, LANES):
            value = builder.fmul(factor_, e.load(e.step(read, lane)))
            e.store(value, e.step(write, lane))
        return context.get_dummy_value()

    return types.void(source, source_at, factor, target, target_at), generate


@intrinsic
def tile(typingctx, left, left_at, right, right_at, depth, total, at, stride):
    """One tile of a product: row r, column c of it at total[at + r * stride + c].

    The sum over k < depth of left[left_at + k * TILE_ROWS + r] and
    right[right_at + k * TILE_COLUMNS + c].
    """

    def generate(context, builder, signature, args):
        e = _Emitter(context, builder)
        lefts, rights, totals = (
            e.at(e.data(signature.args[k], args[k]), args[k + 1]) for k in (0, 2, 5)
        )
        zero, columns = ir.Constant(_VECTOR, [0.0] * LANES), range(0, TILE_COLUMNS, LANES)
        sums = [
            [cgutils.alloca_once_value(builder, zero) for _ in columns] for _ in range(TILE_ROWS)
        ]
        kind, name = ir.FunctionType(_VECTOR, [_VECTOR] * 3), f"llvm.fmuladd.v{LANES}f64"
        fma = cgutils.get_or_insert_function(builder.module, kind, name)
        with cgutils.for_range(builder, args[4]) as loop:
            a = e.at(lefts, builder.mul(loop.index, ir.Constant(_INT, TILE_ROWS)))
            b = e.at(rights, builder.mul(loop.index, ir.Constant(_INT, TILE_COLUMNS)))
            vectors = [e.load(e.step(b, column)) for column in columns]
            for r, held in enumerate(sums):
                scalar = e.splat(builder.load(e.step(a, r)))
                for place, vector in zip(held, vectors, strict=True):
                    builder.store(builder.call(fma, [scalar, vector, builder.load(place)]), place)
        for r, held in enumerate(sums):
            line = e.at(totals, builder.mul(args[7], ir.Constant(_INT, r)))
            for column, place in zip(columns, held, strict=True):
                e.store(builder.load(place), e.step(line, column))
        return context.get_dummy_value()

    return types.void(left, left_at, right, right_at, depth, total, at, stride), generate
