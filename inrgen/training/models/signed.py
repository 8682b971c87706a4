"""A network that sees neither the order nor the signs of hidden units.

For odd activations (sine, tanh) a hidden unit may be negated with all that enters and leaves it,
and the INR computes the same. Here every hidden unit has features that turn round with it, as in
sign-equivariant networks (ScaleGMN, arXiv 2406.10685): they are odd functions of its bias and of
sums over neighbours of weight times the neighbour's features, in which the neighbours' signs and
order cancel. What is read from a layer is even in each unit and symmetric in all: means of even
functions, and means of products of two features of one unit. So logits do not change when units
are permuted or negated. To half periods of sine they are not invariant.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.training.models.base import WeightSpaceNetwork, hidden_layer
from inrgen.training.models.normalisation import Normalisation
from inrgen.training.models.values import centred_values, random_points


@dataclass(frozen=True, kw_only=True, slots=True)
class SignedConfig:
    """A network that sees neither order nor signs of hidden units.

    With points it also asks each INR for its values there, which no symmetry changes: it then
    reads what an INR computes and not its weights alone. The points are learned (ProbeGen, arXiv
    2410.10811, asks in a like way).

    Attributes:
        channels: features of each hidden unit.
        products: combinations of features whose products, two by two, are read from each layer.
        features: width of the hidden layer that the logits are read from.
        dropout: share of what is read that is dropped in training.
        points: how many points an INR is asked at; 0 reads weights alone.
    """

    channels: int = 64
    products: int = 16
    features: int = 128
    dropout: float = 0.2
    points: int = 0

    def __post_init__(self) -> None:
        for name in ("channels", "products", "features"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive; got {getattr(self, name)}")
        if self.points < 0:
            raise ValueError(f"points must not be negative; got {self.points}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1); got {self.dropout}")


class OddUnits(nn.Module):
    """Features of units that turn round with them: x W gated by a function of |x|, so odd in x."""

    def __init__(self, num_in: int, num_out: int) -> None:
        super().__init__()
        self.straight = nn.Linear(num_in, num_out, bias=False)
        self.gate = nn.Sequential(
            nn.Linear(num_in, num_out), nn.GELU(), nn.Linear(num_out, num_out)
        )

    def forward(self, x: Float[Tensor, "b h c"]) -> Float[Tensor, "b h d"]:
        """Features of each unit from those that came before, all with the unit's sign."""
        return self.straight(x) * (1.0 + self.gate(x.abs()))


class UnitScale(nn.Module):
    """Features of each unit scaled to a mean square of one (arXiv 1910.07467), which is odd."""

    def __init__(self, num: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(num))

    def forward(self, x: Float[Tensor, "b h c"]) -> Float[Tensor, "b h c"]:
        """The same directions; in half precision torch's own falls back and warns."""
        return self.gain * x * torch.rsqrt(x.square().mean(dim=2, keepdim=True) + 1e-5)


def odd_block(num_in: int, num_out: int) -> nn.Sequential:
    """Two odd maps and their scaling."""
    return nn.Sequential(OddUnits(num_in, num_out), OddUnits(num_out, num_out), UnitScale(num_out))


class LayerReading(nn.Module):
    """What is read from the units of one hidden layer, whatever their order and signs."""

    pairs: Tensor

    def __init__(self, channels: int, products: int) -> None:
        super().__init__()
        self.even = nn.Sequential(
            nn.Linear(2 * channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, channels)
        )
        self.combine = nn.Linear(channels, products, bias=False)
        pairs = torch.triu_indices(products, products)
        self.register_buffer("pairs", pairs[0] * products + pairs[1], persistent=False)

    def forward(self, x: Float[Tensor, "b h c"]) -> Float[Tensor, "b num"]:
        """The mean of an even function, and the roots of second moments with their signs."""
        even = self.even(torch.cat([x.abs(), x.square()], dim=2)).mean(dim=1)
        combined = self.combine(x)
        moments = (combined.mT @ combined).flatten(1)[:, self.pairs] / x.shape[1]
        # A root has no slope at zero, where all moments of an INR of zeros lie.
        roots = moments.sign() * (moments.abs() + 1e-6).sqrt()
        return torch.cat([even, roots], dim=1)


class Signed(WeightSpaceNetwork):
    """Odd features sweep up through the layers of an INR and down again; then they are read."""

    normalisation: ClassVar[Normalisation] = "none"

    def __init__(self, config: SignedConfig, spec: InrSpec, num_classes: int) -> None:
        super().__init__()
        if spec.activation not in ("sine", "tanh"):
            raise ValueError(
                "the signed network needs an odd activation, sine or tanh, for which signs of "
                f"units do not matter; got {spec.activation}"
            )
        self.spec, size, hidden = spec, config.channels, range(spec.num_hidden)
        top = spec.num_hidden - 1
        self.up = nn.ModuleList(odd_block((size if l else spec.d_in) + 1, size) for l in hidden)
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
        """A hidden layer on all that is read from the layers, the last bias and the points."""
        units = self._units(params)
        read = [reading(x) for reading, x in zip(self.reading, units, strict=True)]
        read.append(params.biases[-1] / self.spec.value_width)
        if self.points is not None:
            read.append(centred_values(self.spec, params, self.points))
        return self.body(torch.cat(read, dim=1))

    def _units(self, params: Params) -> list[Float[Tensor, "b _h c"]]:
        """Odd features of the units of each hidden layer.

        Weights and biases enter as what they add to a pre-activation when units below are of the
        size of one: so networks of any frequency and width look alike, and no statistics of the
        data are needed, whose means would not turn with the signs.
        """
        omega, top = self.spec.omega, self.spec.num_hidden - 1
        weights = [
            (omega[l] if l <= top else 1.0) / math.sqrt(w.shape[2]) * w
            for l, w in enumerate(params.weights)
        ]
        units = []
        for l, step in enumerate(self.up):
            below = weights[l] @ units[-1] if l else math.sqrt(self.spec.d_in) * weights[0]
            units.append(step(torch.cat([below, omega[l] * params.biases[l][:, :, None]], dim=2)))
        outgoing = math.sqrt(self.spec.widths[-2] / self.spec.value_width) * weights[-1].mT
        for l in range(top, -1, -1):
            above = outgoing if l == top else weights[l + 1].mT @ units[l + 1]
            units[l] = units[l] + self.down[l](torch.cat([above, units[l]], dim=2))
        return units
