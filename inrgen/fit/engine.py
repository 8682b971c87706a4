"""Engine protocol: a batch of signals and initial weights in, fitted weights out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.fit.config import FitConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class FitBatch:
    """A batch of b INRs, to be fitted to s signals of n points each.

    coords has one entry that all signals share (c = 1), or one for each signal (c = s). signal_of
    gives each INR its signal. keys seed the mini-batches of each INR. start holds the initial
    weights, float32.

    With step_sizes, float32 and in the shapes of start, an update is a plain gradient step:
    theta - step_sizes * gradient of the mean squared error (Meta-SGD, arXiv 1707.09835, equation
    4). With momentum, too, it is theta - v with v = momentum * (last v) + step_sizes * gradient.
    Adam's fields, the learning rate, its schedule and the weight decay are then unused.

    With the config's curvature, step_sizes and momentum are unused, too.

    With weights, of mean 1 over the points of a signal, the loss is the mean of weight times
    squared error. Engine torch alone knows them.
    """

    coords: Float[Tensor, "c n d_in"]
    values: Float[Tensor, "s n d_out"]
    signal_of: Int[Tensor, " b"]
    keys: Int[Tensor, " b"]
    start: Params
    step_sizes: Params | None = None
    momentum: float = 0.0
    weights: Float[Tensor, "s n"] | None = None

    def check(self, spec: InrSpec, knows_weights: bool = True) -> None:
        """Raise ValueError unless the parts fit together, and fit spec.

        Compiled engines index memory with these numbers, so every engine checks first.
        """
        if self.weights is not None and not knows_weights:
            raise ValueError(
                "signals with weights need engine torch; their source says so by "
                "SourceFacts(weighted=True)"
            )
        num, num_signals = len(self.start), len(self.values)
        if self.weights is not None and self.weights.shape != self.values.shape[:2]:
            raise ValueError(
                f"weights needs the shape {tuple(self.values.shape[:2])}; "
                f"got {tuple(self.weights.shape)}"
            )
        if len(self.signal_of) != num or len(self.keys) != num or num == 0:
            raise ValueError(
                f"signal_of and keys need an entry for each of {num} starting INRs, at least one; "
                f"got {len(self.signal_of)} and {len(self.keys)}"
            )
        if len(self.coords) not in (1, num_signals) or self.coords.shape[1] != self.values.shape[1]:
            raise ValueError(
                f"coords needs {self.values.shape[1]} points, once or for each of {num_signals} "
                f"signals; got {tuple(self.coords.shape)}"
            )
        if not 0 <= int(self.signal_of.min()) <= int(self.signal_of.max()) < num_signals:
            raise ValueError(f"signal_of must be in 0..{num_signals - 1}; got {self.signal_of}")
        sizes = (self.coords.shape[2], self.values.shape[2])
        shapes = [tuple(w.shape[1:]) for w in self.start.weights]
        if sizes != (spec.d_in, spec.d_out) or shapes != [
            (o, i) for i, o in zip(spec.widths, spec.widths[1:], strict=False)
        ]:
            raise ValueError(
                f"a batch for {spec.architecture} has {sizes} sizes and weights of {shapes}"
            )
        if self.step_sizes is not None and _shapes(self.step_sizes) != _shapes(self.start):
            raise ValueError(
                f"step_sizes needs the shapes of start, {_shapes(self.start)}; "
                f"got {_shapes(self.step_sizes)}"
            )


def _shapes(params: Params) -> list[tuple[int, ...]]:
    return [tuple(part.shape) for part in (*params.weights, *params.biases)]


@dataclass(frozen=True, kw_only=True, slots=True)
class FitResult:
    """Fitted weights, and the course of each fit.

    final_loss is the mean squared error over the points of the last step evaluated, before its
    update. num_steps counts the updates made. A fit that met a non-finite value has NaN in
    final_loss and in all its weights, never the weights of an earlier step.
    """

    params: Params
    final_loss: Float[Tensor, " b"]
    num_steps: Int[Tensor, " b"]


def check_curvature(engine: str, spec: InrSpec, config: FitConfig) -> None:
    """Raise ValueError for steps by curvature on another engine than torch, or of other networks.

    Engines would take other steps without a word.
    """
    if config.curvature and engine != "torch":
        raise ValueError(f"steps by curvature need engine torch; got {engine}")
    if config.curvature and not spec.is_siren:
        raise ValueError(f"steps by curvature fit SIRENs alone, not {spec.kind}")


def poison_failed(
    theta: Float[Tensor, "b p"], final_loss: Float[Tensor, " b"]
) -> tuple[Float[Tensor, "b p"], Float[Tensor, " b"]]:
    """Set all weights and the loss of a failed fit to NaN.

    A finite loss does not suffice: the last update may have made weights overflow.
    """
    failed = ~(final_loss.isfinite() & theta.isfinite().all(dim=1))
    return theta.masked_fill(failed[:, None], torch.nan), final_loss.masked_fill(failed, torch.nan)


def join_parts(spec: InrSpec, parts: Sequence[Sequence[Tensor]]) -> FitResult:
    """Join micro-batches, each with flat weights, final losses and numbers of updates."""
    theta, final_loss, num_steps = (torch.cat(part) for part in zip(*parts, strict=True))
    return FitResult(
        params=Params.from_flat(spec, theta), final_loss=final_loss, num_steps=num_steps
    )


class Engine(Protocol):
    """A fitter of batches. The result for one INR must not depend on its batch."""

    @property
    def name(self) -> str:
        """The engine's name in records and on the command line."""
        ...

    @property
    def device(self) -> str:
        """The torch device on which it fits."""
        ...

    def fit(self, spec: InrSpec, config: FitConfig, batch: FitBatch) -> FitResult:
        """Fit every INR of the batch by config; tensors in and out are on the CPU."""
        ...
