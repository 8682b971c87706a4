"""Batched torch: the reference that the other engines must match."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inrgen.core import rng
from inrgen.core.params import Params
from inrgen.core.siren import evaluate
from inrgen.core.spec import InrSpec
from inrgen.fit.config import FitConfig, stop_loss, update_scalars
from inrgen.fit.curvature import CurvatureSteps
from inrgen.fit.engine import FitBatch, FitResult, check_curvature, join_parts, poison_failed

# Limits on the INRs of a micro-batch and on one layer's activations: on a CPU few enough to stay
# in its caches, on a GPU enough to fill it.
_CPU_AT_ONCE, _CPU_VALUES = 16, 512 * 1024
_GPU_AT_ONCE, _GPU_VALUES = 4096, 64 * 1024 * 1024


@contextmanager
def _one_thread() -> Iterator[None]:
    """Run with one thread: torch splits sums among threads, so their number changes last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _points_of_step(
    config: FitConfig, keys: Int[Tensor, " b"], num_points: int, step: int
) -> Int[Tensor, "b k"]:
    """The points of an update, drawn with replacement from each INR's own key."""
    return rng.integers(rng.fold(keys, step), (config.points_per_step,), 0, num_points)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Fit:
    """b fits in progress, each on its own points; all of them start together at step 0.

    step_sizes and momentum are those of the batch. Without step sizes Adam updates, and steps by
    curvature need none.
    """

    spec: InrSpec
    config: FitConfig
    coords: Float[Tensor, "c n d_in"]
    values: Float[Tensor, "b n d_out"]
    weights: Float[Tensor, "b n"] | None
    point_keys: Int[Tensor, " b"]
    step_sizes: Float[Tensor, "b p"] | None
    momentum: float

    def points(
        self, step: int
    ) -> tuple[Float[Tensor, "_c k d_in"], Float[Tensor, "b k d_out"], Tensor | None]:
        """Coordinates, values and weights of the points of a step."""
        if self.config.points_per_step == 0:
            return self.coords, self.values, self.weights
        index = _points_of_step(self.config, self.point_keys, self.values.shape[1], step)
        # Each INR draws its own points, so from here on each has its own coordinates.
        coords = self.coords.expand(len(index), -1, -1)
        return (
            coords.take_along_dim(index[:, :, None], dim=1),
            self.values.take_along_dim(index[:, :, None], dim=1),
            None if self.weights is None else self.weights.take_along_dim(index, dim=1),
        )

    def loss_and_gradient(
        self, theta: Float[Tensor, "b p"], step: int
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, "b p"]]:
        """Mean squared error of each INR, and its gradient.

        Losses are summed for the gradient, which keeps INRs independent.
        """
        coords, values, weights = self.points(step)
        theta = theta.detach().requires_grad_()
        # evaluate takes (n, d_in) for all INRs, or (b, n, d_in)
        shared = coords[0] if len(coords) == 1 else coords
        params = Params.from_flat(self.spec, theta).map(torch.Tensor.contiguous)
        prediction = evaluate(self.spec, params, shared)
        square = (prediction - values).square()
        if weights is not None:
            square = weights[:, :, None] * square
        loss = square.mean(dim=(1, 2))
        (gradient,) = torch.autograd.grad(loss.sum(), theta)
        return loss.detach(), gradient

    def run(self, theta: Float[Tensor, "b p"]) -> tuple[Tensor, Tensor, Tensor]:
        """Weights, final loss and number of updates of each INR."""
        config = self.config
        scalars = update_scalars(config)
        target = stop_loss(config, self.spec.value_width)
        curvature = CurvatureSteps(self.spec, config.num_steps) if config.curvature else None
        first = torch.zeros_like(theta)
        second = torch.zeros_like(theta)
        moving = torch.ones(len(theta), dtype=torch.bool, device=theta.device)
        num_steps = torch.zeros(len(theta), dtype=torch.int64, device=theta.device)
        final_loss = torch.full((len(theta),), torch.nan, device=theta.device)
        # Without updates one pass still measures the loss of the initial weights.
        for step in range(max(config.num_steps, 1)):
            if curvature is not None:
                loss, change = curvature.next_move(theta, *self.points(step))
            else:
                loss, change = self.loss_and_gradient(theta, step)
            final_loss = torch.where(moving, loss, final_loss)
            if config.num_steps == 0:
                break
            # A NaN loss is never above the target, and isfinite catches infinity: such a fit stops.
            moving = moving & (loss > target) & loss.isfinite()
            if not moving.any():
                break
            # Stopped INRs are computed along with the others, and where() drops their updates: a
            # smaller batch would change the bits of the rest.
            if curvature is not None:
                moved = theta + change
            elif self.step_sizes is not None:
                first = self.momentum * first + self.step_sizes * change
                moved = theta - first
            else:
                size, epsilon, decay = scalars[step].tolist()
                first = config.beta1 * first + (1.0 - config.beta1) * change
                second = config.beta2 * second + (1.0 - config.beta2) * change.square()
                moved = decay * theta - size * first / (second.sqrt() + epsilon)
            theta = torch.where(moving[:, None], moved, theta)
            num_steps = num_steps + moving
        return *poison_failed(theta, final_loss), num_steps


def _fill_cache_lines(spec: InrSpec, num_points: int) -> bool:
    """Tell whether all matrices fill whole cache lines, so that all INRs are aligned alike."""
    # 16 float32 are a cache line of 64 bytes
    weights = (i * o for i, o in zip(spec.widths, spec.widths[1:], strict=False))
    return all(size % 16 == 0 for size in (*weights, *(num_points * w for w in spec.widths)))


@dataclass(frozen=True, kw_only=True, slots=True)
class TorchEngine:
    """Batched products, autograd, and Adam written out for each INR.

    Batched products differ with the batch's size, but an INR's result must not. So the spec and
    the number of points alone set the size of a micro-batch, the last one is filled with copies,
    and there is one thread. Where an INR's matrices do not fill whole cache lines, its result
    would also differ with its position in the batch; there the size is one. On "cuda"
    micro-batches are larger.
    """

    device: str = "cpu"

    @property
    def name(self) -> str:
        return "torch"

    def _micro_batch(self, spec: InrSpec, num_points: int, curvature: bool) -> int:
        values = num_points * max(spec.widths)
        if torch.device(self.device).type != "cpu":
            return max(1, min(_GPU_AT_ONCE, _GPU_VALUES // values))
        # The factors of curvature have a row for biases, so they never fill whole lines.
        if curvature or not _fill_cache_lines(spec, num_points):
            return 1
        return max(1, min(_CPU_AT_ONCE, _CPU_VALUES // values))

    def fit(self, spec: InrSpec, config: FitConfig, batch: FitBatch) -> FitResult:
        """Fit every INR of the batch by config; tensors in and out are on the CPU."""
        batch.check(spec)
        check_curvature(self.name, spec, config)
        with _one_thread():
            return self._fit(spec, config, batch)

    def _fit(self, spec: InrSpec, config: FitConfig, batch: FitBatch) -> FitResult:
        start, coords, device = batch.start.flat(), batch.coords, self.device
        step_sizes = None if batch.step_sizes is None else batch.step_sizes.flat()
        weights = batch.weights
        # The name keeps the draws of points apart from all other draws from an INR's key.
        keys = rng.fold(batch.keys, rng.hash_name("points"))
        num = len(start)
        num_points = config.points_per_step or batch.values.shape[1]
        size = self._micro_batch(spec, num_points, config.curvature)
        parts: list[tuple[Tensor, Tensor, Tensor]] = []
        for low in range(0, num, size):
            # Copies of the last INR fill the last micro-batch.
            rows = torch.arange(low, low + size).clamp(max=num - 1)
            signal_of = batch.signal_of[rows]
            fit = _Fit(
                spec=spec,
                config=config,
                coords=(coords if len(coords) == 1 else coords[signal_of]).to(device),
                values=batch.values[signal_of].to(device),
                weights=None if weights is None else weights[signal_of].to(device),
                point_keys=keys[rows].to(device),
                step_sizes=None if step_sizes is None else step_sizes[rows].to(device),
                momentum=batch.momentum,
            )
            kept = min(size, num - low)
            theta, final_loss, num_steps = fit.run(start[rows].to(device))
            parts.append((theta[:kept].cpu(), final_loss[:kept].cpu(), num_steps[:kept].cpu()))
        return join_parts(spec, parts)
