"""The interface of every weight-space network: features of INRs, and a linear head."""

from abc import ABC, abstractmethod
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from inrgen.core.params import Params
from inrgen.training.models.normalisation import Normalisation


class WeightSpaceNetwork(nn.Module, ABC):
    """Classifies INRs of one spec by their weights.

    Names of parameters and sub-modules are keys of stored networks, so they must not change.

    Attributes:
        normalisation: the statistics that inputs are normalised by. Finer ones would break the
            symmetries that the family respects.
        num_features: length of the features that encode returns, for a linear read-out or a
            projector.
        head: linear map from features to logits, with a row for each class.
    """

    normalisation: ClassVar[Normalisation]
    num_features: int
    head: nn.Linear

    @abstractmethod
    def encode(self, params: Params) -> Float[Tensor, "b f"]:
        """Features of each INR, num_features of them, from normalised weights."""

    def forward(self, params: Params) -> Float[Tensor, "b c"]:
        """Logits of each INR."""
        return self.head(self.encode(params))


def hidden_layer(num_in: int, num_out: int, dropout: float) -> nn.Sequential:
    """A layer with GELU behind a LayerNorm, which takes inputs of any scale."""
    return nn.Sequential(
        nn.LayerNorm(num_in),
        nn.Dropout(dropout),
        nn.Linear(num_in, num_out),
        nn.GELU(),
        nn.Dropout(dropout),
    )
