"""The engine protocol: a batch of signals and starting weights in, fitted weights out."""

from dataclasses import dataclass
from typing import Protocol

from jaxtyping import Float, Int
from torch import Tensor

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.fit.config import FitConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class FitBatch:
    """b INRs to fit to s signals of n points each; signal_of says which INR sees which signal.

    coords has one entry that all signals share, or one a signal. keys name the randomness of each
    INR's mini-batches. start holds the weights to start from, float32.
    """

    coords: Float[Tensor, "c n d_in"]
    values: Float[Tensor, "s n d_out"]
    signal_of: Int[Tensor, " b"]
    keys: Int[Tensor, " b"]
    start: Params

    def check(self, spec: InrSpec) -> None:
        """Raise ValueError where the parts do not belong together, or not to spec.

        Compiled engines read memory by these numbers, so every engine asks before it starts.
        """
        num, num_signals = len(self.start), len(self.values)
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


@dataclass(frozen=True, kw_only=True, slots=True)
class FitResult:
    """Fitted weights and how the fits went.

    final_loss is the mean squared error over the points of the last step that was looked at,
    before its update; num_steps counts the updates made. A fit that met a value that is not
    finite has NaN in final_loss and in all its weights, never the weights of a step before.
    """

    params: Params
    final_loss: Float[Tensor, " b"]
    num_steps: Int[Tensor, " b"]


class Engine(Protocol):
    """Something that fits batches. The result for one INR must not depend on its batch."""

    @property
    def name(self) -> str:
        """As records and the command line call it."""
        ...

    @property
    def device(self) -> str:
        """Where it fits, as torch calls it."""
        ...

    def fit(self, spec: InrSpec, config: FitConfig, batch: FitBatch) -> FitResult:
        """Fit every INR of the batch by config; tensors in and out are on the CPU."""
        ...
