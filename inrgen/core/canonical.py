"""Canonical form: one representative of all INRs that symmetries carry into each other."""

import math

import torch

from inrgen.core import symmetry
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.core.symmetry import Symmetry


def canonical_symmetry(spec: InrSpec, params: Params) -> Symmetry:
    """What carries each INR to its canonical form: units by rising bias, biases folded.

    Per hidden layer of a sine network each bias is folded into half a period about zero and made
    positive by the unit's sign; tanh has the sign alone, ReLU neither. Then units are sorted. A
    bias is moved by no element of another layer, so all members of an orbit come out equal.

    It jumps where biases are near zero, or near each other, which those of zero-initialised fits
    are: INRs that are close need not have close canonical forms. Prefer a template. An INR that
    is not finite gets the identity.
    """
    still = symmetry.identity(spec, len(params), params.device)
    permutations, signs, phases = [], [], []
    for layer, bias in enumerate(params.biases[:-1]):
        value = bias.detach().double()
        turns = torch.zeros_like(value)
        if spec.activation == "sine":
            step = math.pi / spec.omega[layer]
            turns = torch.round(value / step)
            value = value - turns * step
        sign = torch.ones_like(value)
        if spec.activation in ("sine", "tanh"):
            sign = torch.where(value < 0, -sign, sign)
        order = (sign * value).argsort(dim=1, stable=True)
        permutations.append(order)
        signs.append(sign.gather(1, order).long())
        phases.append(-(sign * turns).nan_to_num().gather(1, order).long())
    found = Symmetry(
        permutations=tuple(permutations),
        signs=tuple(signs),
        phases=tuple(phases),
        omega=spec.omega,
    )
    return symmetry.where(params.flat().isfinite().all(dim=1), found, still)


def canonical_form(spec: InrSpec, params: Params) -> Params:
    """The representative itself: the same functions, the same for a whole orbit, to rounding."""
    return symmetry.apply(params, canonical_symmetry(spec, params))
