"""Literal graph network: the formulas as published, over all pairs of units.

It takes the weights of a Gnn and gives the same logits. Queries, keys and values are made for each
pair. The network that updates edges reads both ends and both directions side by side (arXiv
2210.05062, section 3; arXiv 2403.12143). Published code does not mask the attention; a mask here
makes the Gnn of joined edges. Its weights carry over: the rows of its maps to queries, keys and
values are sorted by head first, and its Fourier features are sines before cosines.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from inrgen.core.params import Params
from inrgen.training.models.edge_attention import EdgeAttention, EdgeUpdate
from inrgen.training.models.gnn import Gnn, RelationalLayer


class LiteralGnn(nn.Module):
    """A Gnn's logits, computed without factoring anything."""

    def __init__(self, gnn: Gnn) -> None:
        super().__init__()
        self.gnn = gnn

    def forward(self, params: Params) -> Float[Tensor, "b c"]:
        """Logits of each INR."""
        nodes, edges, joined = self._graph(params)
        for layer in self.gnn.layers:
            assert isinstance(layer, RelationalLayer)
            nodes = layer.norm_0(
                nodes + layer.dropout(layer.mix(_attend(layer.attend, nodes, edges, joined)))
            )
            nodes = layer.norm_1(nodes + layer.update(nodes))
            if layer.edges is not None:
                edges = _updated(layer.edges, nodes, edges)
        values = nodes[:, -params.biases[-1].shape[1] :]
        return self.gnn.head(torch.relu(self.gnn.read(values.flatten(1))))

    def _graph(self, params: Params) -> tuple[Tensor, Tensor, Bool[Tensor, "n n"]]:
        """Units (b, n, c), edges (b, n, n, e), and a mask of the pairs that attend."""
        graph, widths = self.gnn.graph, self.gnn.graph.widths
        num, start = sum(widths), 0
        bias = params.biases[0].new_zeros(len(params), num)
        weight = params.biases[0].new_zeros(len(params), num, num)
        joined = torch.zeros(num, num, dtype=torch.bool, device=params.device)
        for w, b in zip(params.weights, params.biases, strict=True):
            low = slice(start, start + w.shape[2])
            high = slice(low.stop, low.stop + w.shape[1])
            weight[:, low, high], bias[:, high] = w.mT, b
            joined[low, high] = joined[high, low] = True
            start = low.stop
        joined |= graph.every
        nodes = graph.bias(graph.fourier(bias)) + graph.places[graph.place]
        return nodes, graph.weight_1(graph.weight_0(graph.fourier(weight))), joined


def _attend(
    attend: EdgeAttention,
    nodes: Float[Tensor, "b n c"],
    edges: Float[Tensor, "b n n e"],
    joined: Bool[Tensor, "n n"],
) -> Float[Tensor, "b n c"]:
    """Attend with queries, keys and values made for every pair of units."""
    q, k, v = attend.of_node(nodes).unflatten(2, (3, attend.heads, -1)).unbind(2)
    parts = attend.of_edge(edges).unflatten(3, (4, attend.heads, -1)).unbind(3)
    query, key = q[:, :, None] + parts[0], k[:, None] + parts[1]
    value = v[:, None] * parts[3] + parts[2]
    scores = attend.scale * (query * key).sum(dim=4)
    share = torch.softmax(scores.masked_fill(~joined[..., None], -torch.inf), dim=2)
    return attend.out((share[..., None] * value).sum(dim=2).flatten(2))


def _updated(
    update: EdgeUpdate, nodes: Float[Tensor, "b n c"], edges: Float[Tensor, "b n n e"]
) -> Float[Tensor, "b n n e"]:
    """Update edges by one linear map of an edge, the reverse edge and both units."""
    num = nodes.shape[1]
    asking = nodes[:, :, None].expand(-1, -1, num, -1)
    asked = nodes[:, None].expand(-1, num, -1, -1)
    known = torch.cat([edges, edges.transpose(1, 2), asking, asked], dim=3)
    matrix = torch.cat(
        [update.of_edge.weight, update.of_asking.weight, update.of_asked.weight], dim=1
    )
    offset = update.of_edge.bias + update.of_asking.bias + update.of_asked.bias
    edges = update.norm_0(edges + update.close(nn.functional.linear(known, matrix, offset)))
    return update.norm_1(edges + update.update(edges))
