"""A plain MLP on flat weights, blind to their symmetries: the baseline of the other families."""

from itertools import pairwise
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.training.models.base import WeightSpaceNetwork
from inrgen.training.models.config import MlpConfig
from inrgen.training.models.normalisation import Normalisation


class Mlp(WeightSpaceNetwork):
    """Reads weights as one long vector, and must learn every order of units anew.

    So it is a floor on raw weights, and it measures how well an alignment removes symmetries.
    """

    normalisation: ClassVar[Normalisation] = "element"

    def __init__(self, config: MlpConfig, spec: InrSpec, num_classes: int) -> None:
        super().__init__()
        widths = [spec.num_params] + [config.hidden] * config.layers
        parts: list[nn.Module] = []
        for num_in, num_out in pairwise(widths):
            parts += [nn.Linear(num_in, num_out), nn.GELU(), nn.Dropout(config.dropout)]
        self.body = nn.Sequential(*parts)
        self.num_features = config.hidden
        self.head = nn.Linear(config.hidden, num_classes)

    def encode(self, params: Params) -> Float[Tensor, "b f"]:
        """The last hidden layer."""
        return self.body(params.flat())
