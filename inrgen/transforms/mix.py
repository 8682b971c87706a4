"""MixUp: two INRs and their labels into one (arXiv 2402.04081, section 4; mixup, 1710.09412)."""

from dataclasses import dataclass, field
from typing import Any, Literal, final, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inrgen.core import rng, symmetry
from inrgen.core.matching import MatchConfig, match
from inrgen.core.mixing import mix, select
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.core.symmetry import Symmetry
from inrgen.transforms.base import Transform
from inrgen.transforms.exact import Permute

Partner = Literal["direct", "random", "aligned"]


@dataclass(frozen=True, kw_only=True, slots=True)
class MixDraw:
    """Whom each INR is mixed with, in which proportion, and under which permutation.

    partner counts within the rows in use; lam is the share of the INR itself; names are those of
    an alignment's restarts; the spec says which symmetries it may use.
    """

    partner: Int[Tensor, " b"]
    lam: Float[Tensor, " b"]
    permutation: Symmetry
    names: Int[Tensor, " b"]
    spec: InrSpec


def _draw_lam(keys: Int[Tensor, " b"], beta: float | None) -> Float[Tensor, " b"]:
    """Uniform in [0, 1), or Beta(a, a) by Johnk's method on powers of uniform numbers.

    Johnk (Metrika 8, 1964): u^(1/a) / (u^(1/a) + v^(1/a)) is Beta(a, a) where the sum is at most 1.
    64 tries from the key; one in e^40 fails at a = 1, where half do, and takes the mean.
    """
    if beta is None or beta == 1.0:
        return rng.uniform(keys)
    powers = rng.uniform(keys, (64, 2), dtype=torch.float64).clamp(min=2.0**-53) ** (1.0 / beta)
    total = powers.sum(dim=2)
    first = (total <= 1.0).long().argmax(dim=1, keepdim=True)
    share = (powers[:, :, 0] / total).gather(1, first)[:, 0]
    return torch.where((total <= 1.0).any(dim=1), share, 0.5).float()


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class MixUp:
    """lam of an INR and 1 - lam of a partner: theta = lam theta_1 + (1 - lam) pi(theta_2).

    The partner is drawn among the rows in use, so never from a view or split that a run leaves
    out. For a batch mixed within itself those rows are the batch's. Labels mix with draw.lam.

    pairing: "direct" takes the partner as it is, "random" under a random permutation, "aligned"
        carried nearest to the INR by matching.
    beta: None draws lam evenly from [0, 1), as published; a number a from Beta(a, a), a at most 1.
    matching: what an alignment searches. By default one descent with signs from the ends, which
        takes no longer than one from the identity. A partner that it would take farther stays as
        it is. Restarts are named by keys, as all draws are.
    """

    pairing: Partner = "aligned"
    beta: float | None = None
    matching: MatchConfig = field(default_factory=lambda: MatchConfig(opening="ends"))

    def __post_init__(self) -> None:
        if self.pairing not in get_args(Partner):
            raise ValueError(f"pairing must be one of {get_args(Partner)}; got {self.pairing!r}")
        # Above 1 the sum of powers is rarely small enough for the method that draws lam.
        if self.beta is not None and not 0.0 < self.beta <= 1.0:
            raise ValueError(f"beta must be None or in (0, 1]; got {self.beta}")

    def draw(self, spec: InrSpec, keys: Int[Tensor, " b"], num_rows: int) -> MixDraw:
        """Choose partners among num_rows rows, proportions and permutations."""
        if num_rows < 1:
            raise ValueError(f"num_rows must be positive; got {num_rows}")
        if self.pairing == "random":
            permutation = Permute().draw(spec, rng.fold(keys, 2))
        else:
            permutation = symmetry.identity(spec, len(keys), keys.device)
        return MixDraw(
            partner=rng.integers(rng.fold(keys, 0), (), 0, num_rows),
            lam=_draw_lam(rng.fold(keys, 1), self.beta),
            permutation=permutation,
            names=rng.fold(keys, 3),
            spec=spec,
        )

    def apply(self, params: Params, partners: Params, draw: MixDraw) -> Params:
        """Mix with partners, the rows at draw.partner. Gradients flow to both, not to matching."""
        moved = symmetry.apply(partners, draw.permutation)
        if self.pairing == "aligned":
            found = match(draw.spec, params, moved, self.matching, names=draw.names)
            moved = select(found.after < found.before, found.aligned, moved)
        return mix(params, moved, draw.lam)


@dataclass(frozen=True, kw_only=True, slots=True)
class SelfMixDraw:
    """How the copy is changed, and the share of the INR itself."""

    change: Any
    lam: Float[Tensor, " b"]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class SelfMixUp:
    """An INR mixed with a changed copy of itself; it keeps its own label.

    change: what the copy undergoes.
    beta: as in MixUp.
    """

    change: Transform[Any]
    beta: float | None = None

    def __post_init__(self) -> None:
        if self.beta is not None and not 0.0 < self.beta <= 1.0:
            raise ValueError(f"beta must be None or in (0, 1]; got {self.beta}")

    def draw(self, spec: InrSpec, keys: Int[Tensor, " b"]) -> SelfMixDraw:
        return SelfMixDraw(
            change=self.change.draw(spec, rng.fold(keys, 0)),
            lam=_draw_lam(rng.fold(keys, 1), self.beta),
        )

    def apply(self, params: Params, draw: SelfMixDraw) -> Params:
        return mix(params, self.change.apply(params, draw.change), draw.lam)
