"""The fitting kernel: forward, backward and update of one INR at a time, fused.

Sizes are run-time numbers; the machine fixes only the register block (ROWS points by one or two
vectors of LANES features). So one kernel, compiled once and kept on disk, serves every
architecture.
"""

import math
from typing import Any, NamedTuple, no_type_check

import numpy as np
from numba import njit

from inrgen.kernels import cpu_blocks, emitter, kept_on_disk, sources_digest
from inrgen.kernels.cpu_blocks import (
    BackwardPlaces,
    ForwardPlaces,
    WeightPlaces,
    adam_block,
    backward_block,
    dot_block,
    flush_denormals,
    forward_block,
    step_block,
    transpose_block,
    weight_block,
)
from inrgen.kernels.emitter import LANES, ROWS, TILE


class Job(NamedTuple):
    """Facts that all fits of a batch share.

    Attributes:
        layout: the workspace, as one record.
        hidden: one record for each hidden layer.
        places: offset in the workspace of each flat parameter.
        half_turns: omega / pi of each hidden layer.
        offset: output offset of the spec.
        schedule: size, epsilon and decay of each update.
        adam: beta1 (with learned step sizes their momentum), 1 - beta1, beta2, 1 - beta2.
        stop: a fit stops at this loss.
        draws: whether each step draws its points anew.
    """

    layout: Any
    hidden: Any
    places: Any
    half_turns: Any
    offset: Any
    schedule: Any
    adam: Any
    stop: float
    draws: bool


class Signals(NamedTuple):
    """Signals: coords (c, n, d_in), values (s, n, d_out), and the signal and key of each INR."""

    coords: Any
    values: Any
    signal_of: Any
    keys: Any


def _over_tile(block):
    """Compile a product that runs a block over all points and features of a tile."""

    @njit
    @no_type_check
    def product(work, points, f):
        pairs = f.width // (2 * LANES) * (2 * LANES)
        for j in range(0, pairs, 2 * LANES):
            for p in range(0, points, ROWS):
                block(work, 2, f, p, j)
        for j in range(pairs, f.width, LANES):
            for p in range(0, points, ROWS):
                block(work, 1, f, p, j)

    return product


def _weight_gradient_by(rows):
    """Compile a weight gradient that takes `rows` inputs at a time."""

    @njit
    @no_type_check
    def weight_gradient(work, num_inputs, f):
        pairs = f.width // (2 * LANES) * (2 * LANES)
        for i in range(0, num_inputs, rows):
            for j in range(0, pairs, 2 * LANES):
                weight_block(work, rows, 2, f, i, j)
            for j in range(pairs, f.width, LANES):
                weight_block(work, rows, 1, f, i, j)

    return weight_gradient


_forward, _backward = _over_tile(forward_block), _over_tile(backward_block)
_first_weight_gradient = _weight_gradient_by(TILE.input_rows)
_inner_weight_gradient = _weight_gradient_by(ROWS)
_last_weight_gradient = _weight_gradient_by(1)


# Reassociation lets the compiler sum squares in vectors.
@njit(fastmath={"reassoc"})
@no_type_check
def _residuals(work, layout, values, points, real, offset, scale):
    """Replace predictions by (prediction - value) * scale; return the sum of squares.

    Points past the real ones only fill the last block, so their residual is zero.
    """
    # Read once: the compiler cannot know that the loop never writes to the layout.
    d_out, found, total = layout.d_out, layout.residual, 0.0
    for k in range(d_out):
        shift, squares, sum_ = work[layout.last_bias + k] + offset, np.float32(0.0), np.float32(0.0)
        for p in range(real):
            at = found + p * d_out + k
            residual = work[at] + shift - work[values + p * d_out + k]
            squares += residual * residual
            sum_ += residual
            work[at] = residual * scale
        for p in range(real, points):
            work[found + p * d_out + k] = 0.0
        total += squares
        work[3 * layout.num_state + layout.last_bias + k] += sum_ * scale
    return total


@njit
@no_type_check
def _tile_forward(work, layout, hidden, coords, points):
    """Write a tile's predictions to residual, without the last bias and the offset."""
    # The coordinates' rows are padded to whole register blocks, so their step is not d_in.
    a, a_step = coords, layout.input_width
    for l in range(len(hidden)):
        h = hidden[l]
        bias = h.scaled + h.num_rows * h.width
        places = ForwardPlaces(h.fan_in, a, a_step, h.scaled, h.width, bias, h.sine, h.slope)
        _forward(work, points, places)
        a, a_step = h.sine, h.width
    for k in range(layout.d_out):
        row = layout.last_weight + k * a_step
        for p in range(0, points, ROWS):
            out = layout.residual + p * layout.d_out + k
            dot_block(work, a_step, a + p * a_step, row, out, layout.d_out)


@njit
@no_type_check
def _tile_backward(work, layout, hidden, coords, points):
    """Add a tile's share to the gradient of every parameter.

    a is the gradient of the layer above: of residuals, or of the next layer's half turns.
    """
    gradient, last = 3 * layout.num_state, hidden[len(hidden) - 1]
    a, a_step, b = layout.residual, layout.d_out, layout.last_weight
    # Gradients have the same layout as the parameters, so a parameter's offset serves both.
    depth, out = layout.d_out, gradient + layout.last_weight
    places = WeightPlaces(points, a, a_step, last.sine, last.width, out)
    _last_weight_gradient(work, layout.d_out, places)
    # The last layer's input gradient is formed inside the first _backward below.
    for l in range(len(hidden) - 1, -1, -1):
        h = hidden[l]
        out = gradient + h.weight
        bias = out + h.num_rows * h.width
        _backward(work, points, BackwardPlaces(depth, a, a_step, b, h.width, h.slope, bias))
        if l > 0:
            below = hidden[l - 1]
            places = WeightPlaces(points, below.sine, below.width, h.slope, h.width, out)
            _inner_weight_gradient(work, h.num_rows, places)
        else:
            places = WeightPlaces(points, coords, layout.input_width, h.slope, h.width, out)
            _first_weight_gradient(work, h.num_rows, places)
        a, a_step, b, depth = h.slope, h.width, h.turned, h.fan_out


@njit
@no_type_check
def _scale_weights(work, hidden, half_turns):
    """Scale weights of sine layers to half turns; inner layers get a transposed copy, too."""
    for l in range(len(hidden)):
        # One row more than the weight has: the bias follows it and is scaled alike.
        h, scale = hidden[l], half_turns[l]
        weight, scaled, turned, rows, width = h.weight, h.scaled, h.turned, h.num_rows, h.width
        for i in range((rows + 1) * width):
            work[scaled + i] = work[weight + i] * scale
        if l > 0:
            for i in range(0, rows, LANES):
                for o in range(0, width, LANES):
                    source, target = scaled + i * width + o, turned + o * rows + i
                    transpose_block(work, source, width, target, rows)


@njit
@no_type_check
def _update(work, layout, hidden, half_turns, scalars, adam, learned):
    """Update all parameters by a step of Adam, or of learned sizes with momentum beta1."""
    size, epsilon, decay = scalars[0], scalars[1], scalars[2]
    beta1, new1, beta2, new2 = adam
    # Padding is updated along with the parameters; its gradient is zero, so it stays zero.
    begin = 0
    for l in range(len(hidden) + 1):
        # Gradients are of half turns, so sine layers scale them by omega / pi.
        end, scale = layout.num_state, np.float32(1.0)
        if l < len(hidden):
            h = hidden[l]
            end, scale = h.weight + (h.num_rows + 1) * h.width, half_turns[l]
        num_state = layout.num_state
        if learned:
            for at in range(begin, end, LANES):
                step_block(work, at, num_state, scale, beta1)
        else:
            for at in range(begin, end, LANES):
                adam_block(
                    work, at, num_state, scale, size, epsilon, decay, beta1, new1, beta2, new2
                )
        begin = end


@njit
@no_type_check
def _mix(x):
    """The finaliser of SplitMix64, as in core/rng.py."""
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
def _take_drawn(work, drawn, layout, coords, values, key, step):
    """Copy a step's points: those of rng.integers(rng.fold(key, step), (num_points,), 0, n)."""
    golden = np.uint64(0x9E3779B97F4A7C15)
    step_key = _mix(key ^ _mix(np.uint64(step) + golden))
    # Indices first, then copies: the hash vectorises, gathering does not.
    for p in range(layout.num_points):
        bits = _mix(step_key + np.uint64(p + 1) * golden)
        drawn[p] = np.int64(bits >> np.uint64(11)) * 2.0**-53 * len(values)
    for p in range(layout.num_points):
        at = np.uint64(drawn[p])
        for d in range(coords.shape[1]):
            work[layout.coords + p * layout.input_width + d] = coords[at, d]
        for k in range(layout.d_out):
            work[layout.values + p * layout.d_out + k] = values[at, k]


@njit
@no_type_check
def _loss_and_gradient(work, layout, hidden, half_turns, offset):
    """The loss of the points in the workspace; leaves its gradient there."""
    gradient = 3 * layout.num_state
    work[gradient : gradient + layout.num_state] = 0.0
    _scale_weights(work, hidden, half_turns)
    count = layout.num_points * layout.d_out
    # The gradient of the mean of squares: 2 / count times the residual.
    total, scale = 0.0, np.float32(2.0 / count)
    for begin in range(0, layout.num_rows, layout.tile_points):
        points = min(layout.tile_points, layout.num_rows - begin)
        coords = layout.coords + begin * layout.input_width
        values = layout.values + begin * layout.d_out
        real = min(points, layout.num_points - begin)
        _tile_forward(work, layout, hidden, coords, points)
        total += _residuals(work, layout, values, points, real, offset, scale)
        _tile_backward(work, layout, hidden, coords, points)
    return total / count


@njit
@no_type_check
def _fit_one(work, job, coords, values, key, learned):
    """Fit the parameters in the workspace; return the last loss computed and the update count.

    With `learned`, step sizes lie in place of the first moment, and no update is Adam's.
    """
    layout, num_steps, loss = job.layout[0], len(job.schedule), np.nan
    drawn = np.empty(layout.num_points if job.draws else 0, dtype=np.int64)
    if not job.draws:
        _take_all(work, layout, coords, values)
    # A fit of no steps still reports its loss.
    for step in range(max(num_steps, 1)):
        if job.draws:
            _take_drawn(work, drawn, layout, coords, values, key, step)
        loss = _loss_and_gradient(work, layout, job.hidden, job.half_turns, job.offset)
        if num_steps == 0 or not math.isfinite(loss) or loss <= job.stop:
            return loss, step
        _update(work, layout, job.hidden, job.half_turns, job.schedule[step], job.adam, learned)
    return loss, num_steps


def _compile_for(digest):
    """Compile the kernel with the digest of its sources in a closure, so that caches expire."""

    @kept_on_disk
    @no_type_check
    def fit_rows(work, job, signals, theta, step_sizes, final_loss, num_steps, begin, end):
        # The mode belongs to the thread, and threads of the pool are new.
        flush_denormals()
        learned, num_state = len(step_sizes) > 0, job.layout[0].num_state
        for row in range(begin, end):
            # Padding must start at zero, and NaN of the last fit must not survive.
            work[:] = 0.0
            for i in range(len(job.places)):
                work[job.places[i]] = theta[row, i]
            if learned:
                for i in range(len(job.places)):
                    work[num_state + job.places[i]] = step_sizes[row, i]
            signal = signals.signal_of[row]
            coords = signals.coords[signal if len(signals.coords) > 1 else 0]
            values, key = signals.values[signal], signals.keys[row]
            loss, steps = _fit_one(work, job, coords, values, key, learned)
            finite = math.isfinite(loss)
            for i in range(len(job.places)):
                finite = finite and math.isfinite(work[job.places[i]])
            for i in range(len(job.places)):
                theta[row, i] = work[job.places[i]] if finite else np.nan
            final_loss[row] = loss if finite else np.nan
            num_steps[row] = steps
        return digest

    return fit_rows


# fit_rows(work, job, signals, theta, step_sizes, final_loss, num_steps, begin, end) fits rows
# begin..end-1 of theta (b, p) in place, and fills final_loss and num_steps; job.layout describes
# work. step_sizes is (b, p), or (0, p) for updates by Adam. It returns the digest of its sources.
fit_rows = _compile_for(sources_digest(__file__, cpu_blocks.__file__, emitter.__file__))
