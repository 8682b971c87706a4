"""A network that evaluates an INR at learned points and reads no weight.

It measures the accuracy that the function alone allows, in whatever form its weights are. The
networks that read weights are compared with it.
"""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from inrgen.core.params import Params
from inrgen.core.siren import evaluate
from inrgen.core.spec import InrSpec
from inrgen.training.models.base import WeightSpaceNetwork, hidden_layer
from inrgen.training.models.config import ValuesConfig
from inrgen.training.models.normalisation import Normalisation


def random_points(spec: InrSpec, num: int) -> nn.Parameter:
    """Points to learn, (num, d_in), initially uniform over the spec's coordinates."""
    low, high = spec.coord_range
    return nn.Parameter(low + (high - low) * torch.rand(num, spec.d_in))


def centred_values(
    spec: InrSpec, params: Params, points: Float[Tensor, "p d_in"]
) -> Float[Tensor, "b v"]:
    """Values of INRs at the points, scaled to -1..1 over the spec's range, point after point."""
    low, high = spec.value_range
    # Half precision cannot resolve phases of tens of radians.
    with torch.autocast(params.device.type, enabled=False):
        values = evaluate(spec, params.to(dtype=points.dtype), points)
    return (2.0 * values.flatten(1) - (low + high)) / (high - low)


class Values(WeightSpaceNetwork):
    """Invariant to every symmetry of weights, half periods of sine included."""

    normalisation: ClassVar[Normalisation] = "none"

    def __init__(self, config: ValuesConfig, spec: InrSpec, num_classes: int) -> None:
        super().__init__()
        self.spec = spec
        # Points may leave the coordinate range while they learn; a SIREN is defined everywhere.
        self.points = random_points(spec, config.points)
        num = config.points * spec.d_out
        self.body = hidden_layer(num, config.features, config.dropout)
        self.num_features = config.features
        self.head = nn.Linear(config.features, num_classes)

    def encode(self, params: Params) -> Float[Tensor, "b f"]:
        """A hidden layer on the values."""
        return self.body(centred_values(self.spec, params, self.points))
