"""Contenders of the engines: the ways in which people fit INRs today.

A contender takes an engine's arguments and returns fitted weights. It draws points with its own
library, as its users would.
"""

from collections.abc import Callable
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor, nn

from inrgen.core.params import Params
from inrgen.core.siren import evaluate
from inrgen.core.spec import InrSpec
from inrgen.fit.config import FitConfig
from inrgen.fit.engine import FitBatch
from inrgen.fit.engines import make_engine
from pipelines.bench.jax_contenders import JAX_CONTENDERS

Contender = Callable[[InrSpec, FitConfig, FitBatch], Params]

# Limits of a batch, in INRs and in activations of a layer, so that it stays in the caches.
_MOST_AT_ONCE, _MOST_VALUES = 16, 512 * 1024


def batch_size(spec: InrSpec, config: FitConfig, num_points: int) -> int:
    """Number of INRs, a power of two, that batched contenders fit at a time."""
    values = (config.points_per_step or num_points) * max(spec.widths)
    return 1 << (max(1, min(_MOST_AT_ONCE, _MOST_VALUES // values)).bit_length() - 1)


class _Siren(nn.Module):
    """A SIREN as tutorials write it."""

    def __init__(self, spec: InrSpec, start: Params) -> None:
        super().__init__()
        self.spec = spec
        self.layers = nn.ModuleList(
            nn.Linear(i, o) for i, o in zip(spec.widths, spec.widths[1:], strict=False)
        )
        with torch.no_grad():
            for layer, weight, bias in zip(self.layers, start.weights, start.biases, strict=True):
                assert isinstance(layer, nn.Linear)
                layer.weight.copy_(weight[0])
                layer.bias.copy_(bias[0])

    def forward(self, x: Float[Tensor, "n d_in"]) -> Float[Tensor, "n d_out"]:
        for layer, omega in zip(self.layers, self.spec.omega, strict=False):
            x = torch.sin(omega * layer(x))
        return self.layers[-1](x) + self.spec.output_offset


def sequential(spec: InrSpec, config: FitConfig, batch: FitBatch) -> Params:
    """Fit one network after another, each with a module and torch.optim.Adam."""
    fitted = []
    for row in range(len(batch.start)):
        siren = _Siren(spec, batch.start[row : row + 1])
        optimiser = torch.optim.Adam(siren.parameters(), lr=config.lr)
        coords, values = batch.coords[0], batch.values[batch.signal_of[row]]
        for _ in range(config.num_steps):
            x, y = coords, values
            if config.points_per_step:
                index = torch.randint(len(coords), (config.points_per_step,))
                x, y = coords[index], values[index]
            optimiser.zero_grad()
            nn.functional.mse_loss(siren(x), y).backward()
            optimiser.step()
        flat = torch.cat([p.detach().flatten() for p in siren.parameters()])
        fitted.append(flat)
    return Params.from_flat(spec, torch.stack(fitted))


@cache
def _compiled_update(spec: InrSpec, lr: float) -> Callable[..., tuple[Tensor, ...]]:
    """Compile one Adam update of a batch of flat weights as one graph."""

    # Read the slots outside the graph: the compiler warns of cached functions such as spec.layers.
    slots = spec.layers

    def loss(theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
        parts = [theta[:, s.offset : s.offset + s.size].unflatten(1, s.shape) for s in slots]
        params = Params(weights=tuple(parts[0::2]), biases=tuple(parts[1::2]))
        values = evaluate(spec, params, x)
        return (values - y).square().mean(dim=(1, 2)).sum()

    gradient_of = torch.func.grad(loss)

    def update(
        theta: Tensor, first: Tensor, second: Tensor, x: Tensor, y: Tensor, corrections: Tensor
    ) -> tuple[Tensor, ...]:
        gradient = gradient_of(theta, x, y)
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient.square()
        m_hat, v_hat = first / corrections[0], second / corrections[1]
        return theta - lr * m_hat / (v_hat.sqrt() + 1e-8), first, second

    return torch.compile(update, dynamic=False)


def compiled(spec: InrSpec, config: FitConfig, batch: FitBatch) -> Params:
    """Fit batches of a few networks, the update compiled by torch.compile."""
    update = _compiled_update(spec, config.lr)
    fitted, size = [], batch_size(spec, config, batch.values.shape[1])
    for low in range(0, len(batch.start), size):
        # The compiled shape is fixed, so copies of the last INR fill up the batch.
        rows = torch.arange(low, low + size).clamp(max=len(batch.start) - 1)
        theta, values = batch.start[rows].flat(), batch.values[batch.signal_of[rows]]
        x, y = batch.coords[0].expand(len(rows), -1, -1).contiguous(), values
        first, second = torch.zeros_like(theta), torch.zeros_like(theta)
        for step in range(config.num_steps):
            if config.points_per_step:
                index = torch.randint(values.shape[1], (len(rows), config.points_per_step))
                x = batch.coords[0][index]
                y = values.take_along_dim(index[:, :, None], dim=1)
            corrections = torch.tensor([1.0 - 0.9 ** (step + 1), 1.0 - 0.999 ** (step + 1)])
            theta, first, second = update(theta, first, second, x, y, corrections)
        fitted.append(theta)
    return Params.from_flat(spec, torch.cat(fitted)[: len(batch.start)])


def _engine(name: str) -> Contender:
    # One thread each: the workers of a group share the cores.
    engine = make_engine(name, threads=1)
    return lambda spec, config, batch: engine.fit(spec, config, batch).params


def _by_jax(name: str) -> Contender:
    fit = JAX_CONTENDERS[name]
    return lambda spec, config, batch: fit(
        spec, config, batch, batch_size(spec, config, batch.values.shape[1])
    )


def contender(name: str) -> Contender:
    """Return a contender by name: sequential, compiled, a JAX one, or an engine on one thread."""
    if name in JAX_CONTENDERS:
        return _by_jax(name)
    others = {"sequential": sequential, "compiled": compiled}
    return others[name] if name in others else _engine(name)
