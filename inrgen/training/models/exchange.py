"""What an inner weight tells itself, rectified, with its maxima: the large part of a DWSNet.

A weight's features (b, out, in, c) are far larger than all else, so what counts is how often they
pass through memory. On a CPU a compiled kernel takes an INR at a time, and all is done in cache.
"""

from importlib.util import find_spec

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from inrgen.kernels import share_out

# Bare GPU machines may lack it. Asked once: torch.compile does not look into searches for modules.
_HAS_NUMBA = find_spec("numba") is not None
# Vectors of no processor hold more numbers. A kernel is compiled for each number of channels, with
# a matrix of so many in registers and cache.
_LANES, _MOST = 16, 64


def greatest(x: Tensor, dim: int) -> Tensor:
    """The maximum over units; amax costs twice as much, as it shares gradients among equals."""
    return x.max(dim=dim).values


def is_compiled_for(x: Float[Tensor, "b o i k"], channels: int) -> bool:
    """Whether the kernel takes such a weight: on a CPU, with channels that fill vectors."""
    if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.bfloat16):
        return False
    depth = x.shape[3]
    fits = channels % _LANES == 0 and (depth % _LANES == 0 or not x.requires_grad)
    return fits and max(channels, depth) <= _MOST and _HAS_NUMBA


def exchange(
    x: Float[Tensor, "b o i k"],
    entry: Float[Tensor, "k c"],
    rows: Float[Tensor, "b o c"],
    columns: Float[Tensor, "b i c"],
) -> tuple[Float[Tensor, "b o i c"], Float[Tensor, "b o c"], Float[Tensor, "b i c"]]:
    """y = relu(x entry + rows + columns), and its maxima over the units below and above.

    For what is_compiled_for; from half precision it calculates in full.
    """
    return _exchange(*(part.float() for part in (x, entry, rows, columns)))[:3]


@torch.library.custom_op("inrgen::exchange", mutates_args=())
def _exchange(
    x: Tensor, entry: Tensor, rows: Tensor, columns: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    from inrgen.kernels.exchange import kernels

    found, sizes = _room(x, entry, rows, columns), (*x.shape[1:3], rows.shape[2])
    forward = kernels(x.shape[3], rows.shape[2])[0]
    given, results = _flat(x, entry, rows, columns), _flat(*found)
    share_out(
        lambda low, high: forward(given, results, sizes, low, high), len(x), found[0][0].numel()
    )
    return found


@torch.library.custom_op("inrgen::exchange_backward", mutates_args=())
def _exchange_backward(
    x: Tensor,
    entry: Tensor,
    y: Tensor,
    places_1: Tensor,
    places_2: Tensor,
    of_y: Tensor,
    of_tops_1: Tensor,
    of_tops_2: Tensor,
    needs_x: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    from inrgen.kernels.exchange import kernels

    of_x, of_rows, of_columns = _slopes(x, places_1, places_2, needs_x)
    of_entry = x.new_empty(len(x), *entry.shape)
    backward = kernels(x.shape[3], y.shape[3])[1]
    kept, given = _flat(x, entry.mT, y, places_1, places_2), _flat(of_y, of_tops_1, of_tops_2)
    results, sizes = _flat(of_x, of_entry, of_rows, of_columns), tuple(y.shape[1:])
    share_out(
        lambda low, high: backward(kept, given, results, sizes, low, high), len(x), y[0].numel()
    )
    return of_x, of_entry.sum(dim=0), of_rows, of_columns


def _flat(*tensors: Tensor) -> tuple[np.ndarray, ...]:
    # A gradient may be one number for all, spread out over a tensor.
    return tuple(tensor.contiguous().view(-1).numpy() for tensor in tensors)


def _slopes(
    x: Tensor, rows: Tensor, columns: Tensor, needs_x: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Room for gradients of the inputs, but for entry."""
    return (
        x.new_empty(x.shape if needs_x else 0),
        rows.new_empty(rows.shape),
        columns.new_empty(columns.shape),
    )


@_exchange.register_fake
def _room(
    x: Tensor, entry: Tensor, rows: Tensor, columns: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    y = x.new_empty(*x.shape[:3], rows.shape[2])
    tops_1, places_1 = rows.new_empty(rows.shape), rows.new_empty(rows.shape)
    tops_2, places_2 = columns.new_empty(columns.shape), columns.new_empty(columns.shape)
    return y, tops_1, tops_2, places_1, places_2


@_exchange_backward.register_fake
def _(
    x: Tensor,
    entry: Tensor,
    y: Tensor,
    places_1: Tensor,
    places_2: Tensor,
    of_y: Tensor,
    of_tops_1: Tensor,
    of_tops_2: Tensor,
    needs_x: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    of_x, of_rows, of_columns = _slopes(x, places_1, places_2, needs_x)
    return of_x, entry.new_empty(entry.shape), of_rows, of_columns


def _keep(ctx, inputs: tuple, output: tuple) -> None:
    x, entry = inputs[:2]
    y, _, _, places_1, places_2 = output
    ctx.save_for_backward(x, entry, y, places_1, places_2)
    ctx.set_materialize_grads(False)


def _gradient(ctx, of_y: Tensor | None, *of_rest: Tensor | None) -> tuple:
    kept, needs_x = ctx.saved_tensors, ctx.needs_input_grad[0]
    tops = (
        torch.zeros_like(places) if slope is None else slope
        for places, slope in zip(kept[3:], of_rest[:2], strict=True)
    )
    given = kept[0].new_empty(0) if of_y is None else of_y
    of_x, *others = _exchange_backward(*kept, given, *tops, needs_x)
    return of_x if needs_x else None, *others


_exchange.register_autograd(_gradient, setup_context=_keep)
