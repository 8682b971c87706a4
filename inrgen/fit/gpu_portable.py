"""Batched torch for shapes that the kernel cannot fit: explicit gradients, one CUDA graph.

A step is a pure function of tensors, gradient included, so torch.compile sees no autograd. All
scalars of the step lie on the device, so a CUDA graph of it can be replayed. On other devices the
same function runs uncompiled.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inrgen.core import rng
from inrgen.core.activations import ACTIVATIONS
from inrgen.core.params import Params
from inrgen.core.siren import encode
from inrgen.core.spec import InrSpec
from inrgen.fit.config import FitConfig, stop_loss, update_scalars
from inrgen.fit.engine import FitBatch, FitResult, join_parts, poison_failed

# Values of one hidden layer of a micro-batch: enough to fill a GPU, in a few gigabytes of memory.
_VALUES_AT_ONCE = 64 * 1024 * 1024
_MOST_AT_ONCE = 4096
# Updates between two checks whether any INR still moves. A check waits for the device.
_STEPS_A_CHECK = 50

# theta, first and second moment, final loss, number of updates, whether it moves, the step number.
State = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


def loss_and_gradient(
    spec: InrSpec,
    theta: Float[Tensor, "b p"],
    coords: Float[Tensor, "b n d_in"],
    values: Float[Tensor, "b n d_out"],
) -> tuple[Float[Tensor, " b"], Float[Tensor, "b p"]]:
    """Mean squared error of each INR and its gradient, by an explicit chain rule."""
    params = Params.from_flat(spec, theta)
    inputs, slopes = [encode(spec, coords)], []
    activation = ACTIVATIONS[spec.activation]
    for layer in range(spec.num_hidden):
        z = torch.baddbmm(params.biases[layer][:, None], inputs[-1], params.weights[layer].mT)
        inputs.append(activation.function(z, spec.omega[layer]))
        slopes.append(activation.slope(z, spec.omega[layer]))
    last = torch.baddbmm(params.biases[-1][:, None], inputs[-1], params.weights[-1].mT)
    residual = last + spec.output_offset - values
    # the mean over points and outputs, as in the loss
    delta = residual * (2.0 / residual[0].numel())
    parts: list[Tensor] = []
    for layer in range(spec.num_hidden, -1, -1):
        weight = torch.bmm(delta.mT, inputs[layer])
        parts = [weight.flatten(1), delta.sum(dim=1), *parts]
        if layer > 0:
            delta = torch.bmm(delta, params.weights[layer]) * slopes[layer - 1]
    return residual.square().mean(dim=(1, 2)), torch.cat(parts, dim=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Fit:
    """b fits of one micro-batch; scalars is config.update_scalars on the device.

    step_sizes and momentum are those of the batch; without step sizes Adam updates.
    """

    spec: InrSpec
    config: FitConfig
    coords: Float[Tensor, "b n d_in"]
    values: Float[Tensor, "b n d_out"]
    point_keys: Int[Tensor, " b"]
    scalars: Float[Tensor, "t 3"]
    step_sizes: Float[Tensor, "b p"] | None
    momentum: float

    def start(self, theta: Float[Tensor, "b p"]) -> State:
        """The state before the first update."""
        moving = torch.ones(len(theta), dtype=torch.bool, device=theta.device)
        return (
            theta,
            torch.zeros_like(theta),
            torch.zeros_like(theta),
            torch.full_like(theta[:, 0], torch.nan),
            torch.zeros_like(moving, dtype=torch.int64),
            moving,
            torch.zeros(1, dtype=torch.int64, device=theta.device),
        )

    def evaluate(
        self, theta: Float[Tensor, "b p"], step: Int[Tensor, " 1"]
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, "b p"]]:
        """Loss and gradient over the points of a step."""
        if self.config.points_per_step == 0:
            return loss_and_gradient(self.spec, theta, self.coords, self.values)
        keys = rng.fold(self.point_keys, step.expand(len(theta)))
        index = rng.integers(keys, (self.config.points_per_step,), 0, self.values.shape[1])
        coords = self.coords.take_along_dim(index[:, :, None], dim=1)
        values = self.values.take_along_dim(index[:, :, None], dim=1)
        return loss_and_gradient(self.spec, theta, coords, values)

    def advance(self, *state: Tensor) -> State:
        """The state after one more update of every INR that still moves."""
        theta, first, second, final_loss, num_steps, moving, step = state
        config = self.config
        loss, gradient = self.evaluate(theta, step)
        final_loss = torch.where(moving, loss, final_loss)
        # A NaN loss is never above the target, and isfinite catches infinity: such a fit stops.
        moving = moving & (loss > stop_loss(config, self.spec.value_width)) & loss.isfinite()
        if self.step_sizes is not None:
            first = self.momentum * first + self.step_sizes * gradient
            moved = theta - first
        else:
            size, epsilon, decay = self.scalars.index_select(0, step)[0].unbind()
            first = config.beta1 * first + (1.0 - config.beta1) * gradient
            second = config.beta2 * second + (1.0 - config.beta2) * gradient.square()
            moved = decay * theta - size * first / (second.sqrt() + epsilon)
        theta = torch.where(moving[:, None], moved, theta)
        return theta, first, second, final_loss, num_steps + moving, moving, step + 1

    def run(self, theta: Float[Tensor, "b p"]) -> tuple[Tensor, Tensor, Tensor]:
        """Weights, final loss and number of updates of each INR."""
        state = self.start(theta)
        if self.config.num_steps == 0:
            loss, _ = self.evaluate(theta, state[-1])
            state = (*state[:3], loss, *state[4:])
        else:
            state = self._run_steps(state)
        theta, _, _, final_loss, num_steps, _, _ = state
        return *poison_failed(theta, final_loss), num_steps

    def _run_steps(self, state: State) -> State:
        # An eager step launches dozens of small kernels; a graph launches once.
        advance = _captured(self.advance, state) if state[0].is_cuda else self.advance
        for step in range(self.config.num_steps):
            state = advance(*state)
            if step % _STEPS_A_CHECK == _STEPS_A_CHECK - 1 and not state[5].any():
                break
        return state


def _captured(advance: Callable[..., State], start: State) -> Callable[..., State]:
    """Compile advance and record it as a CUDA graph that updates one fixed state."""
    theta, first, second, final_loss, num_steps, moving, step = (part.clone() for part in start)
    held = (theta, first, second, final_loss, num_steps, moving, step)
    compiled = torch.compile(advance, fullgraph=True, dynamic=False)
    side = torch.cuda.Stream(device=start[0].device)
    side.wait_stream(torch.cuda.current_stream(start[0].device))
    # Compilation and the libraries' first calls allocate memory, which a recording must not do.
    with torch.cuda.stream(side):
        for _ in range(3):  # as torch's documentation of CUDA graphs advises
            compiled(*held)
    torch.cuda.current_stream(start[0].device).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        # A graph always reads and writes the same memory, so the state is updated in place.
        for part, new in zip(held, compiled(*held), strict=True):
            part.copy_(new)

    def replay(*_: Tensor) -> State:
        graph.replay()
        return held

    return replay


def micro_batch(spec: InrSpec, num_points: int) -> int:
    """INRs of a micro-batch. Its size changes results, so only spec and points may set it."""
    fits = _VALUES_AT_ONCE // (num_points * max(spec.widths))
    return max(1, min(_MOST_AT_ONCE, fits))


def fit_portable(
    spec: InrSpec, config: FitConfig, batch: FitBatch, device: torch.device
) -> FitResult:
    """Fit a batch of any spec; tensors in and out are on the CPU."""
    flat = batch.start.flat()
    step_sizes = None if batch.step_sizes is None else batch.step_sizes.flat()
    keys = rng.fold(batch.keys, rng.hash_name("points"))
    scalars = torch.from_numpy(update_scalars(config)).float().to(device)
    size = micro_batch(spec, config.points_per_step or batch.values.shape[1])
    # A CUDA graph has fixed sizes, so there even a small batch is filled up.
    size = size if device.type == "cuda" else min(size, len(flat))
    parts = []
    for low in range(0, len(flat), size):
        rows = torch.arange(low, low + size).clamp(max=len(flat) - 1)
        signal_of = batch.signal_of[rows]
        coords = batch.coords.expand(len(batch.values), -1, -1)[signal_of]
        fit = _Fit(
            spec=spec,
            config=config,
            coords=coords.to(device),
            values=batch.values[signal_of].to(device),
            point_keys=keys[rows].to(device),
            scalars=scalars,
            step_sizes=None if step_sizes is None else step_sizes[rows].to(device),
            momentum=batch.momentum,
        )
        kept = min(size, len(flat) - low)
        parts.append([part[:kept].cpu() for part in fit.run(flat[rows].to(device))])
    return join_parts(spec, parts)
