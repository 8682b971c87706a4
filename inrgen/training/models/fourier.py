"""Random Fourier features of single numbers."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn


class FourierFeatures(nn.Module):
    """cos(2 pi f x) and sin(2 pi f x) for normal frequencies f that do not learn.

    A network reads small differences of a number far better from these than from the number
    (arXiv 2006.10739).
    """

    frequencies: Tensor

    def __init__(self, num: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.randn(num))

    def forward(self, x: Float[Tensor, "*s"]) -> Float[Tensor, "*s wide"]:
        """All cosines, then all sines, on a new last axis."""
        angle = x[..., None] * (2.0 * math.pi * self.frequencies)
        return torch.cat([angle.cos(), angle.sin()], dim=-1)
