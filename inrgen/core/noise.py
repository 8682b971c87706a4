"""Noise on weights: neither exact nor a motion (arXiv 2402.04081, generic augmentations)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from inrgen.core.params import Params


def add_noise(params: Params, normal: Params, scale: float) -> Params:
    """Each tensor plus scale * std * normal, std being that of that tensor of that INR.

    std is the unbiased one, and is not trained through: its gradient is infinite where a tensor
    is constant, as biases at zero are. A tensor of one element has none and gets no noise.
    """

    def noisy(tensor: Tensor, noise: Tensor) -> Tensor:
        if tensor[0].numel() < 2:
            return tensor
        std = tensor.detach().flatten(1).std(dim=1)
        return tensor + scale * std.reshape(-1, *[1] * (tensor.ndim - 1)) * noise.to(tensor.dtype)

    return Params(
        weights=tuple(map(noisy, params.weights, normal.weights)),
        biases=tuple(map(noisy, params.biases, normal.biases)),
    )


def drop(params: Params, keep: tuple[Bool[Tensor, "b ..."], ...], rescale: float) -> Params:
    """Set entries to zero and multiply the survivors by rescale.

    Args:
        keep: a mask for each tensor in the order of a flat row: weight and bias of each layer.
        rescale: 1 / (1 - p) keeps the expected value of each weight; 1 leaves survivors alone.
    """
    if len(keep) != 2 * len(params.weights):
        raise ValueError(f"keep needs {2 * len(params.weights)} tensors; got {len(keep)}")

    def dropped(tensor: Tensor, mask: Tensor) -> Tensor:
        return torch.where(mask, tensor * rescale, torch.zeros_like(tensor))

    return Params(
        weights=tuple(map(dropped, params.weights, keep[0::2])),
        biases=tuple(map(dropped, params.biases, keep[1::2])),
    )


def drop_below_quantile(params: Params, quantile: Float[Tensor, " b"]) -> Params:
    """Set to zero every entry of an INR that is smaller in size than its quantile of |theta|.

    The quantile is pooled over all weights and biases of that INR, interpolated linearly between
    neighbours (as torch.quantile does, which takes no more than 16 million entries).
    """
    ordered = params.flat().detach().abs().sort(dim=1).values
    place = quantile.to(ordered.dtype) * (ordered.shape[1] - 1)
    low = place.floor().long().clamp(0, ordered.shape[1] - 1)
    high = (low + 1).clamp(max=ordered.shape[1] - 1)
    below = ordered.gather(1, low[:, None])[:, 0]
    above = ordered.gather(1, high[:, None])[:, 0]
    threshold = torch.lerp(below, above, place - low)

    def dropped(tensor: Tensor) -> Tensor:
        small = tensor.detach().abs() < threshold.reshape(-1, *[1] * (tensor.ndim - 1))
        return tensor.masked_fill(small, 0.0)

    return params.map(dropped)
