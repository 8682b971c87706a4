"""A batch of INR weights: to and from flat rows, and between two batches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from inrgen.core.spec import InrSpec


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Params:
    """The weights of b INRs of one spec: weights[l] is (b, out_l, in_l), biases[l] (b, out_l)."""

    weights: tuple[Float[Tensor, "b _o _i"], ...]
    biases: tuple[Float[Tensor, "b _o"], ...]

    def __len__(self) -> int:
        return self.weights[0].shape[0]

    def __repr__(self) -> str:
        widths = [self.weights[0].shape[2], *(w.shape[1] for w in self.weights)]
        architecture = "-".join(map(str, widths))
        return f"Params({len(self):,} INRs of {architecture}, {self.dtype}, {self.device})"

    def __getitem__(self, index: slice | Tensor | Sequence[int]) -> "Params":
        """The INRs at index, as a smaller batch."""
        return self.map(lambda tensor: tensor[index])

    @property
    def device(self) -> torch.device:
        return self.weights[0].device

    @property
    def dtype(self) -> torch.dtype:
        return self.weights[0].dtype

    def map(self, function: Callable[[Tensor], Tensor]) -> "Params":
        """Apply function to every tensor."""
        return Params(
            weights=tuple(function(w) for w in self.weights),
            biases=tuple(function(b) for b in self.biases),
        )

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> "Params":
        """The same weights on another device or in another dtype."""
        return self.map(lambda tensor: tensor.to(device=device, dtype=dtype))

    def flat(self, out: Float[Tensor, "b p"] | None = None) -> Float[Tensor, "b p"]:
        """Flat rows, as in the store: for each layer W row-major as (out, in), then b.

        Args:
            out: tensor to fill and return, instead of a new one.
        """
        parts = []
        for weight, bias in zip(self.weights, self.biases, strict=True):
            parts += [weight.flatten(1), bias]
        return torch.cat(parts, dim=1, out=out)

    @staticmethod
    def from_flat(spec: InrSpec, flat: Float[Tensor, "b p"]) -> "Params":
        """Cut flat rows into layers, as views of flat. Raises ValueError for a wrong row length."""
        if flat.shape[1] != spec.num_params:
            raise ValueError(
                f"flat needs {spec.num_params} parameters a row for {spec.architecture}; "
                f"got {flat.shape[1]}"
            )
        # Views share memory with the rows, so reading a store copies nothing here.
        cuts = [
            flat[:, slot.offset : slot.offset + slot.size].unflatten(1, slot.shape)
            for slot in spec.layers
        ]
        return Params(weights=tuple(cuts[0::2]), biases=tuple(cuts[1::2]))

    @staticmethod
    def cat(batches: Sequence["Params"]) -> "Params":
        """Several batches of one spec as one, in order."""
        return Params(
            weights=tuple(torch.cat(ws) for ws in zip(*(p.weights for p in batches), strict=True)),
            biases=tuple(torch.cat(bs) for bs in zip(*(p.biases for p in batches), strict=True)),
        )


def per_inr(values: Tensor, tensor: Tensor) -> Tensor:
    """Values of b INRs, reshaped to broadcast over a tensor (b, ...) of them."""
    return values.reshape(-1, *[1] * (tensor.ndim - 1))


def map_pairs(function: Callable[[Tensor, Tensor], Tensor], a: Params, b: Params) -> Params:
    """Apply function to every pair of tensors of two batches."""
    return Params(
        weights=tuple(map(function, a.weights, b.weights)),
        biases=tuple(map(function, a.biases, b.biases)),
    )


def select(mask: Bool[Tensor, " b"], yes: Params, no: Params) -> Params:
    """The INRs of yes where mask is true and those of no elsewhere."""

    # where, not a product with the mask: 0 * NaN would be NaN.
    return map_pairs(lambda a, b: torch.where(per_inr(mask, a), a, b), yes, no)
