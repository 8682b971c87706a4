"""MixUp of two INRs (arXiv 2402.04081, section 4; mixup, 1710.09412), and contrastive pairs."""

from dataclasses import dataclass, field
from typing import Any, Literal, final, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inrgen.core import rng, symmetry
from inrgen.core.config import MatchConfig
from inrgen.core.matching import check_kind, match
from inrgen.core.mixing import mix
from inrgen.core.params import Params, select
from inrgen.core.spec import InrSpec
from inrgen.core.symmetry import Symmetry
from inrgen.transforms.base import Transform
from inrgen.transforms.exact import Permute

Pairing = Literal["direct", "random", "aligned"]


@dataclass(frozen=True, kw_only=True, slots=True)
class MixDraw:
    """Partner, proportion and permutation of each INR's mixture.

    Attributes:
        partner: (b,) place of the partner among the rows in use.
        lam: (b,) share of the INR itself.
        permutation: symmetry that the partner undergoes first.
        names: (b,) names of the randomness of an alignment's restarts.
        spec: decides the symmetries that an alignment may use.
    """

    partner: Int[Tensor, " b"]
    lam: Float[Tensor, " b"]
    permutation: Symmetry
    names: Int[Tensor, " b"]
    spec: InrSpec


def _draw_lam(keys: Int[Tensor, " b"], beta: float | None) -> Float[Tensor, " b"]:
    """Uniform in [0, 1), or Beta(a, a) by Johnk's method on powers of uniform numbers.

    Johnk (Metrika 8, 1964): u^(1/a) / (u^(1/a) + v^(1/a)) is Beta(a, a) where the sum is at most 1.
    Each key gives 64 tries. At a = 1 half of the tries fail, so all fail once in e^44; the mean
    is taken then.
    """
    if beta is None or beta == 1.0:
        return rng.uniform(keys)
    # Two zeros would give 0 / 0.
    powers = rng.uniform(keys, (64, 2), dtype=torch.float64).clamp(min=2.0**-53) ** (1.0 / beta)
    total = powers.sum(dim=2)
    first = (total <= 1.0).long().argmax(dim=1, keepdim=True)
    share = (powers[:, :, 0] / total).gather(1, first)[:, 0]
    return torch.where((total <= 1.0).any(dim=1), share, 0.5).float()


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class MixUp:
    """Mix each INR with a partner: theta = lam theta_1 + (1 - lam) pi(theta_2).

    The partner is drawn among the rows in use, so it never comes from a view or split that a run
    leaves out. For a batch mixed within itself, those rows are the batch's. Labels mix with
    draw.lam.

    Attributes:
        pairing: "direct" takes the partner as it is, "random" permutes its units at random, and
            "aligned" matches it to the INR.
        beta: None draws lam uniformly from [0, 1), as published; a number a, at most 1, draws it
            from Beta(a, a).
        matching: the search of an alignment. The default is one descent with signs that starts
            from the ends, as fast as one from the identity. A partner that the descent would take
            farther away stays as it is.
    """

    pairing: Pairing = "aligned"
    beta: float | None = None
    matching: MatchConfig = field(default_factory=lambda: MatchConfig(opening="ends"))

    def __post_init__(self) -> None:
        if self.pairing not in get_args(Pairing):
            raise ValueError(f"pairing must be one of {get_args(Pairing)}; got {self.pairing!r}")
        # Above 1 the sum of powers is rarely small enough for the method that draws lam.
        if self.beta is not None and not 0.0 < self.beta <= 1.0:
            raise ValueError(f"beta must be None or in (0, 1]; got {self.beta}")

    def draw(self, spec: InrSpec, keys: Int[Tensor, " b"], num_rows: int) -> MixDraw:
        """Choose partners among num_rows rows, proportions and permutations."""
        if num_rows < 1:
            raise ValueError(f"num_rows must be positive; got {num_rows}")
        if self.pairing == "aligned":
            check_kind(spec, self.matching.kind)
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
        """Mix with partners, the rows at draw.partner.

        Gradients flow to both INRs, but not through the matching.
        """
        moved = symmetry.apply(partners, draw.permutation)
        if self.pairing == "aligned":
            found = match(draw.spec, params, moved, self.matching, names=draw.names)
            # A descent from the ends may end farther away than the partner began.
            moved = select(found.after < found.before, found.aligned, moved)
        return mix(params, moved, draw.lam)


def contrastive_pair(
    transform: Transform[Any], spec: InrSpec, params: Params, keys: Int[Tensor, " b"]
) -> tuple[Params, Params]:
    """Transform each INR by two draws, named by its key and 0 or 1, for contrastive training."""
    first, second = (
        transform.apply(params, transform.draw(spec, rng.fold(keys, side))) for side in (0, 1)
    )
    return first, second
