"""Draws as bytes, one string for each row, which replay the draw exactly.

The first byte of a row's string is its form. Form "T" holds every tensor of the draw, in the
order of draw_tensors: one digit for its width, then its numbers, little-endian. Whole numbers take
as few bytes as that row's tensor needs, truth values are bits, and others keep their dtype. Form
"K" holds the row's 64-bit key, for draws nearly as large as the weights (noise); drawing again
from the key gives the same bits. Transform and spec decide the form, so a row's bytes depend on no
other row.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, Shaped, UInt8
from torch import Tensor

from inrgen.core.spec import InrSpec
from inrgen.store.derivation import ByteRows
from inrgen.transforms.base import Transform, draw_tensors, rebuild_draw

_WIDTHS = (1, 2, 4, 8)


def _empty_draw(transform: Transform[Any], spec: InrSpec) -> dict[str, Tensor]:
    """Tensors of a draw of no rows, which have its names, shapes and dtypes."""
    return draw_tensors(transform.draw(spec, torch.zeros(0, dtype=torch.int64)))


@lru_cache(maxsize=64)
def stored_as_key(transform: Transform[Any], spec: InrSpec) -> bool:
    """Tell whether draws would take more than a quarter of the bytes of the weights."""
    per_row = 0.0
    for tensor in _empty_draw(transform, spec).values():
        kind_bytes = {torch.bool: 1 / 8, torch.int64: 1}.get(tensor.dtype, tensor.element_size())
        per_row += math.prod(tensor.shape[1:]) * kind_bytes
    return per_row > max(spec.num_params, 256)


@lru_cache(maxsize=64)
def is_small(transform: Transform[Any], spec: InrSpec) -> bool:
    """Tell whether draws take at most half the memory of the weights, so that many fit at once."""
    like = _empty_draw(transform, spec).values()
    per_row = sum(math.prod(t.shape[1:]) * t.element_size() for t in like)
    return per_row <= 2 * spec.num_params


def _widths(values: Int[np.ndarray, "b n"]) -> Int[np.ndarray, " b"]:
    """Fewest bytes that hold the whole numbers of each row."""
    least = np.iinfo(f"i{_WIDTHS[0]}")
    if values.size == 0 or (least.min <= values.min() and values.max() <= least.max):
        return np.full(len(values), _WIDTHS[0])
    low, high = values.min(axis=1, initial=0), values.max(axis=1, initial=0)
    widths = np.full(len(values), _WIDTHS[-1])
    for width in reversed(_WIDTHS[:-1]):
        bounds = np.iinfo(f"i{width}")
        widths[(low >= bounds.min) & (high <= bounds.max)] = width
    return widths


def _body(values: Shaped[np.ndarray, "b n"], width: int) -> UInt8[np.ndarray, "b k"]:
    """Encode a tensor of rows that share one width."""
    if values.dtype == np.bool_:
        return np.packbits(values, axis=1)
    kind = f"<i{width}" if values.dtype == np.int64 else values.dtype.newbyteorder("<")
    return np.ascontiguousarray(values.astype(kind)).view(np.uint8).reshape(len(values), -1)


def _strings(tensors: Sequence[np.ndarray], widths: Sequence[int]) -> UInt8[np.ndarray, "b k"]:
    """Encode rows that share the width of each tensor."""
    bodies = [_body(tensor, width) for tensor, width in zip(tensors, widths, strict=True)]
    size = 1 + sum(1 + body.shape[1] for body in bodies)
    data = np.empty((len(bodies[0]), size), dtype=np.uint8)
    data[:, 0], at = ord("T"), 1
    for body, width in zip(bodies, widths, strict=True):
        data[:, at] = ord(str(width))
        data[:, at + 1 : at + 1 + body.shape[1]] = body
        at += 1 + body.shape[1]
    return data


def encode_tensors(draw: Any) -> ByteRows:
    """Encode the rows of a draw in form "T"."""
    columns = [t.flatten(1) if t.ndim > 1 else t[:, None] for t in draw_tensors(draw).values()]
    tensors = [column.numpy() for column in columns]
    own_width = np.zeros(len(tensors[0]), dtype=int)
    widths = np.stack([_widths(t) if t.dtype == np.int64 else own_width for t in tensors])
    if not widths.shape[1]:
        return ByteRows.from_strings([])
    if (widths == widths[:, :1]).all():
        return ByteRows.from_table(_strings(tensors, widths[:, 0].tolist()))
    kinds, kind_of = np.unique(widths, axis=1, return_inverse=True)
    tables = []
    for kind, of in enumerate(kinds.T.tolist()):
        rows = np.flatnonzero(kind_of.reshape(-1) == kind)
        tables.append((rows, _strings([tensor[rows] for tensor in tensors], of)))
    lengths = np.zeros(widths.shape[1] + 1, dtype=np.int64)
    for rows, table in tables:
        lengths[rows + 1] = table.shape[1]
    starts = np.cumsum(lengths)
    data = np.empty(starts[-1], dtype=np.uint8)
    for rows, table in tables:
        data[starts[rows][:, None] + np.arange(table.shape[1])] = table
    return ByteRows(data=data, starts=starts)


def encode_draw(
    transform: Transform[Any], spec: InrSpec, draw: Any, keys: Int[Tensor, " b"]
) -> ByteRows:
    """Encode the rows of a draw that was made from keys."""
    if not stored_as_key(transform, spec):
        return encode_tensors(draw)
    # The form byte and 8 bytes of key, for all rows at once.
    table = np.full((len(keys), 9), ord("K"), dtype=np.uint8)
    table[:, 1:] = keys.numpy().astype("<i8").view(np.uint8).reshape(-1, 8)
    return ByteRows.from_table(table)


def _decode_row(data: bytes, like: dict[str, Tensor]) -> dict[str, Tensor]:
    """Decode one row in form "T" into tensors without their first axis."""
    found, at = {}, 1
    for name, tensor in like.items():
        shape = tuple(tensor.shape[1:])
        num, width = math.prod(shape), int(data[at : at + 1])
        if tensor.dtype == torch.bool:
            size = -(-num // 8)
            bits = np.frombuffer(data, np.uint8, size, at + 1)
            numbers = np.unpackbits(bits, count=num).astype(np.bool_)
        else:
            own = np.dtype(str(tensor.dtype).removeprefix("torch."))
            kind = np.dtype(f"<i{width}") if width else own.newbyteorder("<")
            size = num * kind.itemsize
            numbers = np.frombuffer(data, kind, num, at + 1).astype(own)
        found[name] = torch.from_numpy(numbers).reshape(shape)
        at += 1 + size
    if at != len(data):
        raise ValueError(f"a draw needs {at} bytes for this transform; got {len(data)}")
    return found


def decode_draw(transform: Transform[Any], spec: InrSpec, data: Sequence[bytes]) -> Any:
    """Decode rows into a draw for transform.apply.

    Raises ValueError for strings that this transform does not make on this spec.
    """
    forms = {text[:1] for text in data}
    if forms == {b"K"}:
        numbers = np.frombuffer(b"".join(text[1:] for text in data), "<i8").astype(np.int64)
        return transform.draw(spec, torch.from_numpy(numbers))
    if forms != {b"T"}:
        raise ValueError(f"draws must all be of form T or all of form K; got {sorted(forms)}")
    like = _empty_draw(transform, spec)
    try:
        rows = [_decode_row(text, like) for text in data]
    except (ValueError, TypeError) as error:
        raise ValueError(f"a draw is not of {transform} on {spec.architecture}: {error}") from error
    return rebuild_draw(
        transform, spec, {name: torch.stack([r[name] for r in rows]) for name in like}
    )
