"""The augmentations of the published table (arXiv 2402.04081), by their names there."""

from collections.abc import Callable
from typing import Any

from inrgen.core.matching import MatchConfig
from inrgen.transforms.base import Transform
from inrgen.transforms.exact import Permute, RandomSymmetry, ReluScale, SirenBias, SirenNegation
from inrgen.transforms.geometric import Affine, Reflect, Rotate, Scale, Translate
from inrgen.transforms.mix import MixUp
from inrgen.transforms.noisy import Dropout, GaussianNoise, QuantileDropout

# In the published parametrisation, with the published defaults.
PUBLISHED: dict[str, Callable[[], Transform[Any]]] = {
    "translate": lambda: Translate(published=True),
    "rotation": lambda: Rotate(published=True),
    "scale": lambda: Scale(published=True),
    "gaussian-noise": GaussianNoise,
    "siren-bias": lambda: SirenBias(published=True),
    "siren-negation": SirenNegation,
    "dropout": Dropout,
    "quantile-dropout": QuantileDropout,
}

# As this project would have them: motions about the centre, even ranges; and what is not published.
TRANSFORMS: dict[str, Callable[[], Transform[Any]]] = {
    "translate": Translate,
    "rotation": Rotate,
    "scale": Scale,
    "reflection": Reflect,
    "affine": Affine,
    "gaussian-noise": GaussianNoise,
    "siren-bias": SirenBias,
    "siren-negation": SirenNegation,
    "relu-scale": ReluScale,
    "permutation": Permute,
    "symmetry": RandomSymmetry,
    "dropout": Dropout,
    "quantile-dropout": QuantileDropout,
}

# "alignment-mixup" is published with permutations alone; signed matching is this project's.
MIXES: dict[str, Callable[[], MixUp]] = {
    "mixup": lambda: MixUp(pairing="direct"),
    "mixup-random-perm": lambda: MixUp(pairing="random"),
    "alignment-mixup": lambda: MixUp(matching=MatchConfig(kind="permutation")),
    "signed-alignment-mixup": MixUp,
}


def named(name: str, published: bool = False) -> Transform[Any]:
    """A transform by name, with its defaults; published takes the published parametrisation."""
    known = PUBLISHED if published else TRANSFORMS
    if name not in known:
        raise ValueError(f"name must be one of {', '.join(known)}; got {name!r}")
    return known[name]()


def named_mix(name: str) -> MixUp:
    """A MixUp by name."""
    if name not in MIXES:
        raise ValueError(f"name must be one of {', '.join(MIXES)}; got {name!r}")
    return MIXES[name]()
