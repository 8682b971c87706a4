"""Augmentations and mixing by the names that a training run gives them."""

from collections.abc import Callable
from typing import Literal

from inrgen.core.matching import MatchConfig
from inrgen.jobs.chain_text import chain_of, parse_chain
from inrgen.transforms.chain import Chain
from inrgen.transforms.mix import MixUp

MixName = Literal["none", "direct", "permuted", "aligned", "signed"]

# Shorter names for what is long in the published table.
_SHORT = {"negation": "siren-negation", "bias": "siren-bias", "noise": "gaussian-noise"}

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
    parts = [part.strip().partition(":") for part in text.split(",")]
    spelt = [_SHORT.get(name, name) + colon + rest for name, colon, rest in parts]
    try:
        return chain_of(parse_chain(",".join(spelt), published))
    except ValueError as error:
        raise ValueError(f"augment {text!r}: {error}") from error


def make_mixup(name: MixName, beta: float) -> MixUp | None:
    """How INRs are mixed; None where they are not. Shares are drawn from Beta(beta, beta)."""
    return None if name == "none" else _MIXES[name](beta)
