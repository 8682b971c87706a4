"""A chain: transforms one after another, each with its own probability."""

from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from inrgen.core import rng
from inrgen.core.params import Params, select
from inrgen.core.spec import InrSpec
from inrgen.transforms.base import Transform
from inrgen.transforms.own import apply_checked, draw_checked


@dataclass(frozen=True, kw_only=True, slots=True)
class ChainDraw:
    """Draw of every transform of a chain, and the INRs that each one acts on.

    Attributes:
        draws: one draw for each transform.
        applied: one mask of shape (b,) for each transform.
    """

    draws: tuple[Any, ...]
    applied: tuple[Bool[Tensor, " b"], ...]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Chain:
    """Transforms in order; transform t acts on each INR with probabilities[t].

    Attributes:
        transforms: the transforms, first to last.
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

    @property
    def chances(self) -> tuple[float, ...]:
        """Probability of each transform."""
        return self.probabilities or (1.0,) * len(self.transforms)

    def draw(self, spec: InrSpec, keys: Int[Tensor, " b"]) -> ChainDraw:
        """Draw for every transform. Its place names its randomness, so equal ones differ."""
        # Even numbers name draws and odd ones name chances, so the two never share a key.
        return ChainDraw(
            draws=tuple(
                draw_checked(transform, spec, rng.fold(keys, 2 * place))
                for place, transform in enumerate(self.transforms)
            ),
            applied=tuple(
                torch.ones_like(keys, dtype=torch.bool)
                if chance == 1.0
                else rng.uniform(rng.fold(keys, 2 * place + 1)) < chance
                for place, chance in enumerate(self.chances)
            ),
        )

    def apply(self, params: Params, draw: ChainDraw) -> Params:
        """Apply each transform to the INRs that it acts on."""
        for transform, choice, applied, chance in zip(
            self.transforms, draw.draws, draw.applied, self.chances, strict=True
        ):
            # Every INR is changed, because torch.compile cannot know the shape of a subset.
            changed = apply_checked(transform, params, choice)
            params = changed if chance == 1.0 else select(applied, changed, params)
        return params
