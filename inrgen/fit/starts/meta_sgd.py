"""Meta-SGD: learn initial weights and step sizes from which a few gradient steps fit a signal.

The inner loop is gradient descent with learned step sizes, for shapes with momentum, and the outer
loop is Adam on the error that is left after it (Meta-SGD, arXiv 1707.09835; MAML, arXiv 1703.03400;
for coordinate networks, arXiv 2012.02189). All functions are pure, and every start learns alone: no
result depends on the other starts of a batch.
"""

import math
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from inrgen.core import rng
from inrgen.core.config import InitConfig
from inrgen.core.metrics import psnr_db
from inrgen.core.params import Params
from inrgen.core.siren import evaluate, initialise
from inrgen.core.spec import InrSpec
from inrgen.fit.starts.config import StepSizes
from inrgen.fit.starts.guide import LabelGuide
from inrgen.fit.starts.inner_loop import adapt, points_of_step

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8
_CLIP_NORM = 1.0
_FIRST_STEP_SIZE = 1e-2
_READER_LR = 1e-3
# exp then neither overflows nor reaches zero.
_LOG_STEP_RANGE = (-20.0, 5.0)
# A batch varies, so only 10 dB below the best start's held-out items tell that the loop diverges.
_DIVERGED_BATCH_DB = 10.0
# The held-out items are always the same, so there 3 dB tell.
_DIVERGED_DB = 3.0
# SIREN's first layer and small others; biases start at zero and are learned.
_INIT = InitConfig(first_layer="siren", hidden_bias="zero", last_layer="small")


@dataclass(frozen=True, kw_only=True, slots=True)
class MetaProblem:
    """The inner loop that starts are learned for.

    Attributes:
        second_order: whether the outer gradient goes through the inner gradients.
        step_of: the position of each parameter's step size among the g learned ones.
        guide: adds a classifier's loss to the error; without it labels are ignored.
        momentum: share of each inner step that the next one repeats.
    """

    spec: InrSpec
    inner_steps: int
    second_order: bool
    step_of: Int[Tensor, " p"]
    guide: LabelGuide | None = None
    momentum: float = 0.0

    def adapt_items(
        self,
        start: Float[Tensor, "k p"],
        log_steps: Float[Tensor, "k g"],
        coords: Float[Tensor, "*shared n d_in"],
        values: Float[Tensor, "*s k m n d_out"],
        create_graph: bool,
    ) -> Params:
        """Fit m items from each of k starts; INR v * m + i fits item i from start v."""
        num = values.shape[-3]
        rows = start.repeat_interleave(num, dim=0)
        steps = log_steps.exp()[:, self.step_of].repeat_interleave(num, dim=0)
        return adapt(
            self.spec,
            Params.from_flat(self.spec, rows),
            Params.from_flat(self.spec, steps),
            coords,
            values.flatten(-4, -3),
            self.inner_steps,
            create_graph,
            self.momentum,
        )

    def outer_gradient(
        self,
        start: Float[Tensor, "k p"],
        log_steps: Float[Tensor, "k g"],
        readers: Float[Tensor, "k r"],
        coords: Float[Tensor, "*shared n d_in"],
        values: Float[Tensor, "*s k m n d_out"],
        labels: Int[Tensor, "k m"] | None = None,
    ) -> tuple[
        Float[Tensor, " k"], Float[Tensor, "k p"], Float[Tensor, "k g"], Float[Tensor, "k r"]
    ]:
        """Sum of the losses of m items after the inner steps, and its gradients, of each start.

        coords: (n, d_in), or (k * m, n, d_in). With a first axis of s sets of points in both, each
        inner step takes its own set, and the last set measures the error.
        """
        start, log_steps, readers = (
            part.detach().requires_grad_() for part in (start, log_steps, readers)
        )
        fitted = self.adapt_items(start, log_steps, coords, values, self.second_order)
        at, wanted = points_of_step(coords, values.flatten(-4, -3), -1)
        error = evaluate(self.spec, fitted, at) - wanted
        losses = error.square().mean(dim=(1, 2)).unflatten(0, values.shape[-4:-2])
        if self.guide is not None:
            losses = losses + self.guide.loss(readers, start, fitted.flat(), labels)
        loss = losses.sum(dim=1)
        # Summed over starts, each gradient is that of its start alone.
        by_start, by_steps, by_readers = torch.autograd.grad(
            loss.sum(), (start, log_steps, readers), materialize_grads=True
        )
        return loss.detach(), by_start, by_steps, by_readers

    @torch.no_grad()
    def held_out_db(
        self,
        start: Float[Tensor, "k p"],
        log_steps: Float[Tensor, "k g"],
        readers: Float[Tensor, "k r"],
        coords: Float[Tensor, "*shared n d_in"],
        values: Float[Tensor, "*s k m n d_out"],
        labels: Int[Tensor, "k m"] | None = None,
    ) -> Float64[Tensor, " k"]:
        """Sum over m items of their PSNR in dB after the inner steps, of each start.

        A guide's loss counts as an error, too, so that one number ranks the starts. Points are as
        for outer_gradient.
        """
        fitted = self.adapt_items(start, log_steps, coords, values, create_graph=False)
        at, wanted = points_of_step(coords, values.flatten(-4, -3), -1)
        found = psnr_db(evaluate(self.spec, fitted, at), wanted, self.spec.value_width)
        found = found.unflatten(0, values.shape[-4:-2])
        if self.guide is not None:
            width = self.spec.value_width**2
            error = width * 10.0 ** (-found / 10.0)
            error = error + self.guide.loss(readers, start, fitted.flat(), labels)
            found = 10.0 * torch.log10(width / error)
        return found.sum(dim=1)


def step_positions(spec: InrSpec, step_sizes: StepSizes) -> Int[Tensor, " p"]:
    """The position of each parameter's step size: its own, its layer's, or the only one."""
    if step_sizes == "parameter":
        return torch.arange(spec.num_params)
    if step_sizes == "one":
        return torch.zeros(spec.num_params, dtype=torch.int64)
    # two slots a layer, weight and bias
    return torch.cat(
        [torch.full((slot.size,), place // 2) for place, slot in enumerate(spec.layers)]
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class MetaState:
    """State of the outer loop for k starts, all that its remaining steps depend on.

    Attributes:
        start: the starts as flat rows.
        log_steps: logarithms of the learned step sizes.
        readers: the classifiers of the guide; no columns without one.
        start_mean, start_square and so on: Adam's moments of these.
        updates: Adam's updates since its moments were zero.
        rate: factor on both learning rates; it halves with every rollback.
        rollbacks: number of rollbacks to the best start.
        best_start, best_log_steps: the start with the best PSNR on held-out items so far.
        best_db: that PSNR, or the guided loss in dB.
    """

    start: Float[Tensor, "k p"]
    log_steps: Float[Tensor, "k g"]
    start_mean: Float[Tensor, "k p"]
    start_square: Float[Tensor, "k p"]
    steps_mean: Float[Tensor, "k g"]
    steps_square: Float[Tensor, "k g"]
    updates: Int[Tensor, " k"]
    rate: Float[Tensor, " k"]
    rollbacks: Int[Tensor, " k"]
    best_start: Float[Tensor, "k p"]
    best_log_steps: Float[Tensor, "k g"]
    best_db: Float64[Tensor, " k"]
    readers: Float[Tensor, "k r"]
    readers_mean: Float[Tensor, "k r"]
    readers_square: Float[Tensor, "k r"]

    def tensors(self) -> dict[str, Tensor]:
        """All fields with numbers by name, on the CPU."""
        found = {f.name: getattr(self, f.name).cpu().contiguous() for f in fields(self)}
        return {name: tensor for name, tensor in found.items() if tensor.numel()}


def first_state(problem: MetaProblem, seed: int, num_starts: int) -> MetaState:
    """The state before the first outer step, on the device of problem."""
    device, views = problem.step_of.device, torch.arange(num_starts)
    keys = rng.keys(seed, "learn start init", torch.zeros_like(views), views)
    # a copy, because best_start must not share its memory in a checkpoint
    start = initialise(problem.spec, _INIT, keys).flat().to(device)
    num_steps = int(problem.step_of.max()) + 1
    log_steps = torch.full((num_starts, num_steps), math.log(_FIRST_STEP_SIZE), device=device)
    none = torch.zeros(num_starts, dtype=torch.int64, device=device)
    readers = start.new_zeros(num_starts, 0)
    if problem.guide is not None:
        readers = problem.guide.first_readers(seed, num_starts).to(start)
    return MetaState(
        start=start,
        log_steps=log_steps,
        start_mean=torch.zeros_like(start),
        start_square=torch.zeros_like(start),
        steps_mean=torch.zeros_like(log_steps),
        steps_square=torch.zeros_like(log_steps),
        updates=none,
        rate=torch.ones(num_starts, device=device),
        rollbacks=none.clone(),
        best_start=start.clone(),
        best_log_steps=log_steps.clone(),
        best_db=torch.full((num_starts,), -math.inf, dtype=torch.float64, device=device),
        readers=readers,
        readers_mean=torch.zeros_like(readers),
        readers_square=torch.zeros_like(readers),
    )


def keep_best(state: MetaState, held_out_db: Float64[Tensor, " k"]) -> MetaState:
    """Remember every start that is better on held-out items than all before it."""
    # A NaN is never better.
    better = held_out_db > state.best_db
    return replace(
        state,
        best_start=torch.where(better[:, None], state.start, state.best_start),
        best_log_steps=torch.where(better[:, None], state.log_steps, state.best_log_steps),
        best_db=torch.where(better, held_out_db, state.best_db),
    )


def has_diverged(
    state: MetaState,
    value_width: float,
    loss: Float[Tensor, " k"],
    by_start: Float[Tensor, "k p"],
    by_steps: Float[Tensor, "k g"],
) -> Bool[Tensor, " k"]:
    """Tell whether a start's loss or gradient is not finite, or its loss far above the best."""
    sound = by_start.isfinite().all(dim=1) & by_steps.isfinite().all(dim=1) & loss.isfinite()
    batch_db = 10.0 * torch.log10(value_width**2 / loss.double())
    return ~sound | (batch_db < state.best_db - _DIVERGED_BATCH_DB)


def has_lost(state: MetaState, held_out_db: Float64[Tensor, " k"]) -> Bool[Tensor, " k"]:
    """Tell whether a start's PSNR is NaN or far below its best on held-out items."""
    return ~(held_out_db >= state.best_db - _DIVERGED_DB)


def roll_back(state: MetaState, diverged: Bool[Tensor, " k"]) -> MetaState:
    """Put diverged starts back to their best, without moments, and halve their rates."""
    row = diverged[:, None]

    def forget(moment: Tensor) -> Tensor:
        return torch.where(row, torch.zeros_like(moment), moment)

    return replace(
        state,
        start=torch.where(row, state.best_start, state.start),
        log_steps=torch.where(row, state.best_log_steps, state.log_steps),
        start_mean=forget(state.start_mean),
        start_square=forget(state.start_square),
        steps_mean=forget(state.steps_mean),
        steps_square=forget(state.steps_square),
        readers_mean=forget(state.readers_mean),
        readers_square=forget(state.readers_square),
        updates=torch.where(diverged, torch.zeros_like(state.updates), state.updates),
        rate=torch.where(diverged, state.rate / 2, state.rate),
        rollbacks=state.rollbacks + diverged,
    )


def _adam(
    value: Float[Tensor, "k q"],
    gradient: Float[Tensor, "k q"],
    mean: Float[Tensor, "k q"],
    square: Float[Tensor, "k q"],
    updates: Int[Tensor, " k"],
    lr: Float[Tensor, " k"],
) -> tuple[Float[Tensor, "k q"], Float[Tensor, "k q"], Float[Tensor, "k q"]]:
    """Make the updates-th update of Adam on each row (arXiv 1412.6980, algorithm 1)."""
    mean = _BETA_1 * mean + (1.0 - _BETA_1) * gradient
    square = _BETA_2 * square + (1.0 - _BETA_2) * gradient.square()
    count = updates.to(value.dtype)[:, None]
    corrected = mean / (1.0 - _BETA_1**count)
    size = (square / (1.0 - _BETA_2**count)).sqrt() + _EPSILON
    return value - lr[:, None] * corrected / size, mean, square


def update(
    state: MetaState,
    by_start: Float[Tensor, "k p"],
    by_steps: Float[Tensor, "k g"],
    by_readers: Float[Tensor, "k r"],
    lr: float,
    step_lr: float,
    factor: float,
) -> MetaState:
    """Take an outer step with every start; its gradient is clipped to norm 1.

    factor multiplies all learning rates.
    """
    norm = by_start.norm(dim=1, keepdim=True)
    clipped = by_start * (_CLIP_NORM / norm.clamp(min=_CLIP_NORM))
    updates = state.updates + 1
    rates = [rate * factor * state.rate for rate in (lr, step_lr, _READER_LR)]
    start, start_mean, start_square = _adam(
        state.start, clipped, state.start_mean, state.start_square, updates, rates[0]
    )
    log_steps, steps_mean, steps_square = _adam(
        state.log_steps, by_steps, state.steps_mean, state.steps_square, updates, rates[1]
    )
    readers, readers_mean, readers_square = _adam(
        state.readers, by_readers, state.readers_mean, state.readers_square, updates, rates[2]
    )
    return replace(
        state,
        start=start,
        log_steps=log_steps.clamp(*_LOG_STEP_RANGE),
        start_mean=start_mean,
        start_square=start_square,
        steps_mean=steps_mean,
        steps_square=steps_square,
        readers=readers,
        readers_mean=readers_mean,
        readers_square=readers_square,
        updates=updates,
    )
