"""Unit-set network: reads raw weights, invariant to the order and signs of hidden units."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.probes.classifiers import LabelledRows, trained_scores
from inrgen.probes.config import ProbeTraining
from inrgen.training.models.signed import OddUnits

# Random networks whose features are concatenated, and the width of each.
_NUM_NETWORKS = 3
_FEATURES = ProbeTraining(hidden=96)


class SetModel(nn.Module):
    """Classifier of INRs of one spec, invariant to permutations and sign flips of hidden units.

    Each hidden unit has features with the unit's own sign: odd functions of its bias and of its
    incoming weights times the features of the units below. The signs and the order of those units
    cancel in the sum. The unit's contribution to its layer's mean is even: the absolute values of
    its features and, in the last hidden layer, their products with the outgoing weights.

    So permuting or negating units leaves the logits unchanged, as it leaves the functions of sine
    and tanh networks. Half-period shifts of sine do change the logits. Each layer is scaled by the
    root mean square of its weights in the training rows, which no symmetry changes.

    The construction follows the sign-equivariant networks of ScaleGMN (arXiv 2406.10685), made
    small, with a mean over units as in deep sets (arXiv 1703.06114).
    """

    def __init__(
        self, spec: InrSpec, train: Float[Tensor, "b p"], num_classes: int, config: ProbeTraining
    ) -> None:
        super().__init__()
        self.spec, size = spec, config.hidden
        self.scales = _layer_scales(Params.from_flat(spec, train))
        below = [spec.widths[0]] + [size] * (spec.num_hidden - 1)
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
        """Logits of INRs given as flat rows."""
        return self.head(self.features(flat))

    def features(self, flat: Float[Tensor, "b p"]) -> Float[Tensor, "b f"]:
        """Invariant features: each layer's mean over units, then the output biases."""
        params = Params.from_flat(self.spec, flat)
        weights = [w / size for w, size in zip(params.weights, self.scales[0], strict=True)]
        biases = [b / size for b, size in zip(params.biases, self.scales[1], strict=True)]
        outgoing = weights[-1].mT[:, :, :, None]
        # Inputs are told apart: each starts with a feature that the others lack.
        x = torch.eye(self.spec.widths[0], dtype=flat.dtype).expand(len(flat), -1, -1)
        pooled = []
        for layer, (units, even) in enumerate(zip(self.units, self.even, strict=True)):
            # A sum over n units grows as sqrt(n).
            incoming = weights[layer] @ x / math.sqrt(x.shape[1])
            x = units(torch.cat([incoming, biases[layer][:, :, None]], dim=2))
            given = [x.abs()]
            if layer == self.spec.num_hidden - 1:
                # Outgoing weights carry their unit's sign, so products with odd features are even.
                given.append((outgoing * x[:, :, None, :]).flatten(2))
            pooled.append(even(torch.cat(given, dim=2)).mean(dim=1))
        return torch.cat([*pooled, biases[-1]], dim=1)


def _layer_scales(params: Params) -> tuple[list[float], list[float]]:
    """Root mean square of each layer's weights and of its biases, over all INRs."""

    def sizes(tensors: tuple[Tensor, ...]) -> list[float]:
        # Biases that all start and stay at zero have no scale.
        return [max(float(t.double().square().mean().sqrt()), 1e-8) for t in tensors]

    return sizes(params.weights), sizes(params.biases)


def set_scores(
    spec: InrSpec, train: LabelledRows, val: LabelledRows, test: LabelledRows, config: ProbeTraining
) -> Float[Tensor, "b c"]:
    """Log-probabilities that a SetModel gives the classes of test rows, at its best val epoch."""
    num_classes = int(train.labels.max()) + 1

    def make() -> nn.Module:
        return SetModel(spec, train.flat, num_classes, config)

    return trained_scores(make, train, val, test, config)


def unit_features(
    spec: InrSpec, train: Float[Tensor, "t p"], flat: Float[Tensor, "b p"], seed: int
) -> Float[Tensor, "b f"]:
    """Features of random, untrained SetModels, side by side.

    torch's global generator is left unchanged.

    Args:
        train: rows that set the scale of each layer.
        flat: rows to describe.
    """
    features = []
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        for number in range(_NUM_NETWORKS):
            torch.manual_seed(_NUM_NETWORKS * seed + number)
            model = SetModel(spec, train, 1, _FEATURES).eval()
            features.append(torch.cat([model.features(part) for part in flat.split(512)]))
    return torch.cat(features, dim=1)
