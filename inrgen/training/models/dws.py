"""DWSNet: layers equivariant to the order of hidden units (arXiv 2301.12780).

Every tensor of an INR has an axis for each hidden layer that it touches. An inner weight has two;
the first and last weight and the biases of hidden layers have one; the last bias has none. Axes of
coordinates and values have a fixed order, so they count as channels.

An equivariant layer maps every tensor to every tensor (section 5 and table 1 of the paper). Tensors
that share a hidden layer use a set function of its units, and a weight acts on itself entry by
entry as well. All others are pooled to their maximum over units. Here all set functions over one
hidden layer are one attention, and all pooled inputs of a tensor are one matrix product.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.training.models.base import WeightSpaceNetwork
from inrgen.training.models.config import DwsConfig, HeadsPer
from inrgen.training.models.normalisation import Normalisation
from inrgen.training.models.set_attention import Route, SetAttention, stacked_linear


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorAxes:
    """A weight or bias of an INR, as a layer sees it.

    Attributes:
        axes: the hidden layers that its units belong to, outer first.
        fixed: channels for each feature: the number of inputs or values that it touches.
    """

    axes: tuple[int, ...]
    fixed: int


def tensor_axes(spec: InrSpec) -> tuple[TensorAxes, ...]:
    """Weight and bias of each layer in turn, as in a flat row."""
    found = []
    for layer in range(spec.num_hidden + 1):
        first, last = layer == 0, layer == spec.num_hidden
        below = () if first else (layer - 1,)
        above = () if last else (layer,)
        fixed = spec.widths[0] if first else spec.d_out if last else 1
        found.append(TensorAxes(axes=above + below, fixed=fixed))
        found.append(TensorAxes(axes=above, fixed=spec.d_out if last else 1))
    return tuple(found)


def lift(params: Params) -> list[Tensor]:
    """Weights and biases with units first and channels last, one feature each.

    An inner weight is (b, out, in, 1), the first one (b, out, inputs), the last (b, in, d_out), a
    hidden bias (b, h, 1), the last one (b, d_out).
    """
    last = len(params.weights) - 1
    features = []
    for layer, (weight, bias) in enumerate(zip(params.weights, params.biases, strict=True)):
        inner = 0 < layer < last
        # The last weight is transposed, so that its units come before its values.
        features.append(weight[..., None] if inner else weight.mT if layer == last else weight)
        features.append(bias if layer == last else bias[..., None])
    return features


def maximum(x: Tensor, dim: int) -> Tensor:
    """Maximum over units; amax costs twice as much, because it splits gradients among ties."""
    return x.max(dim=dim).values


class DwsLayer(nn.Module):
    """An equivariant layer: every tensor to every tensor, summed and divided by their number."""

    def __init__(
        self, spec: InrSpec, num_in: int, num_out: int, heads: int, heads_per: HeadsPer = "block"
    ) -> None:
        super().__init__()
        self.tensors = tensor_axes(spec)
        self.sets = nn.ModuleList(
            SetAttention(self._routes(axis, num_in), num_out, heads, heads_per)
            for axis in range(spec.num_hidden)
        )
        # The tensors that share no hidden layer with each one; the last bias is always among them.
        self.far = [
            [s for s, given in enumerate(self.tensors) if not set(given.axes) & set(taken.axes)]
            for taken in self.tensors
        ]
        self.through = nn.ModuleList(
            stacked_linear([self.tensors[s].fixed * num_in for s in far], taken.fixed * num_out)
            for far, taken in zip(self.far, self.tensors, strict=True)
        )
        # From an inner weight to itself: by entry, row, column and whole.
        inner = [t for t, taken in enumerate(self.tensors) if len(taken.axes) == 2]
        self.own = nn.ModuleDict({str(t): stacked_linear([num_in] * 4, num_out) for t in inner})

    def _routes(self, axis: int, num_in: int) -> list[Route]:
        """Pairs of tensors that share a hidden layer, except an inner weight with itself."""
        here = [t for t, tensor in enumerate(self.tensors) if axis in tensor.axes]
        return [
            Route(
                source=s,
                target=t,
                num_in=self.tensors[s].fixed * num_in,
                groups=self.tensors[t].fixed,
            )
            for s in here
            for t in here
            # An inner weight acts on itself entry by entry, in `own`.
            if s != t or len(self.tensors[s].axes) == 1
        ]

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """New features of every tensor, in the same order and layout."""
        # For each hidden layer, its units' features in each tensor; and each tensor's maximum.
        units: list[dict[int, Tensor]] = [{} for _ in self.sets]
        pooled = []
        for t, (x, tensor) in enumerate(zip(features, self.tensors, strict=True)):
            for axis in tensor.axes:
                units[axis][t] = x
            if len(tensor.axes) == 2:
                # A unit's feature in an inner weight is the maximum over the other layer's units.
                outer, inner = tensor.axes
                units[outer][t], units[inner][t] = maximum(x, 2), maximum(x, 1)
            pooled.append(x if not tensor.axes else maximum(units[tensor.axes[0]][t], 1))
        attended = [attend(seen) for attend, seen in zip(self.sets, units, strict=True)]
        return [self._target(t, x, units, pooled, attended) for t, x in enumerate(features)]

    def _target(
        self,
        t: int,
        x: Tensor,
        units: list[dict[int, Tensor]],
        pooled: list[Tensor],
        attended: list[dict[int, Tensor]],
    ) -> Tensor:
        """The sum of everything that leads to tensor t, whose features were x."""
        axes, share = self.tensors[t].axes, 1.0 / len(self.tensors)
        far = share * self.through[t](torch.cat([pooled[s] for s in self.far[t]], dim=1))
        if not axes:
            return far
        if len(axes) == 1:
            return share * attended[axes[0]][t] + far[:, None, :]
        # The factors are applied to the small tensors, because passes over the large one are slow.
        outer, inner = axes
        own = cast(nn.Linear, self.own[str(t)])
        entry, row, column, whole = (share / 4 * part.mT for part in own.weight.chunk(4, dim=1))
        rows = share * attended[outer][t] + units[outer][t] @ row
        columns = share * attended[inner][t] + units[inner][t] @ column
        far = far + torch.addmm(share / 4 * own.bias, pooled[t], whole)
        return x @ entry + (rows + far[:, None, :])[:, :, None, :] + columns[:, None, :, :]


class FeatureNorms(nn.Module):
    """Batch norm of each tensor's features over INRs, units, coordinates and values alike."""

    def __init__(self, spec: InrSpec, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.norms = nn.ModuleList(nn.BatchNorm1d(channels) for _ in tensor_axes(spec))

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
                heads_per=config.heads_per,
            )
            for layer in range(num + 1)
        )
        num_norms = num if config.batch_norm else 0
        self.norms = nn.ModuleList(FeatureNorms(spec, size) for _ in range(num_norms))
        self.dropout = nn.Dropout(config.dropout)
        self.num_features = size * sum(tensor.fixed for tensor in tensor_axes(spec))
        self.head = nn.Linear(self.num_features, num_classes)

    def encode(self, params: Params) -> Float[Tensor, "b f"]:
        """The maximum over units of every channel of every tensor."""
        features = lift(params)
        for depth, layer in enumerate(self.layers):
            features = layer(features)
            if depth < len(self.norms):
                features = self.norms[depth](features)
            features = [self.dropout(torch.relu(x)) for x in features]
        # The last bias has no units to pool.
        pooled = [x if x.ndim == 2 else maximum(x.flatten(1, -2), 1) for x in features]
        return torch.cat(pooled, dim=1)
