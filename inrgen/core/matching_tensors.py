"""Weight matching of many pairs in step, on whatever device their weights are.

Each step makes one layer's gains for all pairs by batched products on the device; assignments are
solved on the CPU. On a CPU the compiled descent (matching_compiled) is faster: same results.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import chain

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from inrgen.core import symmetry
from inrgen.core.assignment import improve_assignments
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.core.symmetry import Kind, Symmetry

# Pairs go through in chunks of so many entries of a gain matrix, so that wide nets fit: 64 MB.
_CHUNK_ENTRIES = 1 << 23


def descend_tensors(
    spec: InrSpec,
    reference: Params,
    params: Params,
    kind: Kind,
    sweeps: Sequence[tuple[int, ...]],
    start: Symmetry,
    ends: Float[Tensor, "b k h"] | None = None,
) -> Symmetry:
    """Where the descent from start ends, for every pair.

    sweeps: the layers in their order. ends: what opens the descent, as in matching.
    """
    size = max(1, _CHUNK_ENTRIES // max(spec.widths[1:-1]) ** 2)
    elements = [start] if len(params) == 0 else []
    for low in range(0, len(params), size):
        rows = slice(low, low + size)
        one = reference if len(reference) == 1 else reference[rows]
        descent = _Descent(
            one.to(params.device, torch.float64), params[rows].to(dtype=torch.float64), spec
        )
        opening = None if ends is None else ends[rows]
        elements.append(descent.run(symmetry.take(start, rows), kind, sweeps, opening))
    return symmetry.cat(elements)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Choice:
    """What one layer's units of some pairs become: as in Symmetry, of a single layer."""

    order: Int[Tensor, "r h"]
    sign: Int[Tensor, "r h"]
    phase: Int[Tensor, "r h"]

    def set(self, rows: Int[Tensor, " r"], choice: "_Choice") -> None:
        """Take the entries of some rows from choice."""
        self.order[rows], self.sign[rows] = choice.order, choice.sign
        self.phase[rows] = choice.phase


@dataclass(frozen=True, kw_only=True, slots=True)
class _Met:
    """What one layer's units of some pairs meet: all that gains are made of.

    incoming, outgoing: products of weights, for each pair of units. bias_1, bias_2: theirs.
    """

    incoming: Float[Tensor, "r h h"]
    outgoing: Float[Tensor, "r h h"]
    bias_1: Float[Tensor, "r h"]
    bias_2: Float[Tensor, "r h"]


class _Descent:
    """Coordinate descent of a chunk of pairs in step, leaving out layers that cannot change.

    A layer's gains depend on its neighbours alone, so it is solved again only where one of them
    has changed since; prices of its last solution start the next one.
    """

    def __init__(self, one: Params, two: Params, spec: InrSpec) -> None:
        self._one, self._two, self._omega = one, two, spec.omega
        self._num_hidden = spec.num_hidden
        self._first = one.weights[0] @ two.weights[0].mT
        self._last = one.weights[-1].mT @ two.weights[-1]

    def run(
        self,
        start: Symmetry,
        kind: Kind,
        sweeps: Sequence[tuple[int, ...]],
        ends: Float[Tensor, "r k h"] | None,
    ) -> Symmetry:
        """The element at which the descent ends."""
        device = self._two.device
        state = [
            _Choice(order=p.clone(), sign=s.clone(), phase=k.clone())
            for p, s, k in zip(start.permutations, start.signs, start.phases, strict=True)
        ]
        prices = [torch.zeros(c.order.shape, dtype=torch.float64, device=device) for c in state]
        finite = self._two.flat().isfinite().all(1) & self._one.flat().isfinite().all(1)
        stale = finite[:, None].repeat(1, self._num_hidden)
        if ends is not None:
            self._open(finite.nonzero()[:, 0], state, prices, kind, ends)
            # The first layer has seen all that it meets, unless it is the last one, too.
            stale[:, 0] &= self._num_hidden == 1
        for layer in chain.from_iterable(sweeps):
            rows = stale[:, layer].nonzero()[:, 0]
            if len(rows) == 0:
                if not bool(stale.any()):
                    break
                continue
            met = self._products(layer, rows, state)
            changed, choice, prices[layer][rows] = self._solve(
                layer, rows, state[layer], met, prices[layer][rows], kind
            )
            stale[rows, layer] = False
            moved = rows[changed]
            for neighbour in (layer - 1, layer + 1):
                if 0 <= neighbour < self._num_hidden:
                    stale[moved, neighbour] = True
            state[layer].set(rows, choice)
        return Symmetry(
            permutations=tuple(c.order for c in state),
            signs=tuple(c.sign for c in state),
            phases=tuple(c.phase for c in state),
            omega=self._omega,
        )

    def _open(
        self,
        rows: Int[Tensor, " r"],
        state: list[_Choice],
        prices: list[Float[Tensor, "b _h"]],
        kind: Kind,
        ends: Float[Tensor, "b k h"],
    ) -> None:
        """Settle layers from the last to the first, each by what it shares with settled ones."""
        for layer in range(self._num_hidden - 1, -1, -1):
            met = self._products(layer, rows, state)
            if layer == self._num_hidden - 1:
                outgoing = self._of_one(self._one.weights[-1], rows).mT @ ends[rows, 1:]
                met = replace(met, outgoing=outgoing, bias_2=ends[rows, 0])
            if layer > 0:
                met = replace(met, incoming=torch.zeros_like(met.incoming))
            _, choice, prices[layer][rows] = self._solve(
                layer, rows, state[layer], met, prices[layer][rows], kind
            )
            state[layer].set(rows, choice)

    def _of_one(self, tensor: Tensor, rows: Tensor) -> Tensor:
        """The rows of the reference, which may be one for all."""
        return tensor[rows] if len(tensor) > 1 else tensor.expand(len(rows), *tensor.shape[1:])

    def _products(self, layer: int, rows: Int[Tensor, " r"], state: list[_Choice]) -> _Met:
        """What the units of a layer meet, as the layers around it stand."""
        one, two = self._one, self._two
        if layer == 0:
            incoming = self._first[rows]
        else:
            below = state[layer - 1]
            order = below.order[rows]
            signs = below.sign[rows] * symmetry.parity(below.phase[rows])
            weights = _columns(two.weights[layer][rows], order) * signs[:, None, :]
            incoming = torch.bmm(self._of_one(one.weights[layer], rows), weights.mT)
        if layer == self._num_hidden - 1:
            outgoing = self._last[rows]
        else:
            above = state[layer + 1]
            order, signs = above.order[rows], above.sign[rows]
            weights = _columns(two.weights[layer + 1][rows].mT, order).mT * signs[:, :, None]
            outgoing = torch.bmm(self._of_one(one.weights[layer + 1], rows).mT, weights)
        return _Met(
            incoming=incoming,
            outgoing=outgoing,
            bias_1=self._of_one(one.biases[layer], rows),
            bias_2=two.biases[layer][rows],
        )

    def _solve(
        self,
        layer: int,
        rows: Int[Tensor, " r"],
        state: _Choice,
        met: _Met,
        prices: Float[Tensor, "r h"],
        kind: Kind,
    ) -> tuple[Bool[Tensor, " r"], _Choice, Float[Tensor, "r h"]]:
        """The best choice for one layer of the pairs at rows, the others held."""
        old = _Choice(order=state.order[rows], sign=state.sign[rows], phase=state.phase[rows])
        bias_1, bias_2, omega = met.bias_1, met.bias_2, self._omega[layer]
        incoming, outgoing = met.incoming, met.outgoing
        ways = _ways(kind, incoming, outgoing, bias_1[:, :, None], bias_2[:, None, :], omega)
        gains = reduce(torch.maximum, (gain for gain, _, _ in ways))
        order, changed, prices = improve_assignments(gains, old.order, prices)
        if kind == "permutation":
            choice = replace(old, order=order)
            return changed, choice, prices
        # Which way was best is asked of the matched entries alone.
        at = order[:, :, None]
        _, sign, phase = reduce(
            _better,
            _ways(
                kind,
                incoming.gather(2, at)[:, :, 0],
                outgoing.gather(2, at)[:, :, 0],
                bias_1,
                bias_2.gather(1, order),
                omega,
            ),
        )
        sign, phase = sign.expand_as(order), phase.expand_as(order)
        changed = changed | ((sign != old.sign) | (phase != old.phase)).any(dim=1)
        return changed, _Choice(order=order, sign=sign, phase=phase), prices


def _columns(weights: Float[Tensor, "r o h"], order: Int[Tensor, "r h"]) -> Float[Tensor, "r o h"]:
    """The columns in a new order; gather, since take_along_dim spends more on checking indices."""
    return weights.gather(2, order[:, None, :].expand(-1, weights.shape[1], -1))


_Way = tuple[Float[Tensor, "..."], Int[Tensor, "..."], Int[Tensor, "..."]]


def _better(a: _Way, b: _Way) -> _Way:
    """Entry by entry the way of greater gain; the first of equals."""
    wins = b[0] > a[0]
    gain, sign, phase = (torch.where(wins, y, x) for x, y in zip(a, b, strict=True))
    return gain, sign, phase


def _ways(
    kind: Kind,
    incoming: Float[Tensor, "..."],
    outgoing: Float[Tensor, "..."],
    bias_1: Float[Tensor, "..."],
    bias_2: Float[Tensor, "..."],
    omega: float,
) -> Iterator[_Way]:
    """The ways for one unit to stand for another: gain, sign and phase of each, entry by entry.

    The gain is what the match takes off half the squared distance, up to a term that is the same
    for all assignments. For a sign s and a parity of k the best k is that which brings
    s b_2 + k pi / omega nearest to b_1.
    """
    whole = torch.zeros((), dtype=torch.int64, device=incoming.device)
    if kind != "phase":
        score = torch.addcmul(incoming, bias_1, bias_2) + outgoing
        yield score, whole + 1, whole
        if kind == "signed":
            yield -score, whole - 1, whole
        return
    step = math.pi / omega
    for sign in (1, -1):
        for odd in (0, 1):
            away = (bias_1 - sign * bias_2) / step
            phase = odd + 2 * torch.round((away - odd) / 2)
            bias = sign * bias_2 + phase * step
            gain = sign * incoming + (bias_1 - bias / 2) * bias
            yield gain + sign * (1 - 2 * odd) * outgoing, whole + sign, phase.long()
