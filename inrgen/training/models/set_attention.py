"""Set functions between tensors that share a hidden layer, as one attention over its units.

The attention has many narrow heads over few units. torch's attention is made for heads of 64
channels and thousands of units, and on a CPU takes several times as long as a kernel compiled for
heads of two channels: inrgen/training/README.md has the figures. Without numba, or on a GPU, the
layer uses torch's attention.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from inrgen.kernels import has_numba, share_out
from inrgen.training.models.config import HeadsPer

# Evaluated at import, because torch.compile cannot trace the search for a module.
_HAS_NUMBA = has_numba()
# Each width of heads has its own kernel, which holds the channels side by side in registers.
_MAX_WIDTH = 32


def is_compiled_for(device: torch.device, dtype: torch.dtype, width: int) -> bool:
    """Tell whether the compiled kernel takes these numbers; half precision becomes float32."""
    fits = dtype in (torch.float32, torch.bfloat16) and width <= _MAX_WIDTH
    return device.type == "cpu" and fits and _HAS_NUMBA


def attend(
    query: Float[Tensor, "b h c"],
    key: Float[Tensor, "b h c"],
    value: Float[Tensor, "b h c"],
    width: int,
    scale: float,
) -> Float[Tensor, "b h c"]:
    """q + softmax(scale q k) v in each head of `width` channels, by torch's own attention."""
    q, k, v = (part.unflatten(2, (-1, width)).transpose(1, 2) for part in (query, key, value))
    drawn = functional.scaled_dot_product_attention(q, k, v, scale=scale)
    return (q + drawn).transpose(1, 2).flatten(2)


def attend_compiled(
    joined: Float[Tensor, "b h c3"], width: int, scale: float
) -> Float[Tensor, "b h c"]:
    """The same, where is_compiled_for, from queries, keys and values joined in this order."""
    return _attend(joined.float(), width, scale)


@torch.library.custom_op("inrgen::attend", mutates_args=())
def _attend(joined: Tensor, width: int, scale: float) -> Tensor:
    from inrgen.kernels.attention import kernels

    joined = joined.contiguous()
    out = joined.new_empty(*joined.shape[:2], joined.shape[2] // 3)
    forward, arrays = kernels(width)[0], (joined.numpy(), out.numpy(), np.float32(scale))
    share_out(lambda low, high: forward(*arrays, low, high), len(joined), _work(joined, width))
    return out


@torch.library.custom_op("inrgen::attend_backward", mutates_args=())
def _attend_backward(joined: Tensor, grad: Tensor, width: int, scale: float) -> Tensor:
    from inrgen.kernels.attention import kernels

    joined, grad = joined.contiguous(), grad.contiguous()
    out = torch.empty_like(joined)
    backward = kernels(width)[1]
    arrays = (joined.numpy(), grad.numpy(), out.numpy(), np.float32(scale))
    share_out(lambda low, high: backward(*arrays, low, high), len(joined), _work(joined, width))
    return out


def _work(joined: Tensor, width: int) -> int:
    """Number of pairs of units in all heads of an INR."""
    return joined.shape[2] // (3 * width) * joined.shape[1] ** 2


@_attend.register_fake
def _(joined: Tensor, width: int, scale: float) -> Tensor:
    return joined.new_empty(joined.shape[0], joined.shape[1], joined.shape[2] // 3)


@_attend_backward.register_fake
def _(joined: Tensor, grad: Tensor, width: int, scale: float) -> Tensor:
    return torch.empty_like(joined, memory_format=torch.contiguous_format)


# Shares are recomputed in the backward pass, so the inputs are all that is kept.
def _setup_context(ctx, inputs: tuple, output: Tensor) -> None:
    joined, ctx.width, ctx.scale = inputs
    ctx.save_for_backward(joined)


def _backward(ctx, grad: Tensor) -> tuple:
    return _attend_backward(*ctx.saved_tensors, grad, ctx.width, ctx.scale), None, None


_attend.register_autograd(_backward, setup_context=_setup_context)


def start_weight(weight: Tensor, num_in: int, num_out: int) -> None:
    """DWSNets' initialisation: normal, with variance 4 num_in / (num_out (num_in + num_out))."""
    nn.init.normal_(weight, std=2.0 * math.sqrt(num_in / (num_out * (num_in + num_out))))


def start_bias(bias: Tensor) -> None:
    """DWSNets' initialisation: uniform, near zero."""
    nn.init.uniform_(bias, -1e-4, 1e-4)


def stacked_linear(num_in: Sequence[int], num_out: int) -> nn.Linear:
    """The sum of linear maps of several inputs as one map, with each part initialised alone."""
    linear = nn.Linear(sum(num_in), num_out)
    with torch.no_grad():
        for block, num in zip(linear.weight.split(list(num_in), dim=1), num_in, strict=True):
            start_weight(block, num, num_out)
        start_bias(linear.bias)
    return linear


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """A set function from a source tensor with num_in channels to `groups` feature groups."""

    source: int
    target: int
    num_in: int
    groups: int


class SetAttention(nn.Module):
    """All set functions over the units of one hidden layer: set attention blocks, side by side.

    A block (arXiv 1810.00825, section 3.1, with inputs as both queries and keys) maps units x to
    o + relu(A o) with o = q + softmax(q k / sqrt(c)) v in each head, so its outputs are reordered
    with its inputs. c counts all channels of the block, as in published code, so a target with
    several groups has wider heads. Blocks whose heads are equally wide form a single attention.
    """

    def __init__(
        self, routes: Sequence[Route], channels: int, heads: int, heads_per: HeadsPer = "block"
    ) -> None:
        super().__init__()
        self.routes = sorted(routes, key=lambda r: (r.source, r.target))
        self.sources = sorted({r.source for r in routes})
        self.targets = sorted({r.target for r in routes})
        self.channels, self.heads, self.heads_per = channels, heads, heads_per
        # For each source its routes by the width of their heads.
        self.alike = [
            self._by_width([r for r in self.routes if r.source == s]) for s in self.sources
        ]
        self.widths = sorted({width for alike in self.alike for width in alike})
        self.asks = nn.ModuleList(self._queries_keys_values(alike) for alike in self.alike)
        self.answers = nn.ParameterList()
        self.offsets = nn.ParameterList()
        for target in self.targets:
            here = [r for r in self.routes if r.target == target]
            size = self._size(here[0])
            self.answers.append(torch.empty(len(here), size, size))
            self.offsets.append(torch.empty(len(here), 1, size))
            start_weight(self.answers[-1], size, size)
            start_bias(self.offsets[-1])

    def _size(self, route: Route) -> int:
        """Number of features of a route."""
        return route.groups * self.channels

    def _by_width(self, routes: Sequence[Route]) -> dict[int, list[Route]]:
        """Routes by the number of channels of each of their heads."""
        found: dict[int, list[Route]] = {}
        for route in routes:
            channels = self._size(route) if self.heads_per == "block" else self.channels
            found.setdefault(channels // self.heads, []).append(route)
        return found

    def _queries_keys_values(self, alike: dict[int, list[Route]]) -> nn.Linear:
        """The map from a source's units to queries, keys and values for each of its routes.

        Its rows are all queries, all keys and all values, each in the order of the routes.
        """
        routes = list(chain(*alike.values()))
        num_in, sizes = routes[0].num_in, 3 * [self._size(r) for r in routes]
        linear = nn.Linear(num_in, sum(sizes))
        with torch.no_grad():
            for block, size in zip(linear.weight.split(sizes), sizes, strict=True):
                start_weight(block, num_in, size)
            start_bias(linear.bias)
        return linear

    def forward(self, units: Mapping[int, Tensor]) -> dict[int, Float[Tensor, "b h _o"]]:
        """For each target, the sum of the blocks that lead to it.

        Args:
            units: the channels of every unit of each source, (b, h, num_in).
        """
        parts, shape = self._attention(units), units[self.sources[0]].shape[:2]
        found = {}
        for target, answer, offset in zip(self.targets, self.answers, self.offsets, strict=True):
            mine = [parts[r] for r in self.routes if r.target == target]
            stacked = torch.stack([p.flatten(0, 1) for p in mine])
            total = (stacked + torch.relu(torch.baddbmm(offset, stacked, answer))).sum(dim=0)
            found[target] = total.unflatten(0, shape)
        return found

    def _attention(self, units: Mapping[int, Tensor]) -> dict[Route, Float[Tensor, "b h _o"]]:
        """The attention output o of each route."""
        asked = [self._asked(turn, units[source]) for turn, source in enumerate(self.sources)]
        found: dict[Route, Tensor] = {}
        for width in self.widths:
            joined = [parts[width] for parts in asked if width in parts]
            routes = [alike[width] for alike in self.alike if width in alike]
            scale = 1.0 / math.sqrt(width * self.heads)
            # The kernel takes each source alone, without the copy that joining them would need.
            if is_compiled_for(joined[0].device, joined[0].dtype, width):
                drawn = [attend_compiled(x, width, scale) for x in joined]
            else:
                # One launch for all sources.
                query, key, value = (
                    torch.cat(part, dim=2)
                    for part in zip(*(x.chunk(3, dim=2) for x in joined), strict=True)
                )
                drawn, routes = [attend(query, key, value, width, scale)], [list(chain(*routes))]
            for x, here in zip(drawn, routes, strict=True):
                found |= zip(here, x.split([self._size(r) for r in here], dim=2), strict=True)
        return found

    def _asked(self, turn: int, x: Tensor) -> dict[int, Tensor]:
        """Queries, keys and values of a source, joined in this order for each width of heads."""
        alike, joined = self.alike[turn], self.asks[turn](x)
        if len(alike) == 1:
            return {width: joined for width in alike}
        sizes = [sum(map(self._size, routes)) for routes in alike.values()]
        parts = joined.unflatten(2, (3, -1)).split(sizes, dim=3)
        return {width: part.flatten(2) for width, part in zip(alike, parts, strict=True)}
