"""Coordinate descent of weight matching, compiled for the CPU or over tensors on any device.

Both give the same results. The compiled one keeps a pair in cache from start to end and is
faster on a CPU. Over tensors, all pairs advance in step: batched products on the device make one
layer's gains, and the CPU solves the assignments.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import chain

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from inrgen.core import symmetry
from inrgen.core.assignment import improve_assignments, share_out
from inrgen.core.config import Kind
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.core.symmetry import Symmetry

# Entries of gain matrices held at once by the descent over tensors, so that wide nets fit: 64 MB.
_CHUNK_ENTRIES = 1 << 23


def _padded(
    layers: tuple[Int[Tensor, "b _h"], ...], spec: InrSpec, filling: Int[Tensor, " w"]
) -> np.ndarray:
    """Stack layers to (b, layers, units); entries for coordinates and outputs keep the filling."""
    table = filling.repeat(len(layers[0]), len(spec.widths), 1)
    for layer, choice in enumerate(layers):
        table[:, layer + 1, : choice.shape[1]] = choice
    return table.numpy()


def descend_compiled(
    spec: InrSpec,
    reference: Params,
    params: Params,
    kind: Kind,
    sweeps: Sequence[tuple[int, ...]],
    start: Symmetry,
    ends: Float[Tensor, "b k h"] | None = None,
) -> Symmetry:
    """The compiled descent: the element at which it ends, for every pair.

    Args:
        sweeps: the hidden layers in order, one tuple a sweep.
        start: the element at which each descent starts.
        ends: biases and outgoing weights of the last hidden layer, which open the descent.
    """
    # numba is slow to load, and absent on bare GPU machines
    from inrgen.kernels import matching as kernel

    kinds = {"permutation": kernel.PERMUTATION, "signed": kernel.SIGNED, "phase": kernel.PHASE}
    one, two = reference.flat().numpy(), params.flat().numpy()
    finite = np.isfinite(two).all(axis=1) & np.isfinite(one).all(axis=1)
    widths = np.array(spec.widths)
    steps = np.array([math.pi / omega for omega in spec.omega])
    units = torch.arange(max(spec.widths))
    orders = _padded(start.permutations, spec, units)
    signs = _padded(start.signs, spec, torch.ones_like(units))
    phases = _padded(start.phases, spec, torch.zeros_like(units))
    order = np.array(sweeps)
    opening = np.empty((0, 1, 1)) if ends is None else ends.contiguous().numpy()

    def work(low: int, high: int) -> None:
        chosen = orders, signs, phases
        kernel.descend(
            one, two, finite, widths, steps, order, kinds[kind], opening, *chosen, low, high
        )

    # A pair takes about ten assignments.
    share_out(work, len(params), 10 * max(spec.widths) ** 2)
    hidden = list(enumerate(spec.widths[1:-1], start=1))
    return Symmetry(
        permutations=tuple(torch.from_numpy(orders[:, l, :h].copy()) for l, h in hidden),
        signs=tuple(torch.from_numpy(signs[:, l, :h].copy()) for l, h in hidden),
        phases=tuple(torch.from_numpy(phases[:, l, :h].copy()) for l, h in hidden),
        omega=spec.omega,
    )


def descend_tensors(
    spec: InrSpec,
    reference: Params,
    params: Params,
    kind: Kind,
    sweeps: Sequence[tuple[int, ...]],
    start: Symmetry,
    ends: Float[Tensor, "b k h"] | None = None,
) -> Symmetry:
    """The descent over tensors, with the arguments of descend_compiled."""
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
    """Permutation, sign and phase of one layer's units, as in Symmetry, for some pairs."""

    order: Int[Tensor, "r h"]
    sign: Int[Tensor, "r h"]
    phase: Int[Tensor, "r h"]

    def set(self, rows: Int[Tensor, " r"], choice: "_Choice") -> None:
        """Replace the entries of some rows by choice."""
        self.order[rows], self.sign[rows] = choice.order, choice.sign
        self.phase[rows] = choice.phase


@dataclass(frozen=True, kw_only=True, slots=True)
class _Products:
    """Products of one layer's weights for some pairs: the terms of its gains.

    Attributes:
        incoming: products of incoming weights, for each pair of units.
        outgoing: products of outgoing weights, for each pair of units.
        bias_1: biases of the reference.
        bias_2: biases of the INR to align.
    """

    incoming: Float[Tensor, "r h h"]
    outgoing: Float[Tensor, "r h h"]
    bias_1: Float[Tensor, "r h"]
    bias_2: Float[Tensor, "r h"]


class _Descent:
    """Coordinate descent of a chunk of pairs in step, without layers that cannot change.

    A layer's gains depend on its neighbours alone, so a pair solves it again only after one of
    them changed. Prices of its last solution start the next one.
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
            # The opening gave the first layer all its connections, unless it is also the last.
            stale[:, 0] &= self._num_hidden == 1
        for layer in chain.from_iterable(sweeps):
            rows = stale[:, layer].nonzero()[:, 0]
            if len(rows) == 0:
                if not bool(stale.any()):
                    break
                continue
            products = self._products(layer, rows, state)
            changed, choice, prices[layer][rows] = self._solve(
                layer, rows, state[layer], products, prices[layer][rows], kind
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
        """Match layers from the last to the first, each by its connections to matched layers."""
        for layer in range(self._num_hidden - 1, -1, -1):
            products = self._products(layer, rows, state)
            if layer == self._num_hidden - 1:
                outgoing = self._reference_rows(self._one.weights[-1], rows).mT @ ends[rows, 1:]
                products = replace(products, outgoing=outgoing, bias_2=ends[rows, 0])
            if layer > 0:
                products = replace(products, incoming=torch.zeros_like(products.incoming))
            _, choice, prices[layer][rows] = self._solve(
                layer, rows, state[layer], products, prices[layer][rows], kind
            )
            state[layer].set(rows, choice)

    def _reference_rows(self, tensor: Tensor, rows: Tensor) -> Tensor:
        """Rows of a reference tensor, which all pairs may share."""
        return tensor[rows] if len(tensor) > 1 else tensor.expand(len(rows), *tensor.shape[1:])

    def _products(self, layer: int, rows: Int[Tensor, " r"], state: list[_Choice]) -> _Products:
        """The products of a layer under the current choices of its neighbours."""
        one, two = self._one, self._two
        if layer == 0:
            incoming = self._first[rows]
        else:
            below = state[layer - 1]
            order = below.order[rows]
            signs = below.sign[rows] * symmetry.parity(below.phase[rows])
            weights = _columns(two.weights[layer][rows], order) * signs[:, None, :]
            incoming = torch.bmm(self._reference_rows(one.weights[layer], rows), weights.mT)
        if layer == self._num_hidden - 1:
            outgoing = self._last[rows]
        else:
            above = state[layer + 1]
            order, signs = above.order[rows], above.sign[rows]
            weights = _columns(two.weights[layer + 1][rows].mT, order).mT * signs[:, :, None]
            outgoing = torch.bmm(self._reference_rows(one.weights[layer + 1], rows).mT, weights)
        return _Products(
            incoming=incoming,
            outgoing=outgoing,
            bias_1=self._reference_rows(one.biases[layer], rows),
            bias_2=two.biases[layer][rows],
        )

    def _solve(
        self,
        layer: int,
        rows: Int[Tensor, " r"],
        state: _Choice,
        products: _Products,
        prices: Float[Tensor, "r h"],
        kind: Kind,
    ) -> tuple[Bool[Tensor, " r"], _Choice, Float[Tensor, "r h"]]:
        """The best choice for one layer of the pairs at rows, the others held."""
        old = _Choice(order=state.order[rows], sign=state.sign[rows], phase=state.phase[rows])
        bias_1, bias_2, omega = products.bias_1, products.bias_2, self._omega[layer]
        incoming, outgoing = products.incoming, products.outgoing
        ways = _ways(kind, incoming, outgoing, bias_1[:, :, None], bias_2[:, None, :], omega)
        gains = reduce(torch.maximum, (gain for gain, _, _ in ways))
        order, changed, prices = improve_assignments(gains, old.order, prices)
        if kind == "permutation":
            choice = replace(old, order=order)
            return changed, choice, prices
        # Only matched entries need to know which way was best.
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
    """The columns in a new order; take_along_dim would spend more time checking indices."""
    return weights.gather(2, order[:, None, :].expand(-1, weights.shape[1], -1))


_Way = tuple[Float[Tensor, "..."], Int[Tensor, "..."], Int[Tensor, "..."]]


def _better(a: _Way, b: _Way) -> _Way:
    """Entry by entry the way with the greater gain; a if they are equal."""
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
    """The ways to match one unit with another: gain, sign and phase of each, entry by entry.

    The gain is the amount that the match takes off half the squared distance, up to a term that
    all assignments share. For a sign s and a parity of k, the best k brings s b_2 + k pi / omega
    nearest to b_1.
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
