"""A relational transformer over an INR's graph: units are nodes, weights are edges.

Neural graphs, arXiv 2403.12143, with the relational attention of arXiv 2210.05062. Every weight is
two edges, one in each direction, and a unit attends to the units that a weight joins it to. Only
such edges are kept, a block for each weight matrix, instead of a tensor over all pairs of units.

A unit draws from its neighbours alone, so knowledge of a weight travels one layer a round. An edge
starts from its weight in the lower unit's view and from zero in the upper unit's, which learns the
weight when edges are first updated. So the value units see the weights next to the coordinates
after two rounds more than there are hidden layers. With fewer rounds the logits would be constant
in some weights.
"""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.training.models.base import WeightSpaceNetwork
from inrgen.training.models.config import GnnConfig
from inrgen.training.models.edge_attention import EdgeAttention, EdgeUpdate, xavier_linear
from inrgen.training.models.normalisation import Normalisation


class FourierFeatures(nn.Module):
    """cos(2 pi f x) and sin(2 pi f x) for fixed, normally distributed frequencies f.

    They let a network resolve small differences of a number (arXiv 2006.10739).
    """

    frequencies: Tensor

    def __init__(self, num: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.randn(num))

    def forward(self, x: Float[Tensor, "*s"]) -> Float[Tensor, "*s wide"]:
        """All cosines, then all sines, on a new last axis."""
        angle = x[..., None] * (2.0 * math.pi * self.frequencies)
        return torch.cat([angle.cos(), angle.sin()], dim=-1)


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
        # Each coordinate and value has an embedding; the units of a hidden layer share one.
        alike = [1] * spec.d_in + list(spec.widths[1:-1]) + [1] * spec.d_out
        # Embeddings tell coordinates, hidden layers and values apart.
        self.places = nn.Parameter(torch.randn(len(alike), config.node))
        place = torch.arange(len(alike)).repeat_interleave(torch.tensor(alike))
        self.register_buffer("place", place, persistent=False)

    def forward(self, params: Params) -> tuple[list[Tensor], list[Tensor]]:
        """Units (b, n, c) and edges (b, n, j, e) of each layer, starting at the coordinates."""
        # Coordinates have no bias.
        start = torch.zeros_like(params.biases[0][:, :1]).expand(-1, self.widths[0])
        values = torch.cat([start, *params.biases], dim=1)
        units = self.bias(self.fourier(values)) + self.places[self.place]
        return list(units.split(list(self.widths), dim=1)), self._edges(params)

    def _edges(self, params: Params) -> list[Tensor]:
        """Edges to the layer above start from their weights, those to the layer below from zero."""
        # Merging the two linear maps saves a pass over all edges.
        matrix = self.weight_1.weight @ self.weight_0.weight
        offset = self.weight_1(self.weight_0.bias)
        # The Fourier features of zero are not zero, so an edge from zero has to be encoded, too.
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
    """Attention along edges, an MLP on each unit and, unless it is the last round, new edges."""

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
    """Rounds of relational attention, read from the units of the INR's values."""

    normalisation: ClassVar[Normalisation] = "tensor"

    def __init__(self, config: GnnConfig, spec: InrSpec, num_classes: int) -> None:
        super().__init__()
        fewest = spec.num_hidden + 2
        rounds = config.layers or fewest
        if rounds < fewest:
            raise ValueError(
                f"layers must be at least {fewest} for INRs of {spec.num_hidden} hidden layers, "
                f"to see the weights next to the coordinates; got {rounds}"
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
        """A hidden layer on the units of the INR's values, one after the other."""
        units, edges = self.graph(params)
        for layer in self.layers:
            if self.recompute and self.training:
                units, edges = checkpoint(layer, units, edges, use_reentrant=False)
            else:
                units, edges = layer(units, edges)
        return torch.relu(self.read(units[-1].flatten(1)))
