"""DWSNet: layers that treat all orders of hidden units alike (arXiv 2301.12780).

Every tensor of an INR has an axis for each hidden layer that it touches: an inner weight two, the
first and last weight and the biases of hidden layers one, the last bias none. Axes of coordinates
and values have an order, so they count as channels. An equivariant layer sends every tensor to
every tensor (section 5 and table 1 of the paper): over a hidden layer that both touch, by a set
function of its units; a weight to itself also entry by entry; all else through the maximum over
units. Here all set functions over one hidden layer are one attention, and what goes
through the maximum to one tensor is one product.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.training.models.base import WeightSpaceNetwork
from inrgen.training.models.exchange import exchange, greatest, is_compiled_for
from inrgen.training.models.normalisation import Normalisation
from inrgen.training.models.set_attention import Route, SetAttention, stacked_linear


@dataclass(frozen=True, kw_only=True, slots=True)
class DwsConfig:
    """A DWSNet with max pooling and attention over the units of each hidden layer.

    The defaults are those of the augmentation study, 77 thousand parameters for 2-32-32-1; 32
    channels, 4 layers and batch norm are those of DWSNets' own runs, 553 thousand.

    Attributes:
        channels: features of each weight and bias; a multiple of heads.
        layers: equivariant layers after the first.
        heads: attention heads of every set function, but one in the last layer.
        batch_norm: normalise features between layers.
        dropout: share of features dropped in training.
    """

    channels: int = 16
    layers: int = 2
    heads: int = 8
    batch_norm: bool = False
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for name in ("channels", "layers", "heads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive; got {getattr(self, name)}")
        if self.channels % self.heads:
            raise ValueError(
                f"channels must be a multiple of heads={self.heads}; got {self.channels}"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1); got {self.dropout}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """One weight or bias of an INR, as a layer sees it.

    axes: the hidden layers that its units belong to, outer first; fixed: how many channels it
    holds for each feature, the number of coordinates or values where it touches them.
    """

    axes: tuple[int, ...]
    fixed: int


def places(spec: InrSpec) -> tuple[Place, ...]:
    """Weight and bias of each layer in turn, as in a flat row."""
    found = []
    for layer in range(spec.num_hidden + 1):
        first, last = layer == 0, layer == spec.num_hidden
        below = () if first else (layer - 1,)
        above = () if last else (layer,)
        fixed = spec.d_in if first else spec.d_out if last else 1
        found.append(Place(axes=above + below, fixed=fixed))
        found.append(Place(axes=above, fixed=spec.d_out if last else 1))
    return tuple(found)


def lift(params: Params) -> list[Tensor]:
    """Weights and biases with units first and channels last, one feature each.

    An inner weight is (b, out, in, 1), the first one (b, out, d_in), the last (b, in, d_out), a
    hidden bias (b, h, 1), the last one (b, d_out).
    """
    last = len(params.weights) - 1
    features = []
    for layer, (weight, bias) in enumerate(zip(params.weights, params.biases, strict=True)):
        inner = 0 < layer < last
        features.append(weight[..., None] if inner else weight.mT if layer == last else weight)
        features.append(bias if layer == last else bias[..., None])
    return features


# Of inner weights, by their number, the maxima over units below and over units above.
Tops = Mapping[int, tuple[Tensor, Tensor]]


def _summed(x: Tensor, parts: tuple[Tensor, ...]) -> Tensor:
    """A tensor's new features: the sum itself, or of an inner weight x entry + rows + columns."""
    if len(parts) == 1:
        return parts[0]
    entry, rows, columns = parts
    return x @ entry + rows[:, :, None, :] + columns[:, None, :, :]


class DwsLayer(nn.Module):
    """One equivariant layer: every tensor to every tensor, summed and divided by their number."""

    def __init__(self, spec: InrSpec, num_in: int, num_out: int, heads: int) -> None:
        super().__init__()
        self.places = places(spec)
        self.sets = nn.ModuleList(
            SetAttention(self._routes(axis, num_in), num_out, heads)
            for axis in range(spec.num_hidden)
        )
        # All that a tensor shares no hidden layer with; the last bias is always among it.
        self.far = [
            [s for s, given in enumerate(self.places) if not set(given.axes) & set(taken.axes)]
            for taken in self.places
        ]
        self.through = nn.ModuleList(
            stacked_linear([self.places[s].fixed * num_in for s in far], place.fixed * num_out)
            for far, place in zip(self.far, self.places, strict=True)
        )
        # Of an inner weight to itself: by each entry, its row, its column and the whole.
        inner = [t for t, place in enumerate(self.places) if len(place.axes) == 2]
        self.own = nn.ModuleDict({str(t): stacked_linear([num_in] * 4, num_out) for t in inner})

    def _routes(self, axis: int, num_in: int) -> list[Route]:
        """Pairs of tensors that share a hidden layer, but not an inner weight's with itself."""
        here = [t for t, place in enumerate(self.places) if axis in place.axes]
        return [
            Route(
                source=s,
                target=t,
                num_in=self.places[s].fixed * num_in,
                groups=self.places[t].fixed,
            )
            for s in here
            for t in here
            if s != t or len(self.places[s].axes) == 1
        ]

    def forward(self, features: Sequence[Tensor], tops: Tops | None = None) -> list[Tensor]:
        """New features of every tensor, in the order and layout of the old.

        tops: the maxima of inner weights, as far as they are known.
        """
        reached = self._reached(features, tops or {})
        return [_summed(x, parts) for x, parts in zip(features, reached, strict=True)]

    def rectified(self, features: Sequence[Tensor], tops: Tops) -> tuple[list[Tensor], Tops]:
        """New features through ReLU, and their tops where those come at no cost."""
        moved, found = [], {}
        for t, (x, parts) in enumerate(zip(features, self._reached(features, tops), strict=True)):
            if len(parts) == 3 and is_compiled_for(x, parts[0].shape[1]):
                y, over_inner, over_outer = exchange(x, *parts)
                found[t] = over_inner, over_outer
            else:
                y = torch.relu(_summed(x, parts))
            moved.append(y)
        return moved, found

    def _reached(self, features: Sequence[Tensor], tops: Tops) -> list[tuple[Tensor, ...]]:
        """What reaches every tensor, as _summed takes it."""
        # What the units of each hidden layer show of each tensor, and each tensor's maxima.
        seen: list[dict[int, Tensor]] = [{} for _ in self.sets]
        whole = []
        for t, place in enumerate(self.places):
            x = features[t]
            for axis in place.axes:
                seen[axis][t] = x
            if len(place.axes) == 2:
                # Of an inner weight a unit shows the maximum over the other layer's units.
                outer, inner = place.axes
                seen[outer][t], seen[inner][t] = (
                    tops[t] if t in tops else (greatest(x, 2), greatest(x, 1))
                )
            whole.append(x if not place.axes else greatest(seen[place.axes[0]][t], 1))
        found = [attend(units) for attend, units in zip(self.sets, seen, strict=True)]
        return [self._gathered(t, seen, whole, found) for t in range(len(features))]

    def _gathered(
        self,
        t: int,
        seen: list[dict[int, Tensor]],
        whole: list[Tensor],
        found: list[dict[int, Tensor]],
    ) -> tuple[Tensor, ...]:
        """All that reaches one tensor."""
        axes, share = self.places[t].axes, 1.0 / len(self.places)
        far = share * self.through[t](torch.cat([whole[s] for s in self.far[t]], dim=1))
        if not axes:
            return (far,)
        if len(axes) == 1:
            return (share * found[axes[0]][t] + far[:, None, :],)
        # The large tensor is touched as seldom as can be: shares are taken of the small ones.
        outer, inner = axes
        own = cast(nn.Linear, self.own[str(t)])
        entry, row, column, total = (share / 4 * part.mT for part in own.weight.chunk(4, dim=1))
        rows = share * found[outer][t] + seen[outer][t] @ row
        columns = share * found[inner][t] + seen[inner][t] @ column
        far = far + torch.addmm(share / 4 * own.bias, whole[t], total)
        return entry, rows + far[:, None, :], columns


class FeatureNorms(nn.Module):
    """Batch norm of each tensor's features over INRs, units, coordinates and values alike."""

    def __init__(self, spec: InrSpec, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.norms = nn.ModuleList(nn.BatchNorm1d(channels) for _ in places(spec))

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """The same tensors, normalised."""
        return [
            norm(x.reshape(-1, self.channels)).reshape(x.shape)
            for norm, x in zip(self.norms, features, strict=True)
        ]


class Dws(WeightSpaceNetwork):
    """Equivariant layers with ReLU between, then the maximum over units and a linear head."""

    normalisation: ClassVar[Normalisation] = "tensor"

    def __init__(self, config: DwsConfig, spec: InrSpec, num_classes: int) -> None:
        super().__init__()
        num, size = config.layers, config.channels
        self.layers = nn.ModuleList(
            DwsLayer(
                spec,
                num_in=1 if layer == 0 else size,
                num_out=size,
                heads=1 if layer == num else config.heads,
            )
            for layer in range(num + 1)
        )
        num_norms = num if config.batch_norm else 0
        self.norms = nn.ModuleList(FeatureNorms(spec, size) for _ in range(num_norms))
        self.dropout = nn.Dropout(config.dropout)
        self.num_features = size * sum(place.fixed for place in places(spec))
        self.head = nn.Linear(self.num_features, num_classes)

    def encode(self, params: Params) -> Float[Tensor, "b f"]:
        """The maximum over units of every channel of every tensor."""
        features, tops = lift(params), {}
        drops = self.dropout.p > 0 and self.training
        for depth, layer in enumerate(self.layers):
            layer = cast(DwsLayer, layer)
            if depth >= len(self.norms) and not drops:
                features, tops = layer.rectified(features, tops)
                continue
            features, tops = layer(features, tops), {}
            if depth < len(self.norms):
                features = self.norms[depth](features)
            features = [self.dropout(torch.relu(x)) for x in features]
        pooled = [
            x if x.ndim == 2 else greatest(tops[t][0] if t in tops else x.flatten(1, -2), 1)
            for t, x in enumerate(features)
        ]
        return torch.cat(pooled, dim=1)
