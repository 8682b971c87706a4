"""Randomness by name: keys from (seed, operation, item, view, epoch), and draws from keys.

A key is a 64-bit hash of a name; a draw is a pure function of (key, position). So the draw of an
INR depends on its name alone, never on the batch, the worker or the order of arrival. The mixing
function is SplitMix64's (Steele, Lea and Flood, OOPSLA 2014), in wrapping int64 arithmetic, so
every device gives the same bits.
"""

import math
import sys
from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Float, Int, UInt64
from torch import Tensor

from inrgen.core.config import hash_name
from inrgen.kernels import has_numba


def _signed(value: int) -> int:
    """The same 64 bits as a signed integer; torch has no unsigned arithmetic."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >= 1 << 63 else value


_GOLDEN = _signed(0x9E3779B97F4A7C15)
_MIX_1 = _signed(0xBF58476D1CE4E5B9)
_MIX_2 = _signed(0x94D049BB133111EB)
# Numbers from which a compiled pass pays if numba must still be loaded, and if it is loaded.
_MANY, _SOME = 2**17, 2**14
# Normal numbers computed at once on a CPU, so that intermediate results stay in its cache.
_NORMALS_AT_ONCE = 2**15


def _shift_right(x: Int[Tensor, "*s"], count: int) -> Int[Tensor, "*s"]:
    """Logical shift; torch's >> copies the sign bit."""
    return (x >> count) & ((1 << (64 - count)) - 1)


def _mix(x: Int[Tensor, "*s"]) -> Int[Tensor, "*s"]:
    x = (x ^ _shift_right(x, 30)) * _MIX_1
    x = (x ^ _shift_right(x, 27)) * _MIX_2
    return x ^ _shift_right(x, 31)


def hash_items(item_ids: Iterable[str]) -> Int[Tensor, " b"]:
    """Item ids as int64 hashes, the form that keys takes. Keep them if you use them often."""
    return torch.tensor([hash_name(item) for item in item_ids], dtype=torch.int64)


def fold(keys: Int[Tensor, " b"], data: int | Int[Tensor, " b"]) -> Int[Tensor, " b"]:
    """Extend the name of each key by one more part, such as the number of a layer."""
    # Mixing data first keeps small numbers such as layers from colliding with nearby keys.
    data = torch.as_tensor(data, dtype=torch.int64, device=keys.device)
    return _mix(keys ^ _mix(data + _GOLDEN))


def keys(
    seed: int,
    operation: str,
    items: Int[Tensor, " b"],
    views: int | Int[Tensor, " b"] = 0,
    epoch: int = 0,
) -> Int[Tensor, " b"]:
    """Keys for a batch, one an INR, on the device of items.

    Args:
        seed: seed of the run, any integer.
        operation: purpose of the randomness; each operation has other draws.
        items: hash_items of the item ids.
        views: the view of each item.
        epoch: the pass over the data; 0 if the draw must not change.
    """
    start = fold(torch.full_like(items, _signed(seed)), hash_name(operation))
    return fold(fold(fold(start, items), views), epoch)


def bits(keys: Int[Tensor, " b"], num: int, start: int = 0) -> Int[Tensor, "b num"]:
    """64 random bits for each of num positions of each key, from position start on."""
    # SplitMix64's stream: output i of a seed is mix(seed + (i + 1) * golden).
    positions = torch.arange(start + 1, start + num + 1, dtype=torch.int64, device=keys.device)
    return _mix(keys[:, None] + positions * _GOLDEN)


def _is_compiled_for(keys: Int[Tensor, " b"], num: int) -> bool:
    """Tell whether a compiled pass is available and pays for num numbers of each key."""
    # Tracers of torch.compile cannot see into compiled code.
    if keys.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    enough = _SOME if "numba" in sys.modules else _MANY
    return len(keys) * num >= enough and has_numba()


def _constants() -> UInt64[np.ndarray, "3"]:
    """The constants of the mixing function, as compiled code takes them."""
    return np.array([_GOLDEN, _MIX_1, _MIX_2]).view(np.uint64)


def _unit(
    keys: Int[Tensor, " b"], num: int, dtype: torch.dtype, compiled: bool
) -> Float[Tensor, "b num"]:
    """Uniform numbers in [0, 1): the leading bits, as many as the dtype holds."""
    # The digits of a mantissa, so that every result is exact and below 1.
    digits = 53 if dtype == torch.float64 else 24
    if not compiled:
        return _shift_right(bits(keys, num), 64 - digits).to(dtype) * 2.0**-digits
    from inrgen.kernels.rng import fill_unit

    unit = torch.empty(len(keys), num, dtype=torch.promote_types(dtype, torch.float32))
    fill_unit(keys.contiguous().numpy().view(np.uint64), _constants(), digits, unit.numpy())
    return unit.to(dtype)


def uniform(
    keys: Int[Tensor, " b"],
    shape: tuple[int, ...] = (),
    low: float = 0.0,
    high: float = 1.0,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "b ..."]:
    """Uniform numbers in [low, high): one block of the given shape for each key."""
    num = math.prod(shape)
    value = _unit(keys, num, dtype, _is_compiled_for(keys, num))
    if (low, high) != (0.0, 1.0):
        value = low + (high - low) * value
        if high > low:
            # Where high is far from 0, rounding would take the last numbers below it up to it.
            end = torch.tensor(high, dtype=dtype)
            value = value.clamp(max=torch.nextafter(end, torch.full_like(end, low)).item())
    return value.reshape(len(keys), *shape)


def _box_muller(keys: Int[Tensor, " b"], num: int, compiled: bool) -> Float[Tensor, "b num"]:
    """Standard normal numbers in float64. In-place steps write only to tensors made here."""
    unit = _unit(keys, 2 * num, torch.float64, compiled)
    # log1p of -u is finite, because u < 1.
    radius = unit[:, :num].neg().log1p_().mul_(-2.0).sqrt_()
    return radius.mul_(unit[:, num:].mul(2.0 * math.pi).cos_())


def normal(
    keys: Int[Tensor, " b"], shape: tuple[int, ...] = (), dtype: torch.dtype = torch.float32
) -> Float[Tensor, "b ..."]:
    """Standard normal numbers by Box and Muller's transform: one block of the shape for each key.

    They are computed in float64 and rounded. Vector and scalar versions of log and cos differ in
    their last bit, so float32 arithmetic would let a draw depend on the size of its batch.
    """
    num = math.prod(shape)
    compiled = _is_compiled_for(keys, 2 * num)
    if compiled and dtype == torch.float32:
        return _normal_rows(keys, num).reshape(len(keys), *shape)
    return _normal_tensors(keys, num, dtype, compiled).reshape(len(keys), *shape)


def _normal_tensors(
    keys: Int[Tensor, " b"], num: int, dtype: torch.dtype, compiled: bool
) -> Float[Tensor, "b num"]:
    """Normal numbers by tensor operations; compiled applies to the uniform numbers below them."""
    rows = len(keys) if keys.device.type != "cpu" else _NORMALS_AT_ONCE // max(1, num)
    parts = [_box_muller(part, num, compiled).to(dtype) for part in keys.split(max(1, rows))]
    return torch.cat(parts)


def _normal_rows(keys: Int[Tensor, " b"], num: int) -> Float[Tensor, "b num"]:
    """Normal float32 numbers by the kernel; tensors redo the few rows whose last bit it doubts."""
    from inrgen.kernels.rng import fill_normal

    found, doubtful = torch.empty(len(keys), num), torch.empty(len(keys), dtype=torch.bool)
    names = keys.contiguous().numpy().view(np.uint64)
    fill_normal(names, _constants(), found.numpy(), doubtful.numpy())
    if bool(doubtful.any()):
        found[doubtful] = _normal_tensors(keys[doubtful], num, torch.float32, compiled=True)
    return found


def integers(
    keys: Int[Tensor, " b"], shape: tuple[int, ...], low: int, high: int
) -> Int[Tensor, "b ..."]:
    """Integers from low to high - 1 with equal chances (to within 2^-53)."""
    if not low < high:
        raise ValueError(f"integers needs low < high; got low={low}, high={high}")
    # 53 bits: a float32 draw would never reach most values of a wide range.
    unit = uniform(keys, shape, dtype=torch.float64)
    return low + (unit * (high - low)).floor().to(torch.int64)
