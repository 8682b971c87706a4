"""The transform protocol, and draws as named tensors that can be stored and rebuilt."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

import torch
from jaxtyping import Int
from torch import Tensor

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec

Draw = TypeVar("Draw")


class Transform(Protocol[Draw]):
    """A random change to a batch of weights, split so that every random choice is data.

    A draw is a frozen dataclass of tensors, one row for each INR, with the few facts of the spec
    that apply needs (omega, output offset). So apply takes no spec, and a stored draw replays.
    """

    def draw(self, spec: InrSpec, keys: Int[Tensor, " b"]) -> Draw:
        """Choose for each INR from its own key, without seeing weights.

        Raises ValueError for a spec on which this transform has no meaning.
        """
        ...

    def apply(self, params: Params, draw: Draw) -> Params:
        """Carry the choice out, without randomness and without writing into an argument."""
        ...


def _map_tensors(value: Any, name: str, function: Callable[[str, Tensor], Tensor]) -> Any:
    """Rebuild a structure with function(name, tensor) in place of every tensor."""
    if isinstance(value, Tensor):
        return function(name, value)
    prefix = f"{name}." if name else ""
    # Tensors in tuples get their place as a name; stores of drawn bytes rely on this order.
    if isinstance(value, tuple):
        return tuple(_map_tensors(part, f"{prefix}{i}", function) for i, part in enumerate(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            f.name: _map_tensors(getattr(value, f.name), f"{prefix}{f.name}", function)
            for f in dataclasses.fields(value)
        }
        return dataclasses.replace(value, **fields)
    return value


def draw_tensors(draw: Any) -> dict[str, Tensor]:
    """List every tensor of a draw by its path, such as "permutations.0"; row r is INR r's."""
    found: dict[str, Tensor] = {}

    def note(name: str, tensor: Tensor) -> Tensor:
        found[name] = tensor
        return tensor

    _map_tensors(draw, "", note)
    return found


def draw_rows(draw: Draw, index: slice | Tensor) -> Draw:
    """Select the draw of the INRs at index."""
    return _map_tensors(draw, "", lambda name, tensor: tensor[index])


def rebuild_draw(transform: Transform[Draw], spec: InrSpec, tensors: Mapping[str, Tensor]) -> Draw:
    """Rebuild a draw from the tensors that draw_tensors listed, so that apply replays it.

    Raises ValueError for tensors that this transform does not draw on this spec.
    """
    device = next(iter(tensors.values())).device if tensors else None
    no_keys: Int[Tensor, " b"] = torch.zeros(0, dtype=torch.int64, device=device)
    # A draw of no INRs has every name, shape and dtype, and the facts of the spec.
    empty = transform.draw(spec, no_keys)
    expected = draw_tensors(empty)
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

    return _map_tensors(empty, "", stored)
