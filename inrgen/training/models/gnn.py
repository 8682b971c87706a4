"""A relational transformer over an INR's graph: units are nodes, weights are edges.

Neural graphs, arXiv 2403.12143, with the relational attention of arXiv 2210.05062. As in the code
of that paper and of the augmentation study, every unit attends to every unit. A pair has two edges,
one in each direction, and starts from a weight where the upper unit is seen from the lower one, and
from zero otherwise. A unit thus knows its outgoing weights after one round, and the value units
know every weight after two.

With `edges=joined` units attend along weights alone, as a mask in the published code, which it does
not use, would have it. Then knowledge of a weight travels one layer a round, and the value units
see the weights next to the coordinates after two rounds more than there are hidden layers. With
fewer rounds the logits would be constant in some weights.
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
        self.widths, self.every = spec.widths, config.edges == "all"
        self.fourier = FourierFeatures(config.frequencies)
        wide = 2 * config.frequencies
        self.bias = nn.Sequential(nn.Linear(wide, config.node), nn.Linear(config.node, config.node))
        self.weight_0 = nn.Linear(wide, config.edge)
        self.weight_1 = nn.Linear(config.edge, config.edge)
        # Each coordinate and value has an embedding; the units of a hidden layer share one.
        alike = [1] * spec.widths[0] + list(spec.widths[1:-1]) + [1] * spec.d_out
        # Embeddings tell coordinates, hidden layers and values apart.
        self.places = nn.Parameter(torch.randn(len(alike), config.node))
        place = torch.arange(len(alike)).repeat_interleave(torch.tensor(alike))
        self.register_buffer("place", place, persistent=False)

    def forward(self, params: Params) -> tuple[list[Tensor], list[Tensor]]:
        """Units (b, n, c) and edges (b, n, j, e) of each block, starting at the coordinates."""
        # Coordinates have no bias.
        start = torch.zeros_like(params.biases[0][:, :1]).expand(-1, self.widths[0])
        values = torch.cat([start, *params.biases], dim=1)
        units = self.bias(self.fourier(values)) + self.places[self.place]
        edges = self._edges(params)
        if self.every:
            return [units], [torch.cat(edges, dim=1)]
        return list(units.split(list(self.widths), dim=1)), edges

    def _edges(self, params: Params) -> list[Tensor]:
        """Edges of each layer: those to the layer above start from their weights, others from zero.

        Only edges that start from weights are encoded one by one.
        """
        # Merging the two linear maps saves a pass over all edges.
        matrix = self.weight_1.weight @ self.weight_0.weight
        offset = self.weight_1(self.weight_0.bias)
        # The Fourier features of zero are not zero, so an edge from zero has to be encoded, too.
        zero = nn.functional.linear(self.fourier(params.biases[0].new_zeros(())), matrix, offset)
        edges: list[Tensor] = []
        for layer, num in enumerate(self.widths):
            # Units below the layer above that this layer has edges to, and those beyond it.
            low = sum(self.widths[: layer + 1]) if self.every else sum(self.widths[:layer][-1:])
            high = sum(self.widths[layer + 2 :]) if self.every else 0
            parts = [zero.expand(len(params), num, low, -1)]
            if layer < len(params.weights):
                features = self.fourier(params.weights[layer].mT)
                parts.append(nn.functional.linear(features, matrix, offset))
            parts.append(zero.expand(len(params), num, high, -1))
            edges.append(torch.cat(parts, dim=2))
        return edges


class RelationalLayer(nn.Module):
    """Attention over edges, an MLP on each unit and, unless it is the last round, new edges."""

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
        fewest = spec.num_hidden + 2 if config.edges == "joined" else 0
        rounds = config.layers or fewest
        if rounds < fewest:
            raise ValueError(
                f"layers must be at least {fewest} for edges=joined and INRs of {spec.num_hidden} "
                f"hidden layers, to see the weights next to the coordinates; got {rounds}"
            )
        self.graph = GraphInput(config, spec)
        self.recompute, self.d_out = config.recompute, spec.d_out
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
        return torch.relu(self.read(units[-1][:, -self.d_out :].flatten(1)))
