"""The floor: a plain MLP on flat weights, which knows nothing of their symmetries."""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.training.models.base import WeightSpaceNetwork
from inrgen.training.models.normalisation import Normalisation


@dataclass(frozen=True, kw_only=True, slots=True)
class MlpConfig:
    """A plain MLP with GELU on flat weights.

    Attributes:
        hidden: width of its hidden layers.
        layers: how many hidden layers it has.
        dropout: share of hidden units dropped in training.
    """

    hidden: int = 512
    layers: int = 2
    dropout: float = 0.5

    def __post_init__(self) -> None:
        if min(self.hidden, self.layers) < 1:
            raise ValueError(
                f"hidden and layers must be positive; got {self.hidden} and {self.layers}"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1); got {self.dropout}")


class Mlp(WeightSpaceNetwork):
    """Reads weights as one long vector: what it learns of one order of units it forgets in another.

    So it is a floor on raw weights, and a measure of how well an alignment removes symmetries.
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
