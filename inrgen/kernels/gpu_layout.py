"""Memory layout of an INR in the GPU fit kernel: blocks of H columns, padded with zeros.

H is a power of two that holds every hidden layer. First comes the thin block of 16 rows: one row
for each column of the first weight, for each hidden bias and for each row of the last weight, and
one for the last bias. Each hidden weight follows as (in, out), H rows each. Padding stays zero
during a fit: its features are sin(0), and its gradients are products with zeros.

This file needs no triton, unlike the kernel.
"""

from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

# Rounding of the operands of products; fit/gpu_launch.py defines each mode.
Mode = Literal["float32", "mixed", "tf32"]
Widths = tuple[int, ...]

# The rows of the thin block: three inputs, three hidden biases, four outputs, one last bias.
THIN_ROWS = 16
HIDDEN_BIAS = 3
LAST_WEIGHT = 6
LAST_BIAS = 10
MAX_OUTPUTS = LAST_BIAS - LAST_WEIGHT
_PADDED_WIDTHS = (16, 32, 64)
MAX_WIDTH = _PADDED_WIDTHS[-1]


def padded_width(widths: Widths) -> int:
    """H: the power of two that holds every hidden layer."""
    return next(width for width in _PADDED_WIDTHS if width >= max(widths[1:-1]))


def num_rows(widths: Widths) -> int:
    """Number of rows of H columns that an INR takes."""
    return THIN_ROWS + (len(widths) - 3) * padded_width(widths)


def places(widths: Widths) -> Int[Tensor, " p"]:
    """The place of each entry of a flat row of parameters, counted from the INR's first entry."""
    width, last = padded_width(widths), len(widths) - 2
    parts = []
    for layer, (fan_in, fan_out) in enumerate(pairwise(widths)):
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


def pack(widths: Widths, flat: Float[Tensor, "b p"]) -> Float[Tensor, "b r h"]:
    """Bring flat rows into the kernel's layout, on the same device."""
    rows, width = num_rows(widths), padded_width(widths)
    packed = flat.new_zeros((len(flat), rows * width))
    packed[:, places(widths).to(flat.device)] = flat
    return packed.reshape(len(flat), rows, width)


def unpack(widths: Widths, packed: Float[Tensor, "b r h"]) -> Float[Tensor, "b p"]:
    """The inverse of pack."""
    return packed.flatten(1)[:, places(widths).to(packed.device)]
