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

    def fit(self, spec: InrSpec, config: FitConfig, batch: FitBatch) -> FitResult:
        """Fit every INR of the batch by config; tensors in and out are on the CPU."""
        ...
