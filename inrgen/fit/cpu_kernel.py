"""Forward, backward and Adam of one INR at a time, fused and compiled once for all architectures.

Sizes are run-time numbers; only the register block (ROWS points by one or two vectors of LANES
features) is fixed, by the machine. So there is one kernel to compile, and numba keeps it on disk.
Blocks are written in the compiler's own vector instructions rather than left to its vectoriser,
which gives up on many streams; none of them is marked fast-math, so a NaN stays a NaN.
All of it is in one file because numba's cache looks at no other for changes.
"""

import math
from typing import no_type_check

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from inrgen.fit.cpu_layout import INPUT_ROWS, Tile


def host_tile() -> Tile:
    """The register block for this processor: an accumulator each for rows x 2 vectors."""
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return Tile(lanes=16, rows=8)
    if features.get("avx"):
        return Tile(lanes=8, rows=4)
    return Tile(lanes=4, rows=4)


TILE = host_tile()
LANES = TILE.lanes
ROWS = TILE.rows

_FLOAT = ir.FloatType()
_INT = ir.IntType(64)
_VECTOR = ir.VectorType(_FLOAT, LANES)
_BITS = ir.VectorType(ir.IntType(32), LANES)

# sin and cos of r turns for |r| <= 1/4, in powers of r^2: minimax in absolute error, 3e-9 and
# 5e-8 before rounding (Lawson's iteration in float64).
_SINE = (6.28318516008804, -41.341655031, 81.60100404882, -76.54978169582, 39.53670128667)
_COSINE = (0.99999995347063, -19.73917143533, 64.93459065104, -85.24033058035, 56.24238045024)


class _Emitter:
    """Vector instructions at places in the workspace, which are offsets in floats."""

    def __init__(self, context, builder, work_type, work):
        self.builder = builder
        self.base = context.make_array(work_type)(context, builder, work).data

    def place(self, offset):
        return self.builder.gep(self.base, [offset])

    def at(self, pointer, index):
        return self.builder.gep(pointer, [index])

    def step(self, pointer, count):
        return self.builder.gep(pointer, [ir.Constant(_INT, count)])

    def load(self, pointer):
        return self.builder.load(self.builder.bitcast(pointer, _VECTOR.as_pointer()), align=4)

    def store(self, value, pointer):
        self.builder.store(value, self.builder.bitcast(pointer, _VECTOR.as_pointer()), align=4)

    def splat(self, scalar):
        lane = self.builder.insert_element(
            ir.Constant(_VECTOR, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0)
        )
        mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return self.builder.shuffle_vector(lane, lane, mask)

    def constant(self, value):
        return ir.Constant(_VECTOR, [float(np.float32(value))] * LANES)

    def call(self, name, *vectors):
        kind = ir.FunctionType(_VECTOR, [_VECTOR] * len(vectors))
        full_name = f"llvm.{name}.v{LANES}f32"
        function = cgutils.get_or_insert_function(self.builder.module, kind, full_name)
        return self.builder.call(function, vectors)

    def fma(self, a, b, c):
        return self.call("fmuladd", a, b, c)

    def polynomial(self, coefficients, x):
        value = self.constant(coefficients[-1])
        for coefficient in coefficients[-2::-1]:
            value = self.fma(value, x, self.constant(coefficient))
        return value

    def sine_and_slope(self, turns):
        """sin(2 pi t) and its derivative 2 pi cos(2 pi t).

        t = k / 2 + r with |r| <= 1/4, so both are those of r times (-1)^k; subtracting k / 2 is
        exact. Infinity becomes NaN on the way, and NaN stays.
        """
        b = self.builder
        halves = self.call("rint", b.fmul(turns, self.constant(2.0)))
        rest = self.fma(halves, self.constant(-0.5), turns)
        odd = b.shl(b.fptosi(halves, _BITS), ir.Constant(_BITS, [31] * LANES))
        square = b.fmul(rest, rest)

        def signed(value):
            return b.bitcast(b.xor(b.bitcast(value, _BITS), odd), _VECTOR)

        sine = b.fmul(self.polynomial(_SINE, square), signed(rest))
        slope = self.polynomial([2.0 * math.pi * c for c in _COSINE], square)
        return sine, signed(slope)

    def accumulate(self, starts, rows, vectors, depth, scalars, row):
        """sum over k < depth of scalars(r, k) times the vectors of row(k), for each of `rows` rows.

        starts[r][v] are the sums to begin with; the result has the same form. The sums live in
        registers: that is what rows and vectors are chosen for.
        """
        b = self.builder
        sums = [[cgutils.alloca_once(b, _VECTOR) for _ in range(vectors)] for _ in range(rows)]
        for held, begun in zip(sums, starts, strict=True):
            for place, value in zip(held, begun, strict=True):
                b.store(value, place)
        with cgutils.for_range(b, depth) as loop:
            pointer = row(loop.index)
            right = [self.load(self.step(pointer, v * LANES)) for v in range(vectors)]
            for r, held in enumerate(sums):
                left = self.splat(b.load(scalars(r, loop.index)))
                for place, vector in zip(held, right, strict=True):
                    b.store(self.fma(left, vector, b.load(place)), place)
        return [[b.load(place) for place in held] for held in sums]

    def points_by_features(self, starts, vectors, depth, a, a_step, b, b_step):
        """accumulate for ROWS rows of a, (points, depth), and rows of b, (depth, features)."""
        first = self.place(a)
        rows = [self.at(first, self.builder.mul(a_step, ir.Constant(_INT, r))) for r in range(ROWS)]
        right = self.place(b)
        return self.accumulate(
            starts,
            ROWS,
            vectors,
            depth,
            lambda r, k: self.at(rows[r], k),
            lambda k: self.at(right, self.builder.mul(k, b_step)),
        )


@intrinsic(prefer_literal=True)
def forward_block(typingctx, work, vectors, depth, a, a_step, b, b_step, bias, sine, slope):  # noqa: ARG001
    """A block of a sine layer: ROWS points, `vectors` vectors of features."""
    num = vectors.literal_value

    def codegen(context, builder, signature, arguments):
        e = _Emitter(context, builder, signature.args[0], arguments[0])
        depth, a, a_step, b, b_step, bias, sine, slope = arguments[2:]
        begun = [e.load(e.step(e.place(bias), v * LANES)) for v in range(num)]
        sums = e.points_by_features([begun] * ROWS, num, depth, a, a_step, b, b_step)
        for r, row in enumerate(sums):
            shift = builder.mul(b_step, ir.Constant(_INT, r))
            for v, turns in enumerate(row):
                s, c = e.sine_and_slope(turns)
                e.store(s, e.step(e.at(e.place(sine), shift), v * LANES))
                e.store(c, e.step(e.at(e.place(slope), shift), v * LANES))
        return context.get_dummy_value()

    return types.void(work, vectors, *[types.int64] * 8), codegen


@intrinsic(prefer_literal=True)
def backward_block(typingctx, work, vectors, depth, a, a_step, b, b_step, slope, bias):
    """Gradients of a block: a b times slope, left in slope; their sum over points added to bias."""
    num = vectors.literal_value

    def codegen(context, builder, signature, arguments):
        e = _Emitter(context, builder, signature.args[0], arguments[0])
        depth, a, a_step, b, b_step, slope, bias = arguments[2:]
        begun = [e.constant(0.0)] * num
        sums = e.points_by_features([begun] * ROWS, num, depth, a, a_step, b, b_step)
        totals = [e.load(e.step(e.place(bias), v * LANES)) for v in range(num)]
        for r, row in enumerate(sums):
            shift = builder.mul(b_step, ir.Constant(_INT, r))
            for v, value in enumerate(row):
                pointer = e.step(e.at(e.place(slope), shift), v * LANES)
                gradient = builder.fmul(value, e.load(pointer))
                e.store(gradient, pointer)
                totals[v] = builder.fadd(totals[v], gradient)
        for v, total in enumerate(totals):
            e.store(total, e.step(e.place(bias), v * LANES))
        return context.get_dummy_value()

    return types.void(work, vectors, *[types.int64] * 7), codegen


@intrinsic(prefer_literal=True)
def weight_block(typingctx, work, rows, vectors, num_points, a, a_step, b, b_step, out):
    """Add a^T b over points to a block of a weight's gradient: `rows` inputs by vectors."""
    num_rows, num = rows.literal_value, vectors.literal_value

    def codegen(context, builder, signature, arguments):
        e = _Emitter(context, builder, signature.args[0], arguments[0])
        num_points, a, a_step, b, b_step, out = arguments[3:]
        left, right, target = e.place(a), e.place(b), e.place(out)
        pointers = [
            [
                e.step(e.at(target, builder.mul(b_step, ir.Constant(_INT, r))), v * LANES)
                for v in range(num)
            ]
            for r in range(num_rows)
        ]
        sums = e.accumulate(
            [[e.load(pointer) for pointer in row] for row in pointers],
            num_rows,
            num,
            num_points,
            lambda r, p: e.step(e.at(left, builder.mul(p, a_step)), r),
            lambda p: e.at(right, builder.mul(p, b_step)),
        )
        for row, held in zip(pointers, sums, strict=True):
            for pointer, value in zip(row, held, strict=True):
                e.store(value, pointer)
        return context.get_dummy_value()

    return types.void(work, rows, vectors, *[types.int64] * 6), codegen


@intrinsic
def dot_block(typingctx, work, width, a, b, out, out_step):
    """Products of ROWS rows of a, `width` apart, with one row b of `width` features, to out."""

    def codegen(context, builder, signature, arguments):
        e = _Emitter(context, builder, signature.args[0], arguments[0])
        width, a, b, out, out_step = arguments[1:]
        left, right = e.place(a), e.place(b)
        sums = [cgutils.alloca_once_value(builder, e.constant(0.0)) for _ in range(ROWS)]
        vectors = builder.udiv(width, ir.Constant(_INT, LANES))
        with cgutils.for_range(builder, vectors) as loop:
            shift = builder.mul(loop.index, ir.Constant(_INT, LANES))
            vector = e.load(e.at(right, shift))
            for r, total in enumerate(sums):
                row = e.at(left, builder.mul(width, ir.Constant(_INT, r)))
                value = e.fma(e.load(e.at(row, shift)), vector, builder.load(total))
                builder.store(value, total)
        for r, total in enumerate(sums):
            value, lanes = builder.load(total), LANES
            while lanes > 1:
                lanes //= 2
                halves = [
                    ir.Constant(ir.VectorType(ir.IntType(32), lanes), list(range(at, at + lanes)))
                    for at in (0, lanes)
                ]
                low, high = (builder.shuffle_vector(value, value, half) for half in halves)
                value = builder.fadd(low, high)
            scalar = builder.extract_element(value, ir.Constant(ir.IntType(32), 0))
            shift = builder.mul(out_step, ir.Constant(_INT, r))
            builder.store(scalar, e.at(e.place(out), shift))
        return context.get_dummy_value()

    return types.void(work, *[types.int64] * 5), codegen


@intrinsic
def adam_block(
    typingctx, work, theta, stride, scale, size, epsilon, decay, beta1, new1, beta2, new2
):
    """One Adam update of LANES parameters; moments and gradient lie 1, 2 and 3 strides on.

    new1 and new2 are 1 - beta1 and 1 - beta2, rounded from float64 as beta2 would lose digits.
    """

    def codegen(context, builder, signature, arguments):
        e = _Emitter(context, builder, signature.args[0], arguments[0])
        theta, stride = arguments[1:3]
        scale, size, epsilon, decay, beta1, new1, beta2, new2 = map(e.splat, arguments[3:])
        pointers = [
            e.place(builder.add(theta, builder.mul(stride, ir.Constant(_INT, i)))) for i in range(4)
        ]
        value, first, second, gradient = (e.load(pointer) for pointer in pointers)
        gradient = builder.fmul(gradient, scale)
        first = e.fma(beta1, first, builder.fmul(new1, gradient))
        square = builder.fmul(gradient, gradient)
        second = e.fma(beta2, second, builder.fmul(new2, square))
        root = builder.fadd(e.call("sqrt", second), epsilon)
        moved = builder.fsub(
            builder.fmul(decay, value), builder.fdiv(builder.fmul(size, first), root)
        )
        for result, pointer in zip((moved, first, second), pointers, strict=False):
            e.store(result, pointer)
        return context.get_dummy_value()

    return types.void(work, *[types.int64] * 2, *[types.float32] * 8), codegen


@njit
@no_type_check
def _forward(work, points, depth, a, a_step, b, width, bias, sine, slope):
    """A sine layer for a tile: work[a] (points, depth) to sines and slopes (points, width)."""
    pairs = width // (2 * LANES) * (2 * LANES)
    for j in range(0, pairs, 2 * LANES):
        for p in range(0, points, ROWS):
            at = p * width + j
            forward_block(
                work,
                2,
                depth,
                a + p * a_step,
                a_step,
                b + j,
                width,
                bias + j,
                sine + at,
                slope + at,
            )
    for j in range(pairs, width, LANES):
        for p in range(0, points, ROWS):
            at = p * width + j
            forward_block(
                work,
                1,
                depth,
                a + p * a_step,
                a_step,
                b + j,
                width,
                bias + j,
                sine + at,
                slope + at,
            )


@njit
@no_type_check
def _backward(work, points, depth, a, a_step, b, width, slope, bias):
    """Gradients of a layer's turns for a tile, in place of its slopes, and of its bias."""
    pairs = width // (2 * LANES) * (2 * LANES)
    for j in range(0, pairs, 2 * LANES):
        for p in range(0, points, ROWS):
            backward_block(
                work,
                2,
                depth,
                a + p * a_step,
                a_step,
                b + j,
                width,
                slope + p * width + j,
                bias + j,
            )
    for j in range(pairs, width, LANES):
        for p in range(0, points, ROWS):
            backward_block(
                work,
                1,
                depth,
                a + p * a_step,
                a_step,
                b + j,
                width,
                slope + p * width + j,
                bias + j,
            )


def _weights_by(rows):
    """The gradient of a weight, `rows` inputs at a time."""

    @njit
    @no_type_check
    def weights(work, points, num_inputs, a, a_step, b, width, out):
        pairs = width // (2 * LANES) * (2 * LANES)
        for i in range(0, num_inputs, rows):
            for j in range(0, pairs, 2 * LANES):
                weight_block(
                    work, rows, 2, points, a + i, a_step, b + j, width, out + i * width + j
                )
            for j in range(pairs, width, LANES):
                weight_block(
                    work, rows, 1, points, a + i, a_step, b + j, width, out + i * width + j
                )

    return weights


_weights_by_rows = _weights_by(ROWS)
_weights_by_inputs = _weights_by(INPUT_ROWS)
_weights_by_one = _weights_by(1)


@njit(fastmath={"reassoc"})
@no_type_check
def _residuals(work, layout, values, points, real_points, offset, scale):
    """Predictions less values, times scale, in place of the predictions; the sum of squares.

    Points past real_points only fill the last block: their residual is nothing.
    """
    d_out, total = layout.d_out, 0.0
    for p in range(points):
        for k in range(d_out):
            at = layout.residual + p * d_out + k
            residual = np.float32(0.0)
            if p < real_points:
                shift = work[layout.last_bias + k] + offset
                residual = work[at] + shift - work[values + p * d_out + k]
            total += residual * residual
            work[at] = residual * scale
            work[3 * layout.num_state + layout.last_bias + k] += residual * scale
    return total


@njit
@no_type_check
def _tile(work, layout, hidden, begin, points, offset, scale):
    """Take a tile of points forward and back; add to the gradient, return the sum of squares."""
    gradient = 3 * layout.num_state
    coords = layout.coords + begin * layout.input_width
    a, a_step = coords, layout.input_width
    for l in range(len(hidden)):
        h = hidden[l]
        bias = h.scaled + h.num_rows * h.width
        _forward(work, points, h.fan_in, a, a_step, h.scaled, h.width, bias, h.sine, h.slope)
        a, a_step = h.sine, h.width
    for k in range(layout.d_out):
        for p in range(0, points, ROWS):
            row = layout.last_weight + k * a_step
            out = layout.residual + p * layout.d_out + k
            dot_block(work, a_step, a + p * a_step, row, out, layout.d_out)
    values = layout.values + begin * layout.d_out
    loss = _residuals(work, layout, values, points, layout.num_points - begin, offset, scale)
    _weights_by_one(
        work,
        points,
        layout.d_out,
        layout.residual,
        layout.d_out,
        a,
        a_step,
        gradient + layout.last_weight,
    )
    b, b_rows, b_depth = layout.last_weight, layout.residual, layout.d_out
    b_step = layout.d_out
    for l in range(len(hidden) - 1, -1, -1):
        h = hidden[l]
        bias = gradient + h.weight + h.num_rows * h.width
        _backward(work, points, b_depth, b_rows, b_step, b, h.width, h.slope, bias)
        if l > 0:
            below = hidden[l - 1]
            _weights_by_rows(
                work,
                points,
                h.num_rows,
                below.sine,
                below.width,
                h.slope,
                h.width,
                gradient + h.weight,
            )
        else:
            _weights_by_inputs(
                work,
                points,
                h.num_rows,
                coords,
                layout.input_width,
                h.slope,
                h.width,
                gradient + h.weight,
            )
        b, b_rows, b_depth, b_step = h.turned, h.slope, h.fan_out, h.width
    return loss


@njit
@no_type_check
def _scale_weights(work, hidden, turns):
    """Weights of sine layers in turns; those of inner layers once more with their axes swapped."""
    for l in range(len(hidden)):
        h = hidden[l]
        for i in range((h.num_rows + 1) * h.width):
            work[h.scaled + i] = work[h.weight + i] * turns[l]
        if l > 0:
            for i in range(h.num_rows):
                for o in range(h.fan_out):
                    work[h.turned + o * h.num_rows + i] = work[h.scaled + i * h.width + o]


@njit
@no_type_check
def _update(work, layout, hidden, turns, scalars, adam):
    """One Adam update of all parameters."""
    size, epsilon, decay = scalars
    beta1, new1, beta2, new2 = adam
    begin = 0
    for l in range(len(hidden) + 1):
        end, scale = layout.num_state, np.float32(1.0)
        if l < len(hidden):
            h = hidden[l]
            end, scale = h.weight + (h.num_rows + 1) * h.width, turns[l]
        for at in range(begin, end, LANES):
            adam_block(
                work, at, layout.num_state, scale, size, epsilon, decay, beta1, new1, beta2, new2
            )
        begin = end


@njit
@no_type_check
def _mix(x):
    """SplitMix64's finaliser, as in core/rng.py."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@njit
@no_type_check
def _take_all(work, layout, coords, values):
    """Copy all points into the workspace."""
    for p in range(len(values)):
        for d in range(coords.shape[1]):
            work[layout.coords + p * layout.input_width + d] = coords[p, d]
        for k in range(layout.d_out):
            work[layout.values + p * layout.d_out + k] = values[p, k]


@njit
@no_type_check
def _take_drawn(work, layout, coords, values, key, step):
    """Copy the points of a step: rng.integers(rng.fold(key, step), (num_points,), 0, n)."""
    golden = np.uint64(0x9E3779B97F4A7C15)
    step_key = _mix(key ^ _mix(np.uint64(step) + golden))
    for p in range(layout.num_points):
        bits = _mix(step_key + np.uint64(p + 1) * golden)
        drawn = int(np.float64(bits >> np.uint64(11)) * 2.0**-53 * len(values))
        for d in range(coords.shape[1]):
            work[layout.coords + p * layout.input_width + d] = coords[drawn, d]
        for k in range(layout.d_out):
            work[layout.values + p * layout.d_out + k] = values[drawn, k]


@njit
@no_type_check
def _step_loss(work, layout, hidden, turns, offset):
    """Loss of the points at hand, with its gradient left in the workspace."""
    gradient = 3 * layout.num_state
    work[gradient : gradient + layout.num_state] = 0.0
    _scale_weights(work, hidden, turns)
    count = layout.num_points * layout.d_out
    scale = np.float32(2.0 / count)
    total = 0.0
    for begin in range(0, layout.num_rows, layout.tile_points):
        points = min(layout.tile_points, layout.num_rows - begin)
        total += _tile(work, layout, hidden, begin, points, offset, scale)
    return total / count


@njit
@no_type_check
def _fit_one(work, layout, hidden, turns, offset, schedule, adam, stop, draws, coords, values, key):
    """Fit the parameters in the workspace; the last loss looked at and the number of updates."""
    if not draws:
        _take_all(work, layout, coords, values)
    loss = np.nan
    for step in range(max(len(schedule), 1)):
        if draws:
            _take_drawn(work, layout, coords, values, key, step)
        loss = _step_loss(work, layout, hidden, turns, offset)
        if step == len(schedule) or not math.isfinite(loss) or loss <= stop:
            return loss, step
        scalars = (schedule[step, 0], schedule[step, 1], schedule[step, 2])
        _update(work, layout, hidden, turns, scalars, adam)
    return loss, len(schedule)


@njit(nogil=True, cache=True)
@no_type_check
def fit_rows(
    work,
    layouts,
    hidden,
    places,
    turns,
    offset,
    schedule,
    adam,
    stop,
    draws,
    coords,
    values,
    signal_of,
    keys,
    theta,
    final_loss,
    num_steps,
    begin,
    end,
):
    """Fit rows begin to end of theta (b, p) in place, and fill final_loss and num_steps."""
    layout = layouts[0]
    for row in range(begin, end):
        work[:] = 0.0
        for i in range(len(places)):
            work[places[i]] = theta[row, i]
        signal = signal_of[row]
        shared = coords[signal if len(coords) > 1 else 0]
        loss, steps = _fit_one(
            work,
            layout,
            hidden,
            turns,
            offset,
            schedule,
            adam,
            stop,
            draws,
            shared,
            values[signal],
            keys[row],
        )
        finite = math.isfinite(loss)
        for i in range(len(places)):
            finite = finite and math.isfinite(work[places[i]])
        for i in range(len(places)):
            theta[row, i] = work[places[i]] if finite else np.nan
        final_loss[row] = loss if finite else np.nan
        num_steps[row] = steps
