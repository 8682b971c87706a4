"""What a transform is: a random change to a batch of weights, split into draw and apply."""

from typing import Protocol, TypeVar

from jaxtyping import Int
from torch import Tensor

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec

Draw = TypeVar("Draw")


class Transform(Protocol[Draw]):
    """A change to a batch of weights, split so that every random choice is data.

    A draw is a frozen dataclass of tensors, one row an INR, and of the few facts of the spec that
    apply needs (omega, output offset): so apply takes no spec, and a draw that was stored replays.
    """

    def draw(self, spec: InrSpec, keys: Int[Tensor, " b"]) -> Draw:
        """Choose for each INR from its own key; see no weights.

        Raises ValueError for a spec that this transform has no meaning for.
        """
        ...

    def apply(self, params: Params, draw: Draw) -> Params:
        """Carry the choice out; use no randomness and write into no argument."""
        ...


class Undoable(Transform[Draw], Protocol[Draw]):
    """A transform whose weights can be had back from the draw, up to rounding."""

    def undo(self, params: Params, draw: Draw) -> Params:
        """Take apply back."""
        ...
