"""Changes of weights that keep neither the function nor its motion: mixtures, noise, dropping.

Sources: mixup, arXiv 1710.09412; generic augmentations of arXiv 2402.04081.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from inrgen.core.params import Params, map_pairs, per_inr


def mix(first: Params, second: Params, lam: Float[Tensor, " b"]) -> Params:
    """lam * first + (1 - lam) * second, with one lam an INR."""

    def mixed(a: Tensor, b: Tensor) -> Tensor:
        share = per_inr(lam.to(a.dtype), a)
        return share * a + (1.0 - share) * b

    return map_pairs(mixed, first, second)


def one_hot(labels: Int[Tensor, " b"], num_classes: int) -> Float[Tensor, "b c"]:
    """Labels as rows of zeros with a one. Raises ValueError for a label outside the classes."""
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
        raise ValueError(
            f"labels must lie in 0..{num_classes - 1}; got {int(labels.min())}..{int(labels.max())}"
        )
    return torch.nn.functional.one_hot(labels, num_classes).float()


def mix_labels(
    first: Float[Tensor, "b c"], second: Float[Tensor, "b c"], lam: Float[Tensor, " b"]
) -> Float[Tensor, "b c"]:
    """Soft labels, mixed as mix does the weights."""
    share = lam.to(first.dtype)[:, None]
    return share * first + (1.0 - share) * second


def add_noise(params: Params, normal: Params, scale: float) -> Params:
    """Add scale * std * normal to each tensor; std is that of the INR's own tensor.

    std is the unbiased one, and no gradient flows through it. A tensor with one element has no
    std and gets no noise.
    """

    def noisy(tensor: Tensor, noise: Tensor) -> Tensor:
        if tensor[0].numel() < 2:
            return tensor
        # The gradient of a std is infinite where a tensor is constant, as zero biases are.
        std = tensor.detach().flatten(1).std(dim=1)
        return tensor + scale * per_inr(std, tensor) * noise.to(tensor.dtype)

    return map_pairs(noisy, params, normal)


def drop(params: Params, keep: tuple[Bool[Tensor, "b ..."], ...], rescale: float) -> Params:
    """Set entries to zero and multiply the others by rescale.

    Args:
        keep: a mask for each tensor in the order of a flat row: weight and bias of each layer.
        rescale: 1 / (1 - p) keeps the expected value of each weight; 1 changes no survivor.
    """
    if len(keep) != 2 * len(params.weights):
        raise ValueError(f"keep needs {2 * len(params.weights)} tensors; got {len(keep)}")

    def dropped(tensor: Tensor, mask: Tensor) -> Tensor:
        # where keeps a dropped entry at zero even if it is not finite.
        return torch.where(mask, tensor * rescale, torch.zeros_like(tensor))

    return Params(
        weights=tuple(map(dropped, params.weights, keep[0::2])),
        biases=tuple(map(dropped, params.biases, keep[1::2])),
    )


def drop_below_quantile(params: Params, quantile: Float[Tensor, " b"]) -> Params:
    """Set every entry to zero whose absolute value is below the INR's quantile of |theta|.

    The quantile is pooled over all weights and biases of an INR and interpolated linearly.
    """
    # torch.quantile does the same, but refuses more than 16 million entries.
    ordered = params.flat().detach().abs().sort(dim=1).values
    place = quantile.to(ordered.dtype) * (ordered.shape[1] - 1)
    low = place.floor().long().clamp(0, ordered.shape[1] - 1)
    high = (low + 1).clamp(max=ordered.shape[1] - 1)
    below = ordered.gather(1, low[:, None])[:, 0]
    above = ordered.gather(1, high[:, None])[:, 0]
    threshold = torch.lerp(below, above, place - low)

    def dropped(tensor: Tensor) -> Tensor:
        return tensor.masked_fill(tensor.detach().abs() < per_inr(threshold, tensor), 0.0)

    return params.map(dropped)
