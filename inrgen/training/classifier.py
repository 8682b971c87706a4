"""Classifiers: a network with the statistics of its inputs, from stored weights to logits."""

from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from inrgen.core.moments import Moments
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.loaders.stream import StreamLoader
from inrgen.training.models.base import WeightSpaceNetwork
from inrgen.training.models.normalisation import coarsen


class Classifier(nn.Module):
    """Normalises INRs as the network's symmetries allow, then classifies them.

    Args:
        moments: mean and standard deviation of every parameter over the training rows.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self, network: WeightSpaceNetwork, spec: InrSpec, moments: tuple[Params, Params]
    ) -> None:
        super().__init__()
        self.network, self.spec = network, spec
        mean, deviation = coarsen(network.normalisation, *moments)
        # Buffers move with the module and are saved with its weights.
        self.register_buffer("mean", mean.flat())
        self.register_buffer("deviation", deviation.flat())

    @classmethod
    def blank(cls, network: WeightSpaceNetwork, spec: InrSpec) -> Self:
        """A classifier that normalises nothing, for a state to be loaded into."""
        zeros = torch.zeros(1, spec.num_params)
        return cls(network, spec, (Params.from_flat(spec, zeros), Params.from_flat(spec, zeros)))

    def encode(self, params: Params) -> Float[Tensor, "b f"]:
        """The network's features of INRs as they are stored."""
        flat = (params.flat() - self.mean) / self.deviation
        return self.network.encode(Params.from_flat(self.spec, flat))

    def forward(self, params: Params) -> Float[Tensor, "b c"]:
        """Logits of INRs as they are stored."""
        return self.network.head(self.encode(params))


class Projected(nn.Module):
    """Features through a projector of two layers, for contrastive training.

    The projector is thrown away afterwards (SimCLR, arXiv 2002.05709, section 4.2).
    """

    def __init__(self, classifier: Classifier, num_out: int) -> None:
        super().__init__()
        num_features = classifier.network.num_features
        self.classifier = classifier
        self.projector = nn.Sequential(
            nn.Linear(num_features, num_features), nn.GELU(), nn.Linear(num_features, num_out)
        )

    def forward(self, params: Params) -> Float[Tensor, "b d"]:
        return self.projector(self.classifier.encode(params))


def measure_moments(loader: StreamLoader) -> tuple[Params, Params]:
    """Mean and standard deviation of every parameter over a pass, each as one INR.

    The variance is divided by the number of rows.
    """
    parts = (Moments.from_rows(batch.params.flat()) for batch in loader)
    # Merging moments in float64 avoids the cancellation of sums of squares.
    total = sum(parts, next(parts))
    mean, deviation = (
        Params.from_flat(loader.spec, numbers.float().cpu()[None])
        for numbers in (total.mean, total.std(ddof=0))
    )
    return mean, deviation
