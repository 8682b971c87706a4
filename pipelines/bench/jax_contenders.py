"""JAX contenders: vmap and scan, the same with a polynomial sine, and one call per update.

JAX is imported where it is used, because inrgen does not depend on it.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.fit.config import FitConfig
from inrgen.fit.engine import FitBatch
from inrgen.kernels.cpu_blocks import COSINE, SINE


@cache
def _polynomial_sine() -> Callable[[Any], Any]:
    """sin(pi t) for t in half turns, and its derivative, as polynomials of a few terms.

    JAX's own sine reduces any argument exactly, which on a CPU costs more than the network's
    products. The polynomials are those of the cpu engine (kernels/cpu_blocks.py proves them).
    """
    import jax
    from jax import lax
    from jax import numpy as jnp

    def polynomial(coefficients: tuple[float, ...], x: Any) -> Any:
        value = jnp.float32(coefficients[-1])
        for coefficient in coefficients[-2::-1]:
            value = value * x + jnp.float32(coefficient)
        return value

    def reduced(half_turns: Any) -> tuple[Any, Any]:
        # The parity of the half turns becomes a sign bit.
        halves = jnp.round(half_turns)
        return half_turns - halves, lax.shift_left(halves.astype(jnp.int32), jnp.int32(31))

    def signed(value: Any, odd: Any) -> Any:
        bits = lax.bitwise_xor(lax.bitcast_convert_type(value, jnp.int32), odd)
        return lax.bitcast_convert_type(bits, jnp.float32)

    def value(half_turns: Any) -> Any:
        rest, odd = reduced(half_turns)
        return polynomial(SINE, rest * rest) * signed(rest, odd)

    def value_and_slope(primals: tuple[Any], tangents: tuple[Any]) -> tuple[Any, Any]:
        rest, odd = reduced(primals[0])
        square = rest * rest
        slope = polynomial(tuple(math.pi * c for c in COSINE), square)
        sine = polynomial(SINE, square) * signed(rest, odd)
        return sine, signed(slope, odd) * tangents[0]

    sine = jax.custom_jvp(value)
    sine.defjvp(value_and_slope)
    return sine


def _loss(spec: InrSpec, tuned: bool) -> Callable[..., Any]:
    """Make the mean squared error of flat weights at points."""
    from jax import numpy as jnp

    slots = spec.layers

    def loss(theta: Any, x: Any, y: Any) -> Any:
        h = x
        for layer in range(spec.num_hidden + 1):
            weight, bias = (
                theta[slot.offset : slot.offset + slot.size].reshape(slot.shape)
                for slot in slots[2 * layer : 2 * layer + 2]
            )
            if layer == spec.num_hidden:
                h = h @ weight.T + bias
            elif tuned:
                unit = spec.omega[layer] / math.pi
                h = _polynomial_sine()(h @ (unit * weight).T + unit * bias)
            else:
                h = jnp.sin(spec.omega[layer] * (h @ weight.T + bias))
        return jnp.mean((h + spec.output_offset - y) ** 2)

    return loss


def _adam(config: FitConfig, state: Any, gradient: Any, count: Any) -> Any:
    """Make the count-th Adam update of weights and their two moments."""
    from jax import numpy as jnp

    theta, first, second = state
    first = 0.9 * first + 0.1 * gradient
    second = 0.999 * second + 0.001 * gradient**2
    m_hat, v_hat = first / (1 - 0.9**count), second / (1 - 0.999**count)
    return theta - config.lr * m_hat / (jnp.sqrt(v_hat) + 1e-8), first, second


def _drawn(config: FitConfig, key: Any, step: Any, num_points: int) -> Any:
    """Draw the indices of a step's points."""
    import jax

    return jax.random.randint(
        jax.random.fold_in(key, step), (config.points_per_step,), 0, num_points
    )


@cache
def _scanned(spec: InrSpec, config: FitConfig, tuned: bool) -> Callable[..., Any]:
    """Make a fit of a batch of flat weights: scan over steps, vmap over INRs, jit around both."""
    import jax
    from jax import numpy as jnp

    gradient_of = jax.grad(_loss(spec, tuned))

    def fit_one(theta: Any, coords: Any, values: Any, key: Any) -> Any:
        def update(state: Any, step: Any) -> tuple[Any, None]:
            x, y = coords, values
            if config.points_per_step:
                index = _drawn(config, key, step, len(coords))
                x, y = coords[index], values[index]
            return _adam(config, state, gradient_of(state[0], x, y), step + 1), None

        start = (theta, jnp.zeros_like(theta), jnp.zeros_like(theta))
        return jax.lax.scan(update, start, jnp.arange(config.num_steps))[0][0]

    return jax.jit(jax.vmap(fit_one, in_axes=(0, None, 0, 0)))


@cache
def _stepwise(spec: InrSpec, config: FitConfig) -> Callable[..., Any]:
    """Make a fit that loops over steps in Python, with one jitted update of all INRs per step.

    fit-a-nef works this way (github.com/samuelepapa/fit-a-nef, fit_a_nef/trainer.py); this is
    written anew. It takes the gradient of the sum of the networks' losses, all at the same points.
    Where a step takes all points, fit-a-nef's permutation of them is left out.
    """
    import jax
    from jax import numpy as jnp

    # The gradient of a sum of independent losses is the gradient of each.
    losses = jax.vmap(_loss(spec, tuned=False), in_axes=(0, None, 0))
    gradient_of = jax.grad(lambda theta, x, y: losses(theta, x, y).sum())

    @jax.jit
    def update(state: Any, step: Any, coords: Any, values: Any, key: Any) -> Any:
        x, y = coords, values
        if config.points_per_step:
            index = _drawn(config, key, step, len(coords))
            x, y = coords[index], values[:, index]
        return _adam(config, state, gradient_of(state[0], x, y), step + 1)

    def fit(theta: Any, coords: Any, values: Any, keys: Any) -> Any:
        state = (jnp.asarray(theta), jnp.zeros_like(theta), jnp.zeros_like(theta))
        for step in range(config.num_steps):
            state = update(state, step, coords, values, keys[0])
        return state[0]

    return fit


def _in_batches(fit: Callable[..., Any], spec: InrSpec, batch: FitBatch, at_once: int) -> Params:
    """Fit at_once networks at a time; copies fill up the last batch."""
    import jax

    fitted = []
    for low in range(0, len(batch.start), at_once):
        rows = torch.arange(low, low + at_once).clamp(max=len(batch.start) - 1)
        theta = fit(
            batch.start[rows].flat().numpy(),
            batch.coords[0].numpy(),
            batch.values[batch.signal_of[rows]].numpy(),
            jax.random.split(jax.random.key(low), at_once),
        )
        fitted.append(np.asarray(theta))
    flat = np.concatenate(fitted)[: len(batch.start)]
    return Params.from_flat(spec, torch.from_numpy(flat))


def jax_vmap(spec: InrSpec, config: FitConfig, batch: FitBatch, at_once: int) -> Params:
    """Fit by scan and vmap with JAX's own sine."""
    return _in_batches(_scanned(spec, config, False), spec, batch, at_once)


def jax_tuned(spec: InrSpec, config: FitConfig, batch: FitBatch, at_once: int) -> Params:
    """Fit by scan and vmap with a polynomial sine."""
    return _in_batches(_scanned(spec, config, True), spec, batch, at_once)


def fit_a_nef_style(spec: InrSpec, config: FitConfig, batch: FitBatch, at_once: int) -> Params:
    """Fit with one call per update and JAX's own sine."""
    return _in_batches(_stepwise(spec, config), spec, batch, at_once)


JAX_CONTENDERS: dict[str, Callable[[InrSpec, FitConfig, FitBatch, int], Params]] = {
    "jax": jax_vmap,
    "jax-tuned": jax_tuned,
    "fit-a-nef-style": fit_a_nef_style,
}
