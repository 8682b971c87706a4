"""A network invariant to the order and the signs of hidden units.

For odd activations (sine, tanh, FINER) a hidden unit may be negated together with all that enters
and leaves it, and the INR computes the same. Here every hidden unit has features that change sign
with it, as in sign-equivariant networks (ScaleGMN, arXiv 2406.10685). They are odd functions of its
bias and of sums over neighbours of weight times the neighbour's features, in which the neighbours'
signs and order cancel.

The readings of a layer are even in each unit and symmetric in all: means of even functions, and
means of products of two features of one unit. So permuting or negating units does not change the
logits. Half periods of sine do change them.
"""

import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from inrgen.core.activations import ODD
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.training.models.base import WeightSpaceNetwork, hidden_layer
from inrgen.training.models.config import SignedConfig
from inrgen.training.models.normalisation import Normalisation
from inrgen.training.models.values import centred_values, random_points


class OddUnits(nn.Module):
    """Odd map of unit features: x W gated by a function of |x|, so it changes sign with x."""

    def __init__(self, num_in: int, num_out: int) -> None:
        super().__init__()
        self.straight = nn.Linear(num_in, num_out, bias=False)
        self.gate = nn.Sequential(
            nn.Linear(num_in, num_out), nn.GELU(), nn.Linear(num_out, num_out)
        )

    def forward(self, x: Float[Tensor, "b h c"]) -> Float[Tensor, "b h d"]:
        """New features of each unit, with the unit's sign."""
        return self.straight(x) * (1.0 + self.gate(x.abs()))


class UnitScale(nn.Module):
    """RMS normalisation of each unit's features (arXiv 1910.07467), which is odd."""

    def __init__(self, num: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(num))

    def forward(self, x: Float[Tensor, "b h c"]) -> Float[Tensor, "b h c"]:
        """Scale to a mean square of one; torch's own layer warns in half precision."""
        return self.gain * x * torch.rsqrt(x.square().mean(dim=2, keepdim=True) + 1e-5)


def odd_block(num_in: int, num_out: int) -> nn.Sequential:
    """Two odd maps and a normalisation."""
    return nn.Sequential(OddUnits(num_in, num_out), OddUnits(num_out, num_out), UnitScale(num_out))


class LayerReading(nn.Module):
    """Reads the units of one hidden layer, invariantly to their order and signs."""

    pairs: Tensor

    def __init__(self, channels: int, products: int) -> None:
        super().__init__()
        self.even = nn.Sequential(
            nn.Linear(2 * channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, channels)
        )
        self.combine = nn.Linear(channels, products, bias=False)
        pairs = torch.triu_indices(products, products)
        # Not persistent: stored networks do not depend on how pairs are numbered.
        self.register_buffer("pairs", pairs[0] * products + pairs[1], persistent=False)

    def forward(self, x: Float[Tensor, "b h c"]) -> Float[Tensor, "b num"]:
        """The mean of an even function, and the signed roots of second moments."""
        even = self.even(torch.cat([x.abs(), x.square()], dim=2)).mean(dim=1)
        combined = self.combine(x)
        moments = (combined.mT @ combined).flatten(1)[:, self.pairs] / x.shape[1]
        # The root has no gradient at zero, where all moments of an INR of zeros lie.
        roots = moments.sign() * (moments.abs() + 1e-6).sqrt()
        return torch.cat([even, roots], dim=1)


class Signed(WeightSpaceNetwork):
    """Odd features pass up through the layers of an INR and down again, and are then read."""

    normalisation: ClassVar[Normalisation] = "none"

    def __init__(self, config: SignedConfig, spec: InrSpec, num_classes: int) -> None:
        super().__init__()
        if spec.activation not in ODD:
            raise ValueError(
                f"the signed network needs an odd activation, {', '.join(ODD)}, so that signs of "
                f"units cancel; got {spec.activation}"
            )
        self.spec, size, hidden = spec, config.channels, range(spec.num_hidden)
        top = spec.num_hidden - 1
        self.up = nn.ModuleList(
            odd_block((size if l else spec.widths[0]) + 1, size) for l in hidden
        )
        self.down = nn.ModuleList(
            odd_block((size if l < top else spec.d_out) + size, size) for l in hidden
        )
        self.reading = nn.ModuleList(LayerReading(size, config.products) for _ in hidden)
        self.points = random_points(spec, config.points) if config.points else None
        pairs = config.products * (config.products + 1) // 2
        num = spec.num_hidden * (size + pairs) + (1 + config.points) * spec.d_out
        self.body = hidden_layer(num, config.features, config.dropout)
        self.num_features = config.features
        self.head = nn.Linear(config.features, num_classes)

    def encode(self, params: Params) -> Float[Tensor, "b f"]:
        """A hidden layer on the readings of all layers, the last bias and the points."""
        units = self._units(params)
        read = [reading(x) for reading, x in zip(self.reading, units, strict=True)]
        read.append(params.biases[-1] / self.spec.value_width)
        if self.points is not None:
            read.append(centred_values(self.spec, params, self.points))
        return self.body(torch.cat(read, dim=1))

    def _units(self, params: Params) -> list[Float[Tensor, "b _h c"]]:
        """Odd features of the units of each hidden layer.

        Weights and biases are scaled to the pre-activation that they add when the units below are
        of size one. So networks of any frequency and width look alike, without statistics of the
        data, whose means would not change sign with the units.
        """
        omega, top = self.spec.omega, self.spec.num_hidden - 1
        weights = [
            (omega[l] if l <= top else 1.0) / math.sqrt(w.shape[2]) * w
            for l, w in enumerate(params.weights)
        ]
        units = []
        for l, step in enumerate(self.up):
            below = weights[l] @ units[-1] if l else math.sqrt(self.spec.widths[0]) * weights[0]
            units.append(step(torch.cat([below, omega[l] * params.biases[l][:, :, None]], dim=2)))
        # Scaled to the range of values, so that INRs of any range look alike.
        outgoing = math.sqrt(self.spec.widths[-2] / self.spec.value_width) * weights[-1].mT
        for l in range(top, -1, -1):
            above = outgoing if l == top else weights[l + 1].mT @ units[l + 1]
            # A sum of odd functions is odd.
            units[l] = units[l] + self.down[l](torch.cat([above, units[l]], dim=2))
        return units
