"""Augmentations and mixing by the names that a training run gives them."""

from collections.abc import Callable
from typing import Literal

from inrgen.core.config import MatchConfig
from inrgen.transforms import named
from inrgen.transforms.chain import Chain
from inrgen.transforms.mix import MixUp

MixName = Literal["none", "direct", "permuted", "aligned", "signed"]

_MIXES: dict[str, Callable[[float], MixUp]] = {
    "direct": lambda beta: MixUp(pairing="direct", beta=beta),
    "permuted": lambda beta: MixUp(pairing="random", beta=beta),
    "aligned": lambda beta: MixUp(matching=MatchConfig(kind="permutation"), beta=beta),
    "signed": lambda beta: MixUp(beta=beta),
}


def make_chain(text: str, published: bool = False) -> Chain:
    """Transforms from their text, such as negation,translate or rotation:bound_deg=30; "" is none.

    published: in the published parametrisation. Raises ValueError for what is not understood.
    """
    if not text.strip():
        return Chain(transforms=())
    try:
        return named.parse_chain(text, published)
    except ValueError as error:
        raise ValueError(f"augment {text!r}: {error}") from error


def make_mixup(name: MixName, beta: float) -> MixUp | None:
    """How INRs are mixed; None where they are not. Shares are drawn from Beta(beta, beta)."""
    return None if name == "none" else _MIXES[name](beta)
