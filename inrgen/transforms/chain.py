"""One transform after another, each with a probability of its own."""

from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from inrgen.core import rng
from inrgen.core.mixing import select
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.transforms.base import Transform


@dataclass(frozen=True, kw_only=True, slots=True)
class ChainDraw:
    """The draw of each link, and which INRs the link acts on: applied[t] is (b,)."""

    draws: tuple[Any, ...]
    applied: tuple[Bool[Tensor, " b"], ...]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Chain:
    """The transforms in order, transform t acting on each INR with probabilities[t].

    probabilities: one for each transform; None means always.
    """

    transforms: tuple[Transform[Any], ...]
    probabilities: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.probabilities is None:
            return
        if len(self.probabilities) != len(self.transforms):
            raise ValueError(
                f"probabilities needs one for each of {len(self.transforms)} transforms; "
                f"got {self.probabilities}"
            )
        if not all(0.0 <= p <= 1.0 for p in self.probabilities):
            raise ValueError(f"probabilities must lie in [0, 1]; got {self.probabilities}")

    def draw(self, spec: InrSpec, keys: Int[Tensor, " b"]) -> ChainDraw:
        """A link's place in the chain is part of its name, so equal links draw differently."""
        chances = self.probabilities or (1.0,) * len(self.transforms)
        return ChainDraw(
            draws=tuple(
                transform.draw(spec, rng.fold(keys, 2 * place))
                for place, transform in enumerate(self.transforms)
            ),
            applied=tuple(
                torch.ones_like(keys, dtype=torch.bool)
                if chance == 1.0
                else rng.uniform(rng.fold(keys, 2 * place + 1)) < chance
                for place, chance in enumerate(chances)
            ),
        )

    def apply(self, params: Params, draw: ChainDraw) -> Params:
        chances = self.probabilities or (1.0,) * len(self.transforms)
        for transform, choice, applied, chance in zip(
            self.transforms, draw.draws, draw.applied, chances, strict=True
        ):
            changed = transform.apply(params, choice)
            params = changed if chance == 1.0 else select(applied, changed, params)
        return params

    def undo(self, params: Params, draw: ChainDraw) -> Params:
        """Take the links back, last first. Raises ValueError where a link cannot be undone."""
        links = list(zip(self.transforms, draw.draws, draw.applied, strict=True))
        for transform, choice, applied in reversed(links):
            undo = getattr(transform, "undo", None)
            if undo is None:
                if not bool(torch.any(applied)):
                    continue
                raise ValueError(f"transforms holds one that cannot be undone: {transform}")
            params = select(applied, undo(params, choice), params)
        return params
