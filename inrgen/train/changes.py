"""Augmentations and mixing by the names that a training run gives them."""

from collections.abc import Callable
from typing import Any, Literal

from inrgen.core.matching import MatchConfig
from inrgen.transforms.base import Transform
from inrgen.transforms.mix import MixUp
from inrgen.transforms.named import PUBLISHED, TRANSFORMS, named

MixName = Literal["none", "direct", "permuted", "aligned", "signed"]

# Shorter names for what is long in the published table.
_SHORT = {"negation": "siren-negation", "bias": "siren-bias", "noise": "gaussian-noise"}

_MIXES: dict[str, Callable[[float], MixUp]] = {
    "direct": lambda beta: MixUp(pairing="direct", beta=beta),
    "permuted": lambda beta: MixUp(pairing="random", beta=beta),
    "aligned": lambda beta: MixUp(matching=MatchConfig(kind="permutation"), beta=beta),
    "signed": lambda beta: MixUp(matching=MatchConfig(kind="signed"), beta=beta),
}


def parse_chain(text: str, published: bool = False) -> tuple[Transform[Any], ...]:
    """Transforms from their names with commas between; none for "".

    published: in the published parametrisation. Raises ValueError for a name that is not known.
    """
    names = [name.strip() for name in text.split(",")] if text.strip() else []
    known = PUBLISHED if published else TRANSFORMS
    for name in names:
        if _SHORT.get(name, name) not in known:
            raise ValueError(
                f"augment must be names among {', '.join([*known, *_SHORT])}, with commas between; "
                f"got {name!r}"
            )
    return tuple(named(_SHORT.get(name, name), published) for name in names)


def make_mixup(name: MixName, beta: float) -> MixUp | None:
    """How INRs are mixed; None where they are not. Shares are drawn from Beta(beta, beta)."""
    return None if name == "none" else _MIXES[name](beta)
