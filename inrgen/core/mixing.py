"""Points between INRs, and labels that mix in the same proportion (mixup, arXiv 1710.09412)."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from inrgen.core.params import Params
from inrgen.core.siren import evaluate
from inrgen.core.spec import InrSpec


def _spread(choice: Tensor, tensor: Tensor) -> Tensor:
    """One number an INR, shaped to act on a tensor of that INR."""
    return choice.reshape(-1, *[1] * (tensor.ndim - 1))


def mix(first: Params, second: Params, lam: Float[Tensor, " b"]) -> Params:
    """lam * first + (1 - lam) * second, one lam an INR."""

    def mixed(a: Tensor, b: Tensor) -> Tensor:
        share = _spread(lam.to(a.dtype), a)
        return share * a + (1.0 - share) * b

    return Params(
        weights=tuple(map(mixed, first.weights, second.weights)),
        biases=tuple(map(mixed, first.biases, second.biases)),
    )


def select(mask: Bool[Tensor, " b"], yes: Params, no: Params) -> Params:
    """The INRs of yes where mask holds and of no elsewhere."""

    def chosen(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(_spread(mask, a), a, b)

    return Params(
        weights=tuple(map(chosen, yes.weights, no.weights)),
        biases=tuple(map(chosen, yes.biases, no.biases)),
    )


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
    """Soft labels mixed as mix does the weights."""
    share = lam.to(first.dtype)[:, None]
    return share * first + (1.0 - share) * second


def smooth_labels(labels: Float[Tensor, "b c"], strength: float) -> Float[Tensor, "b c"]:
    """(1 - e) y + e / K, to be done after mixing."""
    if not 0.0 <= strength <= 1.0:
        raise ValueError(f"strength must lie in [0, 1]; got {strength}")
    return (1.0 - strength) * labels + strength / labels.shape[1]


def midpoint_error(
    spec: InrSpec,
    first: Params,
    second: Params,
    coords: Float[Tensor, "n d_in"],
) -> Float[Tensor, " b"]:
    """How far the INR halfway between two is from the mean of their functions, in value units.

    Root mean square over the points. For two views of one signal it is the height of the barrier
    on the straight path between them.
    """
    halfway = mix(first, second, torch.full((len(first),), 0.5, device=first.device))
    mean = (evaluate(spec, first, coords) + evaluate(spec, second, coords)) / 2
    return (evaluate(spec, halfway, coords) - mean).square().mean(dim=(1, 2)).sqrt()
