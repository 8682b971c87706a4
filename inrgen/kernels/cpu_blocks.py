"""Blocks of the fitting kernel: each is one loop with its sums in registers.

Arguments are offsets in the workspace, distances between rows (`_step`) and counts, all in floats.
"""

import math
from typing import NamedTuple

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from inrgen.kernels.emitter import BITS, INT, LANES, ROWS, Workspace

# sin(pi r) and cos(pi r) for |r| <= 1/2, in powers of r^2: minimax in absolute error, 3e-9 and
# 5e-8 before rounding (Lawson's iteration in float64).
SINE = (3.141592580044, -5.167706878875, 2.550031376526, -0.5980451694986, 0.07722011970053)
COSINE = (0.9999999534706, -4.934792858833, 4.05841191569, -1.331880165318, 0.2196967986337)


class _FitEmitter(Workspace):
    """The workspace of one fit, with the instructions that its blocks share."""

    def cell(self, matrix, width, row, column, r, v):
        """Pointer to vector v of row r in the block at (row, column); rows are width apart."""
        line = self.builder.mul(self.builder.add(row, ir.Constant(INT, r)), width)
        return self.step(self.at(self.place(matrix, line), column), v * LANES)

    def sine_and_slope(self, half_turns):
        """sin(pi t) and its derivative pi cos(pi t).

        t = k + r with |r| <= 1/2, so both are those of r times (-1)^k. Subtracting k is exact,
        and in half turns it needs no product. Infinity becomes NaN here, and NaN stays.
        """
        b = self.builder
        halves = self.call("rint", half_turns)
        rest = b.fsub(half_turns, halves)
        # The parity of k, moved to the sign bit.
        odd = b.shl(b.fptosi(halves, BITS), ir.Constant(BITS, [31] * LANES))
        square = b.fmul(rest, rest)

        def signed(value):
            return b.bitcast(b.xor(b.bitcast(value, BITS), odd), self.vector)

        sine = b.fmul(self.polynomial(SINE, square), signed(rest))
        slope = self.polynomial([math.pi * c for c in COSINE], square)
        return sine, signed(slope)

    def accumulate(self, starts, depth, scalar, row):
        """starts[r][v] plus the sum over k < depth of scalar(r, k) times vector v of row(k).

        scalar and row give pointers. The register block has the size that keeps these sums in
        registers.
        """
        b = self.builder
        sums = [[cgutils.alloca_once_value(b, start) for start in row] for row in starts]
        with cgutils.for_range(b, depth) as loop:
            pointer = row(loop.index)
            right = [self.load(self.step(pointer, v * LANES)) for v in range(len(sums[0]))]
            for r, held in enumerate(sums):
                left = self.splat(b.load(scalar(r, loop.index)))
                for place, vector in zip(held, right, strict=True):
                    b.store(self.fma(left, vector, b.load(place)), place)
        return [[b.load(place) for place in held] for held in sums]

    def points_by_features(self, starts, f, p, j):
        """accumulate for ROWS points of f.a from p on and columns of f.b from j on."""
        first = self.place(f.a, self.builder.mul(p, f.a_step))
        rows = [
            self.at(first, self.builder.mul(f.a_step, ir.Constant(INT, r))) for r in range(ROWS)
        ]
        right = self.place(f.b, j)
        return self.accumulate(
            starts,
            f.depth,
            lambda r, k: self.at(rows[r], k),
            lambda k: self.at(right, self.builder.mul(k, f.width)),
        )


class ForwardPlaces(NamedTuple):
    """Offsets of a sine layer: a (points, depth) times b (depth, width) plus bias, to sine.

    The derivative goes to slope.
    """

    depth: int
    a: int
    a_step: int
    b: int
    width: int
    bias: int
    sine: int
    slope: int


class BackwardPlaces(NamedTuple):
    """Offsets of a layer's gradient: a (points, depth) b (depth, width) times slope, into slope.

    The block adds the sum over points to bias.
    """

    depth: int
    a: int
    a_step: int
    b: int
    width: int
    slope: int
    bias: int


class WeightPlaces(NamedTuple):
    """Offsets of a weight's gradient: a (points, inputs) transposed times b (points, width).

    The block adds the product to out (inputs, width).
    """

    points: int
    a: int
    a_step: int
    b: int
    width: int
    out: int


def _fields(builder, kind, places, value):
    """The numbers of a named tuple, by the same names."""
    # Offsets are added to each other, so all need one width.
    assert all(field == types.int64 for field in kind), f"{kind} is not all int64"
    return places(*cgutils.unpack_tuple(builder, value))


@intrinsic(prefer_literal=True)
def forward_block(typingctx, work, vectors, places, p, j):
    """Forward product for ROWS points from p on and `vectors` vectors of features from j on."""
    num = vectors.literal_value

    def codegen(context, builder, signature, arguments):
        e = _FitEmitter(context, builder, signature.args[0], arguments[0])
        f = _fields(builder, signature.args[2], ForwardPlaces, arguments[2])
        p, j = arguments[3:]
        # Sums start from the bias, which saves a pass over the points to add it.
        begun = [e.load(e.step(e.place(f.bias, j), v * LANES)) for v in range(num)]
        sums = e.points_by_features([begun] * ROWS, f, p, j)
        for r, row in enumerate(sums):
            for v, half_turns in enumerate(row):
                sine, slope = e.sine_and_slope(half_turns)
                e.store(sine, e.cell(f.sine, f.width, p, j, r, v))
                e.store(slope, e.cell(f.slope, f.width, p, j, r, v))
        return context.get_dummy_value()

    return types.void(work, vectors, places, types.int64, types.int64), codegen


@intrinsic(prefer_literal=True)
def backward_block(typingctx, work, vectors, places, p, j):
    """Backward product for ROWS points from p on and `vectors` vectors of features from j on."""
    num = vectors.literal_value

    def codegen(context, builder, signature, arguments):
        e = _FitEmitter(context, builder, signature.args[0], arguments[0])
        f = _fields(builder, signature.args[2], BackwardPlaces, arguments[2])
        p, j = arguments[3:]
        sums = e.points_by_features([[e.constant(0.0)] * num] * ROWS, f, p, j)
        for v in range(num):
            bias = e.step(e.place(f.bias, j), v * LANES)
            # The bias gradient is summed here, while the products are in registers.
            total = e.load(bias)
            for r in range(ROWS):
                pointer = e.cell(f.slope, f.width, p, j, r, v)
                gradient = builder.fmul(sums[r][v], e.load(pointer))
                e.store(gradient, pointer)
                total = builder.fadd(total, gradient)
            e.store(total, bias)
        return context.get_dummy_value()

    return types.void(work, vectors, places, types.int64, types.int64), codegen


@intrinsic(prefer_literal=True)
def weight_block(typingctx, work, rows, vectors, places, i, j):
    """Weight gradient for `rows` inputs from i on and `vectors` vectors of features from j on."""
    num_rows, num = rows.literal_value, vectors.literal_value

    def codegen(context, builder, signature, arguments):
        e = _FitEmitter(context, builder, signature.args[0], arguments[0])
        f = _fields(builder, signature.args[3], WeightPlaces, arguments[3])
        i, j = arguments[4:]
        left, right = e.place(f.a, i), e.place(f.b, j)
        # The sums go on from what earlier tiles of points left in out.
        cells = [[e.cell(f.out, f.width, i, j, r, v) for v in range(num)] for r in range(num_rows)]
        sums = e.accumulate(
            [[e.load(cell) for cell in row] for row in cells],
            f.points,
            lambda r, p: e.step(e.at(left, builder.mul(p, f.a_step)), r),
            lambda p: e.at(right, builder.mul(p, f.width)),
        )
        for row, held in zip(cells, sums, strict=True):
            for cell, value in zip(row, held, strict=True):
                e.store(value, cell)
        return context.get_dummy_value()

    return types.void(work, rows, vectors, places, types.int64, types.int64), codegen


@intrinsic
def dot_block(typingctx, work, width, a, b, out, out_step):
    """Dot products of ROWS rows of a, `width` apart, with one row b of `width` features, to out."""

    def codegen(context, builder, signature, arguments):
        e = _FitEmitter(context, builder, signature.args[0], arguments[0])
        width, a, b, out, out_step = arguments[1:]
        left, right = e.place(a), e.place(b)
        sums = [cgutils.alloca_once_value(builder, e.constant(0.0)) for _ in range(ROWS)]
        vectors = builder.udiv(width, ir.Constant(INT, LANES))
        with cgutils.for_range(builder, vectors) as loop:
            shift = builder.mul(loop.index, ir.Constant(INT, LANES))
            vector = e.load(e.at(right, shift))
            for r, total in enumerate(sums):
                row = e.at(left, builder.mul(width, ir.Constant(INT, r)))
                value = e.fma(e.load(e.at(row, shift)), vector, builder.load(total))
                builder.store(value, total)
        for r, total in enumerate(sums):
            # Horizontal sums are slow, so they are taken once, after all features.
            shift = builder.mul(out_step, ir.Constant(INT, r))
            builder.store(e.lane_sum(builder.load(total)), e.at(e.place(out), shift))
        return context.get_dummy_value()

    return types.void(work, *[types.int64] * 5), codegen


@intrinsic
def transpose_block(typingctx, work, source, source_step, target, target_step):
    """Transpose a square of LANES rows of LANES floats."""

    def codegen(context, builder, signature, arguments):
        e = _FitEmitter(context, builder, signature.args[0], arguments[0])
        source, source_step, target, target_step = arguments[1:]

        def row(first, step, number):
            return e.place(first, builder.mul(step, ir.Constant(INT, number)))

        columns = e.transposed([e.load(row(source, source_step, l)) for l in range(LANES)])
        for l, column in enumerate(columns):
            e.store(column, row(target, target_step, l))
        return context.get_dummy_value()

    return types.void(work, *[types.int64] * 4), codegen


@intrinsic
def adam_block(
    typingctx, work, theta, stride, scale, size, epsilon, decay, beta1, new1, beta2, new2
):
    """Update LANES parameters by Adam; moments and gradient lie 1, 2 and 3 strides on.

    new1 and new2 are 1 - beta1 and 1 - beta2. The caller rounds them from float64, because
    subtracting a float32 beta2 from 1 would lose digits.
    """

    def codegen(context, builder, signature, arguments):
        e = _FitEmitter(context, builder, signature.args[0], arguments[0])
        theta, stride = arguments[1:3]
        scale, size, epsilon, decay, beta1, new1, beta2, new2 = map(e.splat, arguments[3:])
        pointers = [
            e.place(builder.add(theta, builder.mul(stride, ir.Constant(INT, i)))) for i in range(4)
        ]
        value, first, second, gradient = (e.load(pointer) for pointer in pointers)
        gradient = builder.fmul(gradient, scale)
        first = e.fma(beta1, first, builder.fmul(new1, gradient))
        square = builder.fmul(gradient, gradient)
        second = e.fma(beta2, second, builder.fmul(new2, square))
        # The schedule folds the bias corrections of Adam into size and epsilon.
        root = builder.fadd(e.call("sqrt", second), epsilon)
        moved = builder.fsub(
            builder.fmul(decay, value), builder.fdiv(builder.fmul(size, first), root)
        )
        for result, pointer in zip((moved, first, second), pointers, strict=False):
            e.store(result, pointer)
        return context.get_dummy_value()

    return types.void(work, *[types.int64] * 2, *[types.float32] * 8), codegen


@intrinsic
def step_block(typingctx, work, theta, stride, scale, momentum):
    """Update LANES parameters by a gradient step with momentum.

    Step sizes lie one stride on, in place of Adam's first moment, and the velocity two on, in place
    of its second; the gradient lies three on.
    """

    def codegen(context, builder, signature, arguments):
        e = _FitEmitter(context, builder, signature.args[0], arguments[0])
        theta, stride = arguments[1:3]
        value, step, velocity, gradient = (
            e.place(builder.add(theta, builder.mul(stride, ir.Constant(INT, i)))) for i in range(4)
        )
        slope = builder.fmul(e.load(gradient), e.splat(arguments[3]))
        speed = e.fma(e.splat(arguments[4]), e.load(velocity), builder.fmul(e.load(step), slope))
        e.store(builder.fsub(e.load(value), speed), value)
        e.store(speed, velocity)
        return context.get_dummy_value()

    return types.void(work, *[types.int64] * 2, *[types.float32] * 2), codegen


@intrinsic
def flush_denormals(typingctx):
    """Treat numbers under 1e-38 as zero in this thread from now on; x86 only.

    Moments of weights that no longer move decay to such numbers, and each costs 100 cycles.
    """

    def codegen(context, builder, signature, arguments):
        if llvm.get_process_triple().startswith(("x86_64", "i686")):
            state = cgutils.alloca_once(builder, ir.IntType(32))
            place = builder.bitcast(state, ir.IntType(8).as_pointer())
            kind = ir.FunctionType(ir.VoidType(), [place.type])
            load, store = (
                cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.sse.{name}mxcsr")
                for name in ("ld", "st")
            )
            # MXCSR, the control register of SSE, is reached through memory alone.
            builder.call(store, [place])
            # Bit 15 flushes results to zero, bit 6 operands.
            builder.store(
                builder.or_(builder.load(state), ir.Constant(ir.IntType(32), 0x8040)), state
            )
            builder.call(load, [place])
        return context.get_dummy_value()

    return types.void(), codegen
