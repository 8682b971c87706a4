"""A network that asks an INR for its values and reads no weight.

What it reaches is what the function alone gives, whatever form its weights have: beside it stands
what a network on weights makes of them.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from inrgen.core.params import Params
from inrgen.core.siren import evaluate
from inrgen.core.spec import InrSpec
from inrgen.training.models.base import WeightSpaceNetwork, hidden_layer
from inrgen.training.models.normalisation import Normalisation


@dataclass(frozen=True, kw_only=True, slots=True)
class ValuesConfig:
    """A hidden layer on an INR's values at points that are learned (compare arXiv 2410.10811).

    Attributes:
        points: how many points an INR is asked at.
        features: width of the hidden layer that the logits are read from.
        dropout: share of values and of the hidden layer that is dropped in training.
    """

    points: int = 256
    features: int = 128
    dropout: float = 0.2

    def __post_init__(self) -> None:
        for name in ("points", "features"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive; got {getattr(self, name)}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1); got {self.dropout}")


def random_points(spec: InrSpec, num: int) -> nn.Parameter:
    """Points to learn, (num, d_in), even over the spec's coordinates at first."""
    low, high = spec.coord_range
    return nn.Parameter(low + (high - low) * torch.rand(num, spec.d_in))


def centred_values(
    spec: InrSpec, params: Params, points: Float[Tensor, "p d_in"]
) -> Float[Tensor, "b v"]:
    """What INRs compute at the points, -1 to 1 over the spec's range, point after point."""
    low, high = spec.value_range
    # Phases of tens of radians mean nothing in half precision.
    with torch.autocast(params.device.type, enabled=False):
        values = evaluate(spec, params.to(dtype=points.dtype), points)
    return (2.0 * values.flatten(1) - (low + high)) / (high - low)


class Values(WeightSpaceNetwork):
    """No symmetry of weights, not even half periods of sine, changes what it sees."""

    normalisation: ClassVar[Normalisation] = "none"

    def __init__(self, config: ValuesConfig, spec: InrSpec, num_classes: int) -> None:
        super().__init__()
        self.spec = spec
        self.points = random_points(spec, config.points)
        num = config.points * spec.d_out
        self.body = hidden_layer(num, config.features, config.dropout)
        self.num_features = config.features
        self.head = nn.Linear(config.features, num_classes)

    def encode(self, params: Params) -> Float[Tensor, "b f"]:
        """A hidden layer on the values."""
        return self.body(centred_values(self.spec, params, self.points))
