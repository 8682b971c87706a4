"""Set functions between tensors that share a hidden layer, as one attention over its units."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from inrgen.training.models.head_attention import attend, attend_compiled, is_compiled_for


def start_weight(weight: Tensor, num_in: int, num_out: int) -> None:
    """DWSNets' start: normal, with variance 4 num_in / (num_out (num_in + num_out))."""
    nn.init.normal_(weight, std=2.0 * math.sqrt(num_in / (num_out * (num_in + num_out))))


def start_bias(bias: Tensor) -> None:
    """DWSNets' start: next to zero."""
    nn.init.uniform_(bias, -1e-4, 1e-4)


def stacked_linear(num_in: Sequence[int], num_out: int) -> nn.Linear:
    """The sum of linear maps of several inputs as one of all of them, each started on its own."""
    linear = nn.Linear(sum(num_in), num_out)
    with torch.no_grad():
        for block, num in zip(linear.weight.split(list(num_in), dim=1), num_in, strict=True):
            start_weight(block, num, num_out)
        start_bias(linear.bias)
    return linear


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """One set function: from num_in channels of the units of source to groups of features."""

    source: int
    target: int
    num_in: int
    groups: int


class SetAttention(nn.Module):
    """All set functions over the units of one hidden layer: set attention blocks, side by side.

    A block (arXiv 1810.00825, section 3.1, with inputs as both queries and keys) maps units x to
    o + relu(A o) with o = q + softmax(q k / sqrt(c)) v in each head, so it reorders its answers
    with its inputs. Heads of all blocks are as wide, so that they are one attention: a tensor with
    groups of features has heads for each.
    """

    def __init__(self, routes: Sequence[Route], channels: int, heads: int) -> None:
        super().__init__()
        self.routes = sorted(routes, key=lambda r: (r.source, r.target))
        self.sources = sorted({r.source for r in routes})
        self.targets = sorted({r.target for r in routes})
        self.channels, self.width = channels, channels // heads
        self.asks = nn.ModuleList(self._asks(source) for source in self.sources)
        self.answers = nn.ParameterList()
        self.offsets = nn.ParameterList()
        for target in self.targets:
            here = [r for r in self.routes if r.target == target]
            size = here[0].groups * channels
            self.answers.append(torch.empty(len(here), size, size))
            self.offsets.append(torch.empty(len(here), 1, size))
            start_weight(self.answers[-1], size, size)
            start_bias(self.offsets[-1])

    def _asks(self, source: int) -> nn.Linear:
        """Queries, keys and values of a source's units for each of its routes, in three parts."""
        num_in = next(r.num_in for r in self.routes if r.source == source)
        sizes = 3 * self._sizes([source])
        linear = nn.Linear(num_in, sum(sizes))
        with torch.no_grad():
            for block, size in zip(linear.weight.split(sizes), sizes, strict=True):
                start_weight(block, num_in, size)
            start_bias(linear.bias)
        return linear

    def forward(self, units: Mapping[int, Tensor]) -> dict[int, Float[Tensor, "b h _o"]]:
        """The sum of its routes' answers for each target.

        Args:
            units: for each source its channels of every unit, (b, h, num_in).
        """
        parts, shape = self._said(units), units[self.sources[0]].shape[:2]
        found = {}
        for target, answer, offset in zip(self.targets, self.answers, self.offsets, strict=True):
            mine = [p for p, r in zip(parts, self.routes, strict=True) if r.target == target]
            stacked = torch.stack([p.flatten(0, 1) for p in mine])
            total = (stacked + torch.relu(torch.baddbmm(offset, stacked, answer))).sum(dim=0)
            found[target] = total.unflatten(0, shape)
        return found

    def _said(self, units: Mapping[int, Tensor]) -> list[Float[Tensor, "b h _o"]]:
        """What the attention of each route says, before its answer is mapped."""
        asked = [ask(units[s]) for s, ask in zip(self.sources, self.asks, strict=True)]
        scale = 1.0 / math.sqrt(self.channels)
        if is_compiled_for(asked[0].device, asked[0].dtype, self.width):
            said = [attend_compiled(x, self.width, scale) for x in asked]
            cuts = [self._sizes([s]) for s in self.sources]
        else:
            # One launch for all sources.
            query, key, value = (
                torch.cat(part, dim=2)
                for part in zip(*(x.chunk(3, dim=2) for x in asked), strict=True)
            )
            said = [attend(query, key, value, self.width, scale)]
            cuts = [self._sizes(self.sources)]
        return [part for x, sizes in zip(said, cuts, strict=True) for part in x.split(sizes, dim=2)]

    def _sizes(self, sources: Sequence[int]) -> list[int]:
        """How many features each route of these sources has."""
        return [r.groups * self.channels for r in self.routes if r.source in sources]
