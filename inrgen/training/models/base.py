"""What every weight-space network is: features of INRs from their weights, and a linear head."""

from abc import ABC, abstractmethod
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from inrgen.core.params import Params
from inrgen.training.models.normalisation import Normalisation


class WeightSpaceNetwork(nn.Module, ABC):
    """Classifies INRs of one spec by their weights.

    A family says how its inputs are to be normalised, `normalisation`: whoever feeds it divides by
    statistics of that kind and no finer, or the symmetries that it respects are lost on the way.
    `encode` gives features for a linear read-out, a projector or `head`, which has a row a class.
    """

    normalisation: ClassVar[Normalisation]
    num_features: int
    head: nn.Linear

    @abstractmethod
    def encode(self, params: Params) -> Float[Tensor, "b f"]:
        """num_features numbers an INR, from normalised weights."""

    def forward(self, params: Params) -> Float[Tensor, "b c"]:
        """The logits of each INR."""
        return self.head(self.encode(params))


def hidden_layer(num_in: int, num_out: int, dropout: float) -> nn.Sequential:
    """What features are made by from numbers of any size: scaled, then one layer with GELU."""
    return nn.Sequential(
        nn.LayerNorm(num_in),
        nn.Dropout(dropout),
        nn.Linear(num_in, num_out),
        nn.GELU(),
        nn.Dropout(dropout),
    )
