"""Draws as named tensors: to store them, take rows of them, and build them again."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from jaxtyping import Int
from torch import Tensor

from inrgen.core.spec import InrSpec
from inrgen.transforms.base import Transform

D = TypeVar("D")


def _walk(value: Any, name: str, function: Callable[[str, Tensor], Tensor]) -> Any:
    """The same structure with function(name, tensor) in the place of every tensor."""
    if isinstance(value, Tensor):
        return function(name, value)
    prefix = f"{name}." if name else ""
    if isinstance(value, tuple):
        return tuple(_walk(part, f"{prefix}{i}", function) for i, part in enumerate(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            f.name: _walk(getattr(value, f.name), f"{prefix}{f.name}", function)
            for f in dataclasses.fields(value)
        }
        return dataclasses.replace(value, **fields)
    return value


def tensors_of(draw: Any) -> dict[str, Tensor]:
    """Every tensor of a draw by its place in it, such as "permutations.0"; row r is INR r's."""
    found: dict[str, Tensor] = {}

    def note(name: str, tensor: Tensor) -> Tensor:
        found[name] = tensor
        return tensor

    _walk(draw, "", note)
    return found


def rows_of(draw: D, index: slice | Tensor) -> D:
    """The draw of the INRs at index alone."""
    return _walk(draw, "", lambda name, tensor: tensor[index])


def rebuild(transform: Transform[D], spec: InrSpec, tensors: Mapping[str, Tensor]) -> D:
    """The draw of a transform from the tensors that tensors_of gave; apply then replays it.

    Raises ValueError for tensors that are not those of this transform on this spec.
    """
    device = next(iter(tensors.values())).device if tensors else None
    no_keys: Int[Tensor, " b"] = torch.zeros(0, dtype=torch.int64, device=device)
    like = transform.draw(spec, no_keys)
    expected = tensors_of(like)
    if set(expected) != set(tensors):
        raise ValueError(f"tensors needs exactly {sorted(expected)}; got {sorted(tensors)}")

    def stored(name: str, tensor: Tensor) -> Tensor:
        found = tensors[name]
        if found.shape[1:] != tensor.shape[1:] or found.dtype != tensor.dtype:
            raise ValueError(
                f"tensors[{name!r}] needs rows of {tuple(tensor.shape[1:])}, {tensor.dtype}; "
                f"got {tuple(found.shape[1:])}, {found.dtype}"
            )
        return found

    return _walk(like, "", stored)
