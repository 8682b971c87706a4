"""Attention of many narrow heads over few units: queries plus what they draw.

torch's attention is made for heads of 64 channels and thousands of units. On a CPU it takes five
times as long as a kernel made for heads of two channels and tens of units, so there one is used.
"""

from importlib.util import find_spec

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from inrgen.kernels import share_out

# Bare GPU machines may lack it. Asked once: torch.compile does not look into searches for modules.
_HAS_NUMBA = find_spec("numba") is not None
# A kernel is compiled for each width of heads, with its channels side by side in registers.
_WIDEST = 32


def is_compiled_for(device: torch.device, dtype: torch.dtype, width: int) -> bool:
    """Whether the compiled kernel takes such numbers; from half precision it calculates in full."""
    fits = dtype in (torch.float32, torch.bfloat16) and width <= _WIDEST
    return device.type == "cpu" and fits and _HAS_NUMBA


def attend(
    query: Float[Tensor, "b h c"],
    key: Float[Tensor, "b h c"],
    value: Float[Tensor, "b h c"],
    width: int,
    scale: float,
) -> Float[Tensor, "b h c"]:
    """q + softmax(scale q k) v in each head of so many channels, by torch's own attention."""
    q, k, v = (part.unflatten(2, (-1, width)).transpose(1, 2) for part in (query, key, value))
    drawn = functional.scaled_dot_product_attention(q, k, v, scale=scale)
    return (q + drawn).transpose(1, 2).flatten(2)


def attend_compiled(
    asked: Float[Tensor, "b h c3"], width: int, scale: float
) -> Float[Tensor, "b h c"]:
    """The same of queries, keys and values side by side, where is_compiled_for."""
    return _attend(asked.float(), width, scale)


@torch.library.custom_op("inrgen::attend", mutates_args=())
def _attend(asked: Tensor, width: int, scale: float) -> Tensor:
    from inrgen.kernels.attention import kernels

    asked = asked.contiguous()
    drawn = asked.new_empty(*asked.shape[:2], asked.shape[2] // 3)
    forward, given = kernels(width)[0], (asked.numpy(), drawn.numpy(), np.float32(scale))
    share_out(lambda low, high: forward(*given, low, high), len(asked), _entries(asked, width))
    return drawn


@torch.library.custom_op("inrgen::attend_backward", mutates_args=())
def _attend_backward(asked: Tensor, wanted: Tensor, width: int, scale: float) -> Tensor:
    from inrgen.kernels.attention import kernels

    asked, wanted = asked.contiguous(), wanted.contiguous()
    found = torch.empty_like(asked)
    backward = kernels(width)[1]
    given = (asked.numpy(), wanted.numpy(), found.numpy(), np.float32(scale))
    share_out(lambda low, high: backward(*given, low, high), len(asked), _entries(asked, width))
    return found


def _entries(asked: Tensor, width: int) -> int:
    """How many pairs of units the heads of an INR have."""
    return asked.shape[2] // (3 * width) * asked.shape[1] ** 2


@_attend.register_fake
def _(asked: Tensor, width: int, scale: float) -> Tensor:
    return asked.new_empty(asked.shape[0], asked.shape[1], asked.shape[2] // 3)


@_attend_backward.register_fake
def _(asked: Tensor, wanted: Tensor, width: int, scale: float) -> Tensor:
    return torch.empty_like(asked, memory_format=torch.contiguous_format)


def _keep(ctx, inputs: tuple, output: Tensor) -> None:
    asked, ctx.width, ctx.scale = inputs
    ctx.save_for_backward(asked)


def _gradient(ctx, wanted: Tensor) -> tuple:
    return _attend_backward(*ctx.saved_tensors, wanted, ctx.width, ctx.scale), None, None


_attend.register_autograd(_gradient, setup_context=_keep)
