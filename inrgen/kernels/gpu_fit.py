"""GPU fit kernel: one program fits one INR, with weights, moments and a tile of points on chip.

A program takes the next free INR, fits it to the end and takes another, so fits that stop early
leave no program idle. Hidden products go through tl.dot, a tile of points by H features. The thin
first and last layers keep float32's accuracy forward in every mode. gpu_layout.py has the layout.

Triton has no lists, so values that exist for each input or output are spelled out. That makes the
functions long.

This file imports triton, so a machine without triton must not import it.
"""

from typing import no_type_check

import triton
import triton.language as tl

from inrgen.kernels.gpu_layout import HIDDEN_BIAS, LAST_BIAS, LAST_WEIGHT, THIN_ROWS

_THIN: tl.constexpr = tl.constexpr(THIN_ROWS)
_HIDDEN_BIAS: tl.constexpr = tl.constexpr(HIDDEN_BIAS)
_LAST_WEIGHT: tl.constexpr = tl.constexpr(LAST_WEIGHT)
_LAST_BIAS: tl.constexpr = tl.constexpr(LAST_BIAS)


@no_type_check
@triton.jit
def _sine_and_cosine(turns):
    """sin and cos of 2 pi t from one evaluation at half the angle.

    t - rint(t) is exact, and for |r| <= 1/2 turns sin(pi r) and 2 cos(pi r) are short polynomials
    in r^2 (minimax in absolute error, 3e-9 and 4e-10, by Lawson's iteration in float64). Then
    sin(2a) = 2 sin a cos a and cos(2a) = 1 - 2 sin^2 a, good to 3e-7 and 1e-6. Infinity becomes
    NaN, and NaN stays.
    """
    r = turns - tl.floor(turns + 0.5)
    q = r * r
    sine = 0.0772201290876
    sine = sine * q - 0.598045174196
    sine = sine * q + 2.55003137729
    sine = sine * q - 5.16770687893
    sine = (sine * q + 3.14159258004) * r
    twice_cosine = -0.0487934333679
    twice_cosine = twice_cosine * q + 0.469875117996
    twice_cosine = twice_cosine * q - 2.67042411335
    twice_cosine = twice_cosine * q + 8.11741832869
    twice_cosine = twice_cosine * q - 9.86960427446
    twice_cosine = twice_cosine * q + 1.99999999956
    return sine * twice_cosine, 1.0 - 2.0 * (sine * sine)


@no_type_check
@triton.jit
def _product(a, b, acc, PRECISION: tl.constexpr):
    """a b + acc, summed in float32, with operands rounded to PRECISION."""
    if PRECISION == "bf16":
        return tl.dot(a.to(tl.bfloat16), b.to(tl.bfloat16), acc)
    else:
        return tl.dot(a, b, acc, input_precision=PRECISION)


@no_type_check
@triton.jit
def _mix(x):
    """SplitMix64's finaliser, the same as in core/rng.py."""
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB
    return x ^ (x >> 31)


@no_type_check
@triton.jit
def _drawn_points(key, step, place, num_points):
    """The points of a step: rng.integers(rng.fold(key, step), (k,), 0, num_points)."""
    golden = 0x9E3779B97F4A7C15
    step_key = _mix(key ^ _mix(step.to(tl.uint64) + golden))
    bits = _mix(step_key + (place + 1).to(tl.uint64) * golden)
    unit = (bits >> 11).to(tl.float64) * 1.1102230246251565e-16  # 2^-53
    return (unit * num_points.to(tl.float64)).to(tl.int32)


@no_type_check
@triton.jit
def _row(thin, index: tl.constexpr):
    """A row of the thin block, (H,)."""
    rows = tl.arange(0, _THIN)[:, None]
    return tl.sum(tl.where(rows == index, thin, 0.0), axis=0)


@no_type_check
@triton.jit
def _is_last_bias(thin, k: tl.constexpr):
    """Mask of the thin block that selects the last bias of output k."""
    rows, columns = tl.arange(0, _THIN)[:, None], tl.arange(0, thin.shape[1])[None, :]
    return (rows == _LAST_BIAS) & (columns == k)


@no_type_check
@triton.jit
def _last_bias(thin, k: tl.constexpr):
    return tl.sum(tl.where(_is_last_bias(thin, k), thin, 0.0))


@no_type_check
@triton.jit
def _with_last_bias(thin, k: tl.constexpr, value):
    return tl.where(_is_last_bias(thin, k), value, thin)


@no_type_check
@triton.jit
def _column(index: tl.constexpr, values):
    """A block (TILE, 16) with values, (TILE,), in one column and zeros elsewhere."""
    columns = tl.arange(0, _THIN)[None, :]
    return tl.where(columns == index, values[:, None], 0.0)


@no_type_check
@triton.jit
def _read_out(k: tl.constexpr, top, weight, bias, values_ptr, at, seen, square, d_top, residuals):
    """Residuals of one output; square, d_top and residuals with its share added."""
    prediction = tl.sum(top * weight[None, :], axis=1) + bias
    value = tl.load(values_ptr + at, mask=seen, other=0.0)
    residual = tl.where(seen, prediction - value, 0.0)
    square += residual * residual
    d_top += residual[:, None] * weight[None, :]
    residuals += _column(_LAST_WEIGHT + k, residual)
    return residual, square, d_top, residuals


@no_type_check
@triton.jit
def _gradients(
    thin, w1, w2, coords_ptr, values_ptr, key, step, num_points, num_used,
    offset, omega0, omega1, omega2,
    D_IN: tl.constexpr, D_OUT: tl.constexpr, H: tl.constexpr, DEEP: tl.constexpr,
    TILE: tl.constexpr, DRAWS: tl.constexpr, FORWARD: tl.constexpr, BACKWARD: tl.constexpr,
    SUMS: tl.constexpr, THIN: tl.constexpr,
):  # fmt: skip
    """Sum of squared residuals over the step's points, and half its gradient by each parameter.

    Weights are scaled to turns, omega / 2 pi times themselves, once. Gradients are taken by
    omega (W x + b), in radians, and scaled back at the end. Sums over the points of the thin
    layers are products with a block of 16 columns; each column belongs to one thin row.
    """
    turns0, turns1 = omega0 * 0.15915494309189535, omega1 * 0.15915494309189535
    turns2 = omega2 * 0.15915494309189535
    rows = tl.arange(0, _THIN)[:, None]
    forward0 = tl.where(rows <= _HIDDEN_BIAS, thin * turns0, 0.0)
    b1 = _row(thin, _HIDDEN_BIAS + 1) * turns1
    forward1, backward1 = w1 * turns1, tl.trans(w1 * omega1)
    if DEEP:
        b2 = _row(thin, _HIDDEN_BIAS + 2) * turns2
        forward2, backward2 = w2 * turns2, tl.trans(w2 * omega2)
    o0 = _row(thin, _LAST_WEIGHT)
    p0 = _last_bias(thin, 0) + offset
    if D_OUT > 1:
        o1 = _row(thin, _LAST_WEIGHT + 1)
        p1 = _last_bias(thin, 1) + offset
    if D_OUT > 2:
        o2 = _row(thin, _LAST_WEIGHT + 2)
        p2 = _last_bias(thin, 2) + offset
    if D_OUT > 3:
        o3 = _row(thin, _LAST_WEIGHT + 3)
        p3 = _last_bias(thin, 3) + offset

    zeros = tl.zeros((TILE, H), tl.float32)
    g = tl.zeros((_THIN, H), tl.float32)
    g1 = tl.zeros((H, H), tl.float32)
    g2 = tl.zeros((H, H), tl.float32) if DEEP else 0.0
    square = tl.zeros((TILE,), tl.float32)
    q0 = tl.zeros((TILE,), tl.float32)
    q1 = tl.zeros((TILE,), tl.float32)
    q2 = tl.zeros((TILE,), tl.float32)
    q3 = tl.zeros((TILE,), tl.float32)
    ones = tl.full((TILE,), 1.0, tl.float32)
    for begin in range(0, num_used, TILE):
        place = begin + tl.arange(0, TILE)
        seen = place < num_used
        at = place
        if DRAWS:
            at = _drawn_points(key, step, place, num_points)
        x0 = tl.load(coords_ptr + at, mask=seen, other=0.0)
        inputs = _column(0, x0) + _column(_HIDDEN_BIAS, ones)
        if D_IN > 1:
            x1 = tl.load(coords_ptr + num_points + at, mask=seen, other=0.0)
            inputs += _column(1, x1)
        if D_IN > 2:
            x2 = tl.load(coords_ptr + 2 * num_points + at, mask=seen, other=0.0)
            inputs += _column(2, x2)
        s0, c0 = _sine_and_cosine(_product(inputs, forward0, zeros, THIN))
        top, slope = _sine_and_cosine(_product(s0, forward1, zeros, FORWARD) + b1[None, :])
        if DEEP:
            s1, c1 = top, slope
            top, slope = _sine_and_cosine(_product(s1, forward2, zeros, FORWARD) + b2[None, :])

        d = zeros
        residuals = tl.zeros((TILE, _THIN), tl.float32)
        r0, square, d, residuals = _read_out(
            0, top, o0, p0, values_ptr, at, seen, square, d, residuals
        )
        q0 += r0
        if D_OUT > 1:
            r1, square, d, residuals = _read_out(
                1, top, o1, p1, values_ptr + num_points, at, seen, square, d, residuals
            )
            q1 += r1
        if D_OUT > 2:
            r2, square, d, residuals = _read_out(
                2, top, o2, p2, values_ptr + 2 * num_points, at, seen, square, d, residuals
            )
            q2 += r2
        if D_OUT > 3:
            r3, square, d, residuals = _read_out(
                3, top, o3, p3, values_ptr + 3 * num_points, at, seen, square, d, residuals
            )
            q3 += r3
        g = _product(tl.trans(residuals), top, g, SUMS)
        d *= slope
        if DEEP:
            g = _product(tl.trans(_column(_HIDDEN_BIAS + 2, ones)), d, g, SUMS)
            g2 = _product(tl.trans(s1), d, g2, BACKWARD)
            d = _product(d, backward2, zeros, BACKWARD) * c1
        g = _product(tl.trans(_column(_HIDDEN_BIAS + 1, ones)), d, g, SUMS)
        g1 = _product(tl.trans(s0), d, g1, BACKWARD)
        d = _product(d, backward1, zeros, BACKWARD) * c0
        g = _product(tl.trans(inputs), d, g, SUMS)
    g = tl.where(rows <= _HIDDEN_BIAS, g * omega0, g)
    g = tl.where(rows == _HIDDEN_BIAS + 1, g * omega1, g)
    g = tl.where(rows == _HIDDEN_BIAS + 2, g * omega2, g)
    g = _with_last_bias(g, 0, tl.sum(q0))
    if D_OUT > 1:
        g = _with_last_bias(g, 1, tl.sum(q1))
    if D_OUT > 2:
        g = _with_last_bias(g, 2, tl.sum(q2))
    if D_OUT > 3:
        g = _with_last_bias(g, 3, tl.sum(q3))
    return tl.sum(square), g, g1 * omega1, g2 * omega2


@no_type_check
@triton.jit
def _adam(
    theta, first, second, gradient, first_ptr, second_ptr, schedule_ptr, step,
    beta1, new1, beta2, new2, HELD: tl.constexpr,
):  # fmt: skip
    """An update with fit.config.update_scalars' size, epsilon and decay.

    The moments are first and second if HELD, else they lie in memory. That memory is not
    initialised, so the first update takes zeros instead.
    """
    size = tl.load(schedule_ptr + 3 * step)
    epsilon = tl.load(schedule_ptr + 3 * step + 1)
    decay = tl.load(schedule_ptr + 3 * step + 2)
    if HELD:
        mean, square = first, second
    else:
        mean = tl.load(first_ptr, mask=step > 0, other=0.0)
        square = tl.load(second_ptr, mask=step > 0, other=0.0)
    mean = beta1 * mean + new1 * gradient
    square = beta2 * square + new2 * (gradient * gradient)
    if HELD:
        first, second = mean, square
    else:
        tl.store(first_ptr, mean)
        tl.store(second_ptr, square)
    return decay * theta - size * mean / (tl.sqrt(square) + epsilon), first, second


@no_type_check
@triton.jit
def _no_moments(like, HELD: tl.constexpr):
    """Moments before the first update; a scalar 0 if they are not held."""
    if HELD:
        return tl.zeros_like(like)
    else:
        return tl.full((), 0.0, tl.float32)


@no_type_check
@triton.jit
def _is_finite(x):
    """1 if every number is finite: infinity minus itself is NaN."""
    return tl.min((x - x == 0.0).to(tl.int32))


@no_type_check
# Integers are not specialised: triton would compile one that equals 1 as a constant.
@triton.jit(do_not_specialize=["num_inrs", "num_points", "num_used", "coords_step", "num_steps"])
def fit_kernel(
    theta_ptr, moments_ptr, loss_ptr, steps_ptr, next_ptr, coords_ptr, values_ptr, signal_ptr,
    key_ptr, schedule_ptr, num_inrs, num_points, num_used, coords_step, num_steps, stop,
    offset, omega0, omega1, omega2, beta1, new1, beta2, new2,
    D_IN: tl.constexpr, D_OUT: tl.constexpr, H: tl.constexpr, DEEP: tl.constexpr,
    TILE: tl.constexpr, DRAWS: tl.constexpr, FORWARD: tl.constexpr, BACKWARD: tl.constexpr,
    SUMS: tl.constexpr, THIN: tl.constexpr, HELD: tl.constexpr,
):  # fmt: skip
    """Fit the INRs of theta (b, rows, H) in place; fill loss (b,) and steps (b,).

    next_ptr holds the number of the next INR to take. coords is (c, D_IN, n), with coords_step
    floats between two signals, 0 if all share them; values is (s, D_OUT, n). moments is
    (programs, 2, rows, H); it is empty if HELD, because the moments then stay in registers.
    num_used is the number of points of a step.
    """
    columns = tl.arange(0, H)[None, :]
    thin_at = tl.arange(0, _THIN)[:, None] * H + columns
    square_at = tl.arange(0, H)[:, None] * H + columns
    rows = _THIN + 2 * H if DEEP else _THIN + H
    w1_at, w2_at = _THIN * H + square_at, (_THIN + H) * H + square_at
    first_ptr = moments_ptr + tl.program_id(0).to(tl.int64) * (2 * rows * H)
    second_ptr = first_ptr + rows * H
    count = (num_used * D_OUT).to(tl.float32)
    item = tl.atomic_add(next_ptr, 1)
    while item < num_inrs:
        rows_ptr = theta_ptr + item.to(tl.int64) * (rows * H)
        signal = tl.load(signal_ptr + item)
        key = tl.load(key_ptr + item).to(tl.uint64, bitcast=True)
        thin = tl.load(rows_ptr + thin_at)
        w1 = tl.load(rows_ptr + w1_at)
        first, second = _no_moments(thin, HELD), _no_moments(thin, HELD)
        first1, second1 = _no_moments(w1, HELD), _no_moments(w1, HELD)
        if DEEP:
            w2 = tl.load(rows_ptr + w2_at)
            first2, second2 = _no_moments(w2, HELD), _no_moments(w2, HELD)
        else:
            w2 = 0.0
        step = tl.full((), 0, tl.int32)
        loss = tl.full((), 0.0, tl.float32)
        going = True
        while going:
            total, g, g1, g2 = _gradients(
                thin, w1, w2, coords_ptr + signal * coords_step,
                values_ptr + signal * (D_OUT * num_points), key, step, num_points,
                num_used, offset, omega0, omega1, omega2,
                D_IN, D_OUT, H, DEEP, TILE, DRAWS, FORWARD, BACKWARD, SUMS, THIN,
            )  # fmt: skip
            loss = total / count
            # A non-finite loss fails one of these comparisons, so such a fit stops here.
            going = (step < num_steps) & (loss > stop) & (loss < float("inf"))
            if going:
                scale = 2.0 / count
                thin, first, second = _adam(
                    thin, first, second, g * scale, first_ptr + thin_at, second_ptr + thin_at,
                    schedule_ptr, step, beta1, new1, beta2, new2, HELD,
                )  # fmt: skip
                w1, first1, second1 = _adam(
                    w1, first1, second1, g1 * scale, first_ptr + w1_at, second_ptr + w1_at,
                    schedule_ptr, step, beta1, new1, beta2, new2, HELD,
                )  # fmt: skip
                if DEEP:
                    w2, first2, second2 = _adam(
                        w2, first2, second2, g2 * scale, first_ptr + w2_at, second_ptr + w2_at,
                        schedule_ptr, step, beta1, new1, beta2, new2, HELD,
                    )  # fmt: skip
                step += 1
            going = going & (step < num_steps)
        finite = (loss - loss == 0.0) & (_is_finite(thin) + _is_finite(w1) == 2)
        if DEEP:
            finite = finite & (_is_finite(w2) == 1)
        nan = float("nan")
        tl.store(rows_ptr + thin_at, tl.where(finite, thin, nan))
        tl.store(rows_ptr + w1_at, tl.where(finite, w1, nan))
        if DEEP:
            tl.store(rows_ptr + w2_at, tl.where(finite, w2, nan))
        tl.store(loss_ptr + item, tl.where(finite, loss, nan))
        tl.store(steps_ptr + item, step)
        item = tl.atomic_add(next_ptr, 1)
