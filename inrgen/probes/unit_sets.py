"""How well raw weights teach a small network that sees neither order nor sign of hidden units."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.probes.mlp import LabelledRows, ProbeConfig, trained_hits
from inrgen.training.models.signed import OddUnits


class SetModel(nn.Module):
    """Classifies INRs of one spec from weights alone, invariant to orders and signs of units.

    Each hidden unit has features with the unit's own sign: odd functions of its bias and of its
    incoming weights times the features of the units below, so that the signs and the order of
    those cancel in the sum. What a unit then gives to its layer's mean is even: the absolute
    values of its features and, in the last hidden layer, their products with the outgoing weights.
    So the logits change neither when units are permuted nor when they are negated, which keep the
    function of sine and tanh networks; to half periods of sine they are not invariant. Each layer
    is scaled by the root mean square of its weights in the training rows, which no symmetry moves.

    The construction is that of sign-equivariant networks in ScaleGMN (arXiv 2406.10685), made
    small, with a mean over units as in deep sets (arXiv 1703.06114).
    """

    def __init__(
        self, spec: InrSpec, train: Float[Tensor, "b p"], num_classes: int, config: ProbeConfig
    ) -> None:
        super().__init__()
        self.spec, size = spec, config.hidden
        self.unit_of = _typical(Params.from_flat(spec, train))
        below = [spec.d_in] + [size] * (spec.num_hidden - 1)
        self.units = nn.ModuleList(
            nn.Sequential(OddUnits(num + 1, size), OddUnits(size, size)) for num in below
        )
        given = [size] * (spec.num_hidden - 1) + [size * (1 + spec.d_out)]
        self.even = nn.ModuleList(
            nn.Sequential(nn.Linear(num, size), nn.GELU(), nn.Linear(size, size)) for num in given
        )
        self.head = nn.Sequential(
            nn.Linear(size * spec.num_hidden + spec.d_out, size),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(size, num_classes),
        )

    def forward(self, flat: Float[Tensor, "b p"]) -> Float[Tensor, "b classes"]:
        """Logits of INRs in flat rows."""
        return self.head(self.features(flat))

    def features(self, flat: Float[Tensor, "b p"]) -> Float[Tensor, "b f"]:
        """What the logits are made of: each layer's mean over units, and the output biases."""
        params = Params.from_flat(self.spec, flat)
        weights = [w / size for w, size in zip(params.weights, self.unit_of[0], strict=True)]
        biases = [b / size for b, size in zip(params.biases, self.unit_of[1], strict=True)]
        outgoing = weights[-1].mT[:, :, :, None]
        x = torch.eye(self.spec.d_in, dtype=flat.dtype).expand(len(flat), -1, -1)
        pooled = []
        for layer, (units, even) in enumerate(zip(self.units, self.even, strict=True)):
            # Sums over so many units grow like the root of their number.
            incoming = weights[layer] @ x / math.sqrt(x.shape[1])
            x = units(torch.cat([incoming, biases[layer][:, :, None]], dim=2))
            given = [x.abs()]
            if layer == self.spec.num_hidden - 1:
                given.append((outgoing * x[:, :, None, :]).flatten(2))
            pooled.append(even(torch.cat(given, dim=2)).mean(dim=1))
        return torch.cat([*pooled, biases[-1]], dim=1)


def _typical(params: Params) -> tuple[list[float], list[float]]:
    """The root mean square of each layer's weights and of its biases, over all INRs."""

    def sizes(tensors: tuple[Tensor, ...]) -> list[float]:
        return [max(float(t.double().square().mean().sqrt()), 1e-8) for t in tensors]

    return sizes(params.weights), sizes(params.biases)


def set_hits(
    spec: InrSpec, train: LabelledRows, val: LabelledRows, test: LabelledRows, config: ProbeConfig
) -> Bool[Tensor, " b"]:
    """Which test rows a SetModel classifies rightly, at the epoch that was best on val."""
    num_classes = int(train.labels.max()) + 1

    def make() -> nn.Module:
        return SetModel(spec, train.flat, num_classes, config)

    return trained_hits(make, train, val, test, config)
