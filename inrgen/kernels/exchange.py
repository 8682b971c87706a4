"""The exchange within an inner weight and its gradient on a CPU: an INR at a time, in cache.

Import it late: numba is slow to load. Arrays are flat; sizes are (outer, inner, width): units
above, units below and channels. Channels are a multiple of a vector's.
"""

from collections.abc import Callable
from functools import cache
from typing import no_type_check

import numpy as np
from numba import njit
from numba.misc.special import literally

from inrgen.kernels import emitter, exchange_vector, kept_on_disk, sources_digest
from inrgen.kernels.emitter import LANES
from inrgen.kernels.exchange_vector import exchange_row, product_row, slope_row, spread_row


@njit
@no_type_check
def _forward(given, found, depth, sizes, start, stop):
    depth = literally(depth)
    outer, inner, width = sizes
    x, entry, rows, columns = given
    y, tops_1, tops_2, places_1, places_2 = found
    for b in range(start, stop):
        below = b * inner * width
        tops_2[below : below + inner * width] = -np.inf
        places_2[below : below + inner * width] = 0.0
        for o in range(outer):
            row = (b * outer + o) * width
            whole = (b * outer + o) * inner
            for v in range(0, width, LANES):
                exchange_row(
                    x, whole * depth, depth, entry, v, rows, row + v, columns, below + v,
                    y, whole * width + v, tops_1, row + v, tops_2, below + v,
                    places_1, row + v, places_2, below + v, o, inner, width,
                )  # fmt: skip


@njit
@no_type_check
def _backward(kept, given, found, depth, channels, sizes, start, stop):
    depth, channels = literally(depth), literally(channels)
    outer, inner, width = sizes
    x, turned, y, places_1, places_2 = kept
    of_y, of_tops_1, of_tops_2 = given
    of_x, of_entry, of_rows, of_columns = found
    none = np.zeros(inner * width, np.float32)
    slopes = np.empty(inner * width, np.float32)
    for b in range(start, stop):
        below = b * inner * width
        of_columns[below : below + inner * width] = 0.0
        of_rows[b * outer * width : (b + 1) * outer * width] = 0.0
        of_entry[b * depth * width : (b + 1) * depth * width] = 0.0
        for o in range(outer):
            row = (b * outer + o) * width
            whole = (b * outer + o) * inner
            # Nobody asks for y where only the maxima are read.
            wanted, at = (of_y, whole * width) if of_y.size else (none, 0)
            for v in range(0, width, LANES):
                slope_row(
                    slopes, v, wanted, at + v, y, whole * width + v, of_tops_1, row + v,
                    of_tops_2, below + v, places_1, row + v, places_2, below + v,
                    of_rows, row + v, of_columns, below + v, o, inner, width,
                )  # fmt: skip
            for v in range(0, width, LANES):
                product_row(
                    of_entry, b * depth * width + v, width, x, whole * depth, depth,
                    slopes, v, inner,
                )  # fmt: skip
            if of_x.size:
                for v in range(0, depth, LANES):
                    spread_row(
                        of_x, whole * depth + v, depth, slopes, 0, channels, turned, v, inner
                    )


@cache
def kernels(depth: int, channels: int) -> tuple[Callable[..., None], Callable[..., None]]:
    """forward and backward for weights with so many channels before and after.

    forward(given, found, sizes, start, stop) takes given, (x, entry, rows, columns), and fills
    found, (y, tops_1, tops_2, places_1, places_2), with the rectified sums of INRs start..stop-1,
    their maxima over units below and above, and where those are.

    backward(kept, given, found, sizes, start, stop) has kept = (x, entry's transpose, y, places_1,
    places_2), given the gradients of y and its maxima, and fills found with those of x, of entry
    (for each INR), rows and columns. An empty array stands for a gradient of y that is zero, or
    for one of x that nobody asks for.
    """
    digest = sources_digest(__file__, exchange_vector.__file__, emitter.__file__)

    @kept_on_disk
    @no_type_check
    def forward(given, found, sizes, start, stop):
        _forward(given, found, depth, sizes, start, stop)
        return digest

    @kept_on_disk
    @no_type_check
    def backward(kept, given, found, sizes, start, stop):
        _backward(kept, given, found, depth, channels, sizes, start, stop)
        return digest

    return forward, backward
