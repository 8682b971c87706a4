"""Randomness by name: keys from (seed, operation, item, view, epoch), and draws from keys.

A key is a 64-bit hash of a name; a draw is a pure function of (key, position). So what an INR
draws depends on its name alone and never on the batch, the worker or the order it came in.
The mixing function is SplitMix64's (Steele, Lea and Flood, OOPSLA 2014), written in wrapping
int64 arithmetic so that every device gives the same bits.
"""

import hashlib
import math
from collections.abc import Iterable

import torch
from jaxtyping import Float, Int
from torch import Tensor


def _signed(value: int) -> int:
    """The same 64 bits read as a signed integer, which is what torch has."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >= 1 << 63 else value


_GOLDEN = _signed(0x9E3779B97F4A7C15)
_MIX_1 = _signed(0xBF58476D1CE4E5B9)
_MIX_2 = _signed(0x94D049BB133111EB)


def _shift_right(x: Int[Tensor, "*s"], count: int) -> Int[Tensor, "*s"]:
    """A logical shift: torch's >> copies the sign bit, which a hash must not."""
    return (x >> count) & ((1 << (64 - count)) - 1)


def _mix(x: Int[Tensor, "*s"]) -> Int[Tensor, "*s"]:
    x = (x ^ _shift_right(x, 30)) * _MIX_1
    x = (x ^ _shift_right(x, 27)) * _MIX_2
    return x ^ _shift_right(x, 31)


def hash_name(name: str) -> int:
    """64 bits of BLAKE2b of a text, as a signed integer."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little") - (
        1 << 63
    )


def hash_items(item_ids: Iterable[str]) -> Int[Tensor, " b"]:
    """Item ids as int64 hashes: the form that keys takes, worth keeping where it is used often."""
    return torch.tensor([hash_name(item) for item in item_ids], dtype=torch.int64)


def fold(keys: Int[Tensor, " b"], data: int | Int[Tensor, " b"]) -> Int[Tensor, " b"]:
    """New keys from keys and one more part of the name, such as a layer's number."""
    data = torch.as_tensor(data, dtype=torch.int64, device=keys.device)
    return _mix(keys ^ _mix(data + _GOLDEN))


def keys(
    seed: int,
    operation: str,
    items: Int[Tensor, " b"],
    views: int | Int[Tensor, " b"] = 0,
    epoch: int = 0,
) -> Int[Tensor, " b"]:
    """One key an INR, on the device of items.

    Args:
        seed: any integer; the run's.
        operation: what the randomness is for; another operation has other draws.
        items: hash_items of the item ids.
        views: the view of each item.
        epoch: the pass over the data; 0 where the draw must not change.
    """
    start = fold(torch.full_like(items, _signed(seed)), hash_name(operation))
    return fold(fold(fold(start, items), views), epoch)


def bits(keys: Int[Tensor, " b"], num: int, start: int = 0) -> Int[Tensor, "b num"]:
    """64 random bits for each of num positions of each key, from position start on."""
    positions = torch.arange(start + 1, start + num + 1, dtype=torch.int64, device=keys.device)
    return _mix(keys[:, None] + positions * _GOLDEN)


def uniform(
    keys: Int[Tensor, " b"],
    shape: tuple[int, ...] = (),
    low: float = 0.0,
    high: float = 1.0,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "b ..."]:
    """Uniform numbers in [low, high): one block of the given shape a key."""
    digits = 53 if dtype == torch.float64 else 24
    unit = _shift_right(bits(keys, math.prod(shape)), 64 - digits).to(dtype) * 2.0**-digits
    value = low + (high - low) * unit
    if high > low:
        # Rounding takes the last numbers below the end up to it, where the end is far from zero.
        end = torch.tensor(high, dtype=dtype)
        value = value.clamp(max=torch.nextafter(end, torch.full_like(end, low)).item())
    return value.reshape(len(keys), *shape)


def normal(
    keys: Int[Tensor, " b"], shape: tuple[int, ...] = (), dtype: torch.dtype = torch.float32
) -> Float[Tensor, "b ..."]:
    """Standard normal numbers by Box and Muller's transform: one block of the shape a key.

    Worked out in float64 and rounded: vector and scalar versions of log and cos differ in their
    last bit, which would otherwise let the batch's size show in a float32 draw.
    """
    num = math.prod(shape)
    unit = uniform(keys, (2, num), dtype=torch.float64)
    radius = torch.sqrt(-2.0 * torch.log1p(-unit[:, 0]))
    value = radius * torch.cos(2.0 * math.pi * unit[:, 1])
    return value.to(dtype).reshape(len(keys), *shape)


def integers(
    keys: Int[Tensor, " b"], shape: tuple[int, ...], low: int, high: int
) -> Int[Tensor, "b ..."]:
    """Whole numbers from low to high - 1, every one as likely (to within 2^-53)."""
    if not low < high:
        raise ValueError(f"integers needs low < high; got low={low}, high={high}")
    unit = uniform(keys, shape, dtype=torch.float64)
    return low + (unit * (high - low)).floor().to(torch.int64)
