"""Weight matching of many pairs on a CPU: the compiled descent, shared out to threads."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from inrgen.core.assignment import share_out
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.core.symmetry import Kind, Symmetry


def _padded(
    layers: tuple[Int[Tensor, "b _h"], ...], spec: InrSpec, filling: Int[Tensor, " w"]
) -> np.ndarray:
    """(b, layers, units); the entries for coordinates and outputs stay as filled."""
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
    """Where the descent from start ends, for every pair.

    sweeps: the layers in their order. ends: what opens the descent, as in matching.
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

    # About ten assignments a pair.
    share_out(work, len(params), 10 * max(spec.widths) ** 2)
    hidden = list(enumerate(spec.widths[1:-1], start=1))
    return Symmetry(
        permutations=tuple(torch.from_numpy(orders[:, l, :h].copy()) for l, h in hidden),
        signs=tuple(torch.from_numpy(signs[:, l, :h].copy()) for l, h in hidden),
        phases=tuple(torch.from_numpy(phases[:, l, :h].copy()) for l, h in hidden),
        omega=spec.omega,
    )
