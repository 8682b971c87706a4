"""Two differently changed versions of each INR, for contrastive training."""

from typing import Any

from jaxtyping import Int
from torch import Tensor

from inrgen.core import rng
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.transforms.base import Transform
from inrgen.transforms.mix import MixUp


def contrastive_pair(
    transform: Transform[Any], spec: InrSpec, params: Params, keys: Int[Tensor, " b"]
) -> tuple[Params, Params]:
    """Each INR under two draws of one transform, named by its key and 0 or 1."""
    first, second = (
        transform.apply(params, transform.draw(spec, rng.fold(keys, side))) for side in (0, 1)
    )
    return first, second


def mix_pairs(
    mixup: MixUp,
    spec: InrSpec,
    pair: tuple[Params, Params],
    keys: Int[Tensor, " b"],
) -> tuple[Params, Params]:
    """Mix both sides of a batch of pairs within it: same partners, same lam.

    So a mixed pair still shows one content twice, lam of one item and 1 - lam of the other.
    """
    draw = mixup.draw(spec, keys, len(keys))
    first, second = (mixup.apply(side, side[draw.partner], draw) for side in pair)
    return first, second
