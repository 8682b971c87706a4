"""Random noise on weights, none of which keeps the function: Gaussian, dropout, quantile dropout.

All three are published in arXiv 2402.04081.
"""

from dataclasses import dataclass
from typing import final

from jaxtyping import Bool, Float, Int
from torch import Tensor

from inrgen.core import mixing, rng
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class GaussianNoise:
    """Add to each tensor normal noise of scale times that tensor's standard deviation.

    Attributes:
        scale: noise as a share of the tensor's standard deviation.
    """

    scale: float = 0.32

    def __post_init__(self) -> None:
        if not self.scale >= 0:
            raise ValueError(f"scale must not be negative; got {self.scale}")

    def draw(self, spec: InrSpec, keys: Int[Tensor, " b"]) -> Params:
        """Draw standard normal numbers in the shape of the weights."""
        return Params.from_flat(spec, rng.normal(keys, (spec.num_params,)))

    def apply(self, params: Params, draw: Params) -> Params:
        return mixing.add_noise(params, draw, self.scale)


@dataclass(frozen=True, kw_only=True, slots=True)
class Masks:
    """Entries that survive, one mask for each tensor in the order of a flat row."""

    keep: tuple[Bool[Tensor, "b ..."], ...]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Dropout:
    """Set each entry to zero with a probability.

    Attributes:
        probability: probability that an entry becomes zero.
        rescale: multiply survivors by 1 / (1 - probability), as the published code does.
    """

    probability: float = 0.1
    rescale: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.probability < 1:
            raise ValueError(f"probability must lie in [0, 1); got {self.probability}")

    def draw(self, spec: InrSpec, keys: Int[Tensor, " b"]) -> Masks:
        # One call of the generator covers the flat row; masks are slices of it.
        kept = rng.uniform(keys, (spec.num_params,)) >= self.probability
        return Masks(
            keep=tuple(
                kept[:, slot.offset : slot.offset + slot.size].unflatten(1, slot.shape)
                for slot in spec.layers
            )
        )

    def apply(self, params: Params, draw: Masks) -> Params:
        rescale = 1.0 / (1.0 - self.probability) if self.rescale else 1.0
        return mixing.drop(params, draw.keep, rescale)


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantiles:
    """Share of each INR's entries to set to zero."""

    quantile: Float[Tensor, " b"]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class QuantileDropout:
    """Set the smallest entries of each INR to zero.

    Attributes:
        max_quantile: the share of entries set to zero is uniform up to max_quantile.
    """

    max_quantile: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.max_quantile <= 1:
            raise ValueError(f"max_quantile must lie in (0, 1]; got {self.max_quantile}")

    def draw(self, spec: InrSpec, keys: Int[Tensor, " b"]) -> Quantiles:
        return Quantiles(quantile=rng.uniform(keys, (), 0.0, self.max_quantile))

    def apply(self, params: Params, draw: Quantiles) -> Params:
        return mixing.drop_below_quantile(params, draw.quantile)
