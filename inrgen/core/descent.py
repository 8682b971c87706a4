"""Coordinate descent of weight matching, for a batch of pairs.

A pair stays in the cache of one CPU core from its first sweep to its last. Weights on a GPU are
copied to the CPU for it: solving assignments takes most of the time, and runs on the CPU anyway.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from inrgen.core.config import Kind
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.core.symmetry import Symmetry
from inrgen.kernels import share_out


def _padded(
    layers: tuple[Int[Tensor, "b _h"], ...], spec: InrSpec, filling: Int[Tensor, " w"]
) -> np.ndarray:
    """Stack layers to (b, layers, units); entries for coordinates and outputs keep the filling."""
    # The kernel indexes coordinates and outputs like hidden layers, which saves it branches.
    table = filling.repeat(len(layers[0]), len(spec.widths), 1)
    for layer, choice in enumerate(layers):
        table[:, layer + 1, : choice.shape[1]] = choice
    return table.numpy()


def _unpadded(
    table: np.ndarray, spec: InrSpec, device: torch.device
) -> tuple[Int[Tensor, "b _h"], ...]:
    """The inverse of _padded, on a device."""
    hidden = enumerate(spec.widths[1:-1], start=1)
    # Copied, because views would keep the padded table in memory.
    return tuple(torch.from_numpy(table[:, l, :h].copy()).to(device) for l, h in hidden)


def descend(
    spec: InrSpec,
    reference: Params,
    params: Params,
    kind: Kind,
    sweeps: Sequence[tuple[int, ...]],
    start: Symmetry,
    ends: Float[Tensor, "b k h"] | None = None,
) -> Symmetry:
    """The element at which the descent ends, for every pair, on the device of params.

    Args:
        reference: as many INRs as params, or one for all of them.
        sweeps: the hidden layers in order, one tuple a sweep.
        start: the element at which each descent starts.
        ends: biases and outgoing weights of the last hidden layer, which open the descent.
    """
    # numba is slow to load, so only a match loads it.
    from inrgen.kernels import matching as kernel

    kinds = {"permutation": kernel.PERMUTATION, "signed": kernel.SIGNED, "phase": kernel.PHASE}
    one, two = reference.flat().cpu().numpy(), params.flat().cpu().numpy()
    # No comparison with NaN holds, so the search would not end for such a pair.
    finite = np.isfinite(two).all(axis=1) & np.isfinite(one).all(axis=1)
    widths = np.array(spec.widths)
    steps = np.array([math.pi / omega for omega in spec.omega])
    units = torch.arange(max(spec.widths))
    orders = _padded(start.permutations, spec, units)
    signs = _padded(start.signs, spec, torch.ones_like(units))
    phases = _padded(start.phases, spec, torch.zeros_like(units))
    order = np.array(sweeps, dtype=np.int64).reshape(-1, spec.num_hidden)
    opening = np.empty((0, 1, 1)) if ends is None else ends.cpu().contiguous().numpy()

    def work(low: int, high: int) -> None:
        chosen = orders, signs, phases
        kernel.descend(
            one, two, finite, widths, steps, order, kinds[kind], opening, *chosen, low, high
        )

    # A pair takes about ten assignments, each of the order of its gain matrix.
    share_out(work, len(params), 10 * max(spec.widths) ** 2)
    return replace(
        start,
        permutations=_unpadded(orders, spec, params.device),
        signs=_unpadded(signs, spec, params.device),
        phases=_unpadded(phases, spec, params.device),
    )
