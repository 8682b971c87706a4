"""How an INR lies in the kernel's memory: blocks of H columns, padded with zeros.

H is a power of two that holds every hidden layer. First comes the thin block of 16 rows: a row
for each column of the first weight, for each hidden bias and for each row of the last weight, and
one for the last bias. Then each hidden weight as (in, out), H rows each. Padding stays at zero
while it is fitted: its features are sin(0), its gradients products with zeros.
"""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from inrgen.core.spec import InrSpec

# How operands of products are rounded; gpu_launch.ROUNDINGS says what each does.
Mode = Literal["float32", "mixed", "tf32"]

# Rows of the thin block: three inputs, three hidden biases, four outputs, one last bias.
THIN_ROWS = 16
HIDDEN_BIAS = 3
LAST_WEIGHT = 6
LAST_BIAS = 10
_WIDTHS = (16, 32, 64)


def why_not(spec: InrSpec) -> str:
    """Why the kernel does not take a spec; "" where it does."""
    if spec.activation != "sine":
        return f"its activation is {spec.activation}, not sine"
    if spec.num_hidden not in (2, 3):
        return f"it has {spec.num_hidden} hidden layers, not 2 or 3"
    if max(spec.widths[1:-1]) > _WIDTHS[-1]:
        return f"a hidden layer is wider than {_WIDTHS[-1]}"
    if spec.d_out > LAST_BIAS - LAST_WEIGHT:
        return f"it has {spec.d_out} outputs, more than {LAST_BIAS - LAST_WEIGHT}"
    return ""


def padded_width(spec: InrSpec) -> int:
    """H: the power of two that holds every hidden layer."""
    return next(width for width in _WIDTHS if width >= max(spec.widths[1:-1]))


def num_rows(spec: InrSpec) -> int:
    """How many rows of H an INR has."""
    return THIN_ROWS + (spec.num_hidden - 1) * padded_width(spec)


def places(spec: InrSpec) -> Int[Tensor, " p"]:
    """Where each entry of a flat row of parameters lies, counted from the INR's first entry."""
    width, last = padded_width(spec), spec.num_hidden
    parts = []
    for layer, (fan_in, fan_out) in enumerate(zip(spec.widths, spec.widths[1:], strict=False)):
        out, into = np.meshgrid(np.arange(fan_out), np.arange(fan_in), indexing="ij")
        if layer == 0:
            weight, bias = into * width + out, HIDDEN_BIAS * width
        elif layer < last:
            weight = (THIN_ROWS + (layer - 1) * width + into) * width + out
            bias = (HIDDEN_BIAS + layer) * width
        else:
            weight, bias = (LAST_WEIGHT + out) * width + into, LAST_BIAS * width
        parts += [weight.ravel(), bias + np.arange(fan_out)]
    return torch.from_numpy(np.concatenate(parts))


def pack(spec: InrSpec, flat: Float[Tensor, "b p"]) -> Float[Tensor, "b r h"]:
    """Flat rows as the kernel's blocks, on the same device."""
    rows, width = num_rows(spec), padded_width(spec)
    packed = flat.new_zeros((len(flat), rows * width))
    packed[:, places(spec).to(flat.device)] = flat
    return packed.reshape(len(flat), rows, width)


def unpack(spec: InrSpec, packed: Float[Tensor, "b r h"]) -> Float[Tensor, "b p"]:
    """The inverse of pack."""
    return packed.flatten(1)[:, places(spec).to(packed.device)]
