"""A relational transformer over an INR's graph: units are nodes, weights are edges.

Neural graphs, arXiv 2403.12143, with the relational attention of arXiv 2210.05062. Every weight is
two edges, one a direction, and a unit attends to the units that a weight joins it to. Only such
edges are kept, a block for each weight matrix, not one tensor over all pairs of units.

A unit draws from its neighbours alone, so what is known of a weight goes one layer a round. An edge
starts from its weight in the lower unit's view and from zero in the upper unit's, which learns of
it when edges are first updated. So the values' units have seen the weights next to the coordinates
after two rounds more than there are hidden layers, and of fewer rounds nothing that is said of an
INR would depend on them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.training.models.base import WeightSpaceNetwork
from inrgen.training.models.edge_attention import EdgeAttention, EdgeUpdate, xavier_linear
from inrgen.training.models.fourier import FourierFeatures
from inrgen.training.models.normalisation import Normalisation


@dataclass(frozen=True, kw_only=True, slots=True)
class GnnConfig:
    """A relational transformer; by default the augmentation study's, 377 thousand parameters.

    Attributes:
        layers: rounds of attention; after each but the last the edges are updated too. 0 is two
            more than an INR's hidden layers, the fewest that see every weight: the study's 4 for
            two hidden layers.
        heads: attention heads.
        node: features of a unit.
        edge: features of an edge.
        attention: width of queries, keys and values, all heads together.
        node_hidden: hidden width of the network that updates units.
        edge_hidden: hidden width of the networks that update edges.
        features: width of the hidden layer that the logits are read from.
        frequencies: random Fourier frequencies that weights and biases enter by.
        dropout: share of updates dropped in training.
        recompute: work each round out again when gradients are taken: a third more time, and a
            third of the memory.
    """

    layers: int = 0
    heads: int = 8
    node: int = 64
    edge: int = 32
    attention: int = 128
    node_hidden: int = 128
    edge_hidden: int = 64
    features: int = 128
    frequencies: int = 128
    dropout: float = 0.2
    recompute: bool = False

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if name not in ("layers", "dropout", "recompute") and getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive; got {getattr(self, name)}")
        if self.attention % self.heads:
            raise ValueError(
                f"attention must be a multiple of heads={self.heads}; got {self.attention}"
            )
        if self.layers < 0:
            raise ValueError(f"layers must not be negative; got {self.layers}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1); got {self.dropout}")


class GraphInput(nn.Module):
    """Units from biases and edges from weights, through random Fourier features."""

    place: Tensor

    def __init__(self, config: GnnConfig, spec: InrSpec) -> None:
        super().__init__()
        self.widths = spec.widths
        self.fourier = FourierFeatures(config.frequencies)
        wide = 2 * config.frequencies
        self.bias = nn.Sequential(nn.Linear(wide, config.node), nn.Linear(config.node, config.node))
        self.weight_0 = nn.Linear(wide, config.edge)
        self.weight_1 = nn.Linear(config.edge, config.edge)
        # Coordinates and values are each their own; the units of a hidden layer are alike.
        alike = [1] * spec.d_in + list(spec.widths[1:-1]) + [1] * spec.d_out
        self.places = nn.Parameter(torch.randn(len(alike), config.node))
        place = torch.arange(len(alike)).repeat_interleave(torch.tensor(alike))
        self.register_buffer("place", place, persistent=False)

    def forward(self, params: Params) -> tuple[list[Tensor], list[Tensor]]:
        """Units (b, n, c) and edges (b, n, j, e) of each layer, that of the coordinates first."""
        start = torch.zeros_like(params.biases[0][:, :1]).expand(-1, self.widths[0])
        values = torch.cat([start, *params.biases], dim=1)
        units = self.bias(self.fourier(values)) + self.places[self.place]
        return list(units.split(list(self.widths), dim=1)), self._edges(params)

    def _edges(self, params: Params) -> list[Tensor]:
        """An edge to the layer above starts from its weight, one to the layer below from zero."""
        # Two linear maps in a row are one, which spares a pass over all edges.
        matrix = self.weight_1.weight @ self.weight_0.weight
        offset = self.weight_1(self.weight_0.bias)
        zero = nn.functional.linear(self.fourier(params.biases[0].new_zeros(())), matrix, offset)
        edges: list[Tensor] = []
        for layer, num in enumerate(self.widths):
            parts = []
            if layer > 0:
                parts.append(zero.expand(len(params), num, self.widths[layer - 1], -1))
            if layer < len(params.weights):
                features = self.fourier(params.weights[layer].mT)
                parts.append(nn.functional.linear(features, matrix, offset))
            edges.append(torch.cat(parts, dim=2))
        return edges


class RelationalLayer(nn.Module):
    """Attention along edges and a network for each unit, then, if asked, new edges."""

    def __init__(self, config: GnnConfig, moves_edges: bool) -> None:
        super().__init__()
        self.attend = EdgeAttention(config.node, config.edge, config.attention, config.heads)
        self.mix = xavier_linear(config.node, config.node)
        self.dropout = nn.Dropout(config.dropout)
        self.norm_0 = nn.LayerNorm(config.node)
        self.norm_1 = nn.LayerNorm(config.node)
        self.update = nn.Sequential(
            xavier_linear(config.node, config.node_hidden, bias=False),
            nn.GELU(),
            xavier_linear(config.node_hidden, config.node),
            nn.Dropout(config.dropout),
        )
        self.edges = (
            EdgeUpdate(config.node, config.edge, config.edge_hidden, config.dropout)
            if moves_edges
            else None
        )

    def forward(
        self, units: Sequence[Tensor], edges: Sequence[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """The graph after one round."""
        x = torch.cat(list(units), dim=1)
        x = self.norm_0(x + self.dropout(self.mix(self.attend(units, edges))))
        x = self.norm_1(x + self.update(x))
        moved = x.split([part.shape[1] for part in units], dim=1)
        if self.edges is not None:
            edges = self.edges(moved, edges)
        return list(moved), list(edges)


class Gnn(WeightSpaceNetwork):
    """Rounds of relational attention; the values' own units are what is read at the end."""

    normalisation: ClassVar[Normalisation] = "tensor"

    def __init__(self, config: GnnConfig, spec: InrSpec, num_classes: int) -> None:
        super().__init__()
        fewest = spec.num_hidden + 2
        rounds = config.layers or fewest
        if rounds < fewest:
            raise ValueError(
                f"layers must be at least {fewest} for INRs of {spec.num_hidden} hidden layers, or "
                f"weights next to the coordinates would not be seen; got {rounds}"
            )
        self.graph = GraphInput(config, spec)
        self.recompute = config.recompute
        self.layers = nn.ModuleList(
            RelationalLayer(config, moves_edges=layer < rounds - 1) for layer in range(rounds)
        )
        self.read = nn.Linear(spec.d_out * config.node, config.features)
        self.num_features = config.features
        self.head = nn.Linear(config.features, num_classes)

    def encode(self, params: Params) -> Float[Tensor, "b f"]:
        """A hidden layer on the units that are the INR's values, one after the other."""
        units, edges = self.graph(params)
        for layer in self.layers:
            if self.recompute and self.training:
                units, edges = checkpoint(layer, units, edges, use_reentrant=False)
            else:
                units, edges = layer(units, edges)
        return torch.relu(self.read(units[-1].flatten(1)))
