"""Relational attention of units over the ends of their edges, and updates of edges.

An edge leads from the querying unit to another. Graphs come in two layouts, as lists of blocks. A
single block holds all units, with an edge for every pair of them. A block for each layer has edges
along weights alone: first those to the layer below, then those to the layer above.

torch's scaled_dot_product_attention cannot do this, because keys and values differ from pair to
pair. The sums below are factored instead, so that few tensors over pairs are made.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


def xavier_linear(num_in: int, num_out: int, bias: bool = True) -> nn.Linear:
    """A linear map with Xavier initialisation and a zero bias."""
    linear = nn.Linear(num_in, num_out, bias=bias)
    nn.init.xavier_uniform_(linear.weight)
    if bias:
        nn.init.zeros_(linear.bias)
    return linear


def neighbours(units: Sequence[Tensor]) -> list[Tensor]:
    """For each block the units at the other ends of its edges, in the order of its edges."""
    num = len(units)
    if num == 1:
        return list(units)
    return [
        torch.cat([units[m] for m in (layer - 1, layer + 1) if 0 <= m < num], dim=1)
        for layer in range(num)
    ]


def reversed_edges(edges: Sequence[Tensor]) -> list[Tensor]:
    """For each edge the one in the opposite direction."""
    if len(edges) == 1:
        return [edges[0].transpose(1, 2)]
    found = []
    for layer, own in enumerate(edges):
        num, parts = own.shape[1], []
        if layer > 0:
            # Edges to this layer come last in the layer below, and first in the layer above.
            parts.append(edges[layer - 1][:, :, -num:].transpose(1, 2))
        if layer + 1 < len(edges):
            parts.append(edges[layer + 1][:, :, :num].transpose(1, 2))
        found.append(torch.cat(parts, dim=2))
    return found


class EdgeAttention(nn.Module):
    """Relational attention of each unit i over the units j at the ends of its edges.

    Queries, keys and values are sums of a part from the unit and a part from the edge, and the
    edge scales the other unit's part of a value:

        score_ij = (q_i + Q e_ij) . (k_j + K e_ij),    out_i = sum_j a_ij (v_j * M e_ij + V e_ij)

    (arXiv 2210.05062, as used for neural graphs). Multiplied out, q.k, q.K e and k.Q e are small
    products of the units' vectors with edges, and V and M can be applied after the sum. So no
    query, key or value is made for each edge, only Q e and K e.
    """

    def __init__(self, node: int, edge: int, attention: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, attention**-0.5
        self.of_node = xavier_linear(node, 3 * attention, bias=False)
        self.of_edge = xavier_linear(edge, 4 * attention, bias=False)
        self.out = xavier_linear(attention, node)

    def forward(
        self, units: Sequence[Float[Tensor, "b _n c"]], edges: Sequence[Float[Tensor, "b _n _j e"]]
    ) -> Float[Tensor, "b total c"]:
        """New features of the units of all blocks, one after the other."""
        counts = [x.shape[1] for x in units]
        q, k, v = (
            self.of_node(torch.cat(list(units), dim=1)).unflatten(2, (3, self.heads, -1)).unbind(2)
        )
        of_query, of_key, plain, scaling = self.of_edge.weight.unflatten(0, (4, self.heads, -1))
        # One matrix product for Q e and K e.
        wide = torch.cat([of_query, of_key]).flatten(0, 1)
        # A query with an edge's key is q . K e = (K^T q) . e; likewise a key with an edge's query.
        q_at = torch.einsum("bnhd,hde->bnhe", q, of_key)
        k_at = torch.einsum("bnhd,hde->bnhe", k, of_query)
        asking = [part.split(counts, dim=1) for part in (q, q_at)]
        asked = [neighbours(part.split(counts, dim=1)) for part in (k, k_at, v)]
        drawn = [
            self._drawn(e, wide, plain, scaling, *parts)
            for e, *parts in zip(edges, *asking, *asked, strict=True)
        ]
        return self.out(torch.cat(drawn, dim=1).flatten(2))

    def _drawn(
        self,
        e: Float[Tensor, "b i j e"],
        wide: Float[Tensor, "w e"],
        plain: Float[Tensor, "h d e"],
        scaling: Float[Tensor, "h d e"],
        q: Float[Tensor, "b i h d"],
        q_at: Float[Tensor, "b i h e"],
        k: Float[Tensor, "b j h d"],
        k_at: Float[Tensor, "b j h e"],
        v: Float[Tensor, "b j h d"],
    ) -> Float[Tensor, "b i h d"]:
        """Attention output for the units of one block."""
        e_query, e_key = (e @ wide.mT).unflatten(3, (2, self.heads, -1)).unbind(3)
        scores = (
            (e_query * e_key).sum(dim=4)
            + torch.einsum("bihd,bjhd->bijh", q, k)
            + torch.einsum("bihe,bije->bijh", q_at, e)
            + torch.einsum("bjhe,bije->bijh", k_at, e)
        )
        # All units at the ends of edges compete, in either layout, so no mask is needed.
        share = torch.softmax(self.scale * scores, dim=2)
        of_edges = torch.einsum("bijh,bije->bihe", share, e)
        # The sum over j of a v * M e is (a v)^T e, contracted with M afterwards.
        weighted = (share[..., None] * v[:, None]).flatten(3)
        scaled = (weighted.mT @ e).unflatten(2, v.shape[2:])
        of_units = (scaled * scaling).sum(dim=4)
        return of_units + torch.einsum("bihe,hde->bihd", of_edges, plain)


class EdgeUpdate(nn.Module):
    """New edges from each edge, the one in the opposite direction, and the units at both ends.

    The first linear map of these inputs together is a sum of maps of each, so the maps of units
    are computed once a unit instead of once an edge.
    """

    def __init__(self, node: int, edge: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.of_edge = xavier_linear(2 * edge, hidden)
        self.of_asking = xavier_linear(node, hidden)
        self.of_asked = xavier_linear(node, hidden)
        self.close = nn.Sequential(nn.GELU(), xavier_linear(hidden, edge), nn.Dropout(dropout))
        self.update = nn.Sequential(
            xavier_linear(edge, hidden, bias=False),
            nn.GELU(),
            xavier_linear(hidden, edge),
            nn.Dropout(dropout),
        )
        self.norm_0 = nn.LayerNorm(edge)
        self.norm_1 = nn.LayerNorm(edge)

    def forward(
        self, units: Sequence[Float[Tensor, "b _n c"]], edges: Sequence[Float[Tensor, "b _n _j e"]]
    ) -> list[Float[Tensor, "b _n _j e"]]:
        """The edges of each block, in the same order."""
        counts = [x.shape[1] for x in units]
        x = torch.cat(list(units), dim=1)
        asking = self.of_asking(x).split(counts, dim=1)
        asked = neighbours(self.of_asked(x).split(counts, dim=1))
        moved = []
        for e, back, ours, theirs in zip(edges, reversed_edges(edges), asking, asked, strict=True):
            known = self.of_edge(torch.cat([e, back], dim=3)) + ours[:, :, None] + theirs[:, None]
            e = self.norm_0(e + self.close(known))
            moved.append(self.norm_1(e + self.update(e)))
        return moved
