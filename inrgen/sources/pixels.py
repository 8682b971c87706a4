"""Pictures as arrays to signals: channels and scale."""

import numpy as np
import torch
from jaxtyping import Float

from inrgen.sources.base import Signal

# Luma of ITU-R BT.601, the weights that Pillow's conversion to gray has.
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def match_channels(
    values: Float[np.ndarray, "rows columns c"], d_out: int
) -> Float[np.ndarray, "rows columns d_out"]:
    """One channel repeated as three, or three as their luma; unchanged where they are d_out."""
    channels = values.shape[2]
    if channels == d_out:
        return values
    if (channels, d_out) == (1, 3):
        return values.repeat(3, axis=2)
    if (channels, d_out) == (3, 1):
        return (values @ _LUMA)[:, :, None]
    raise ValueError(f"d_out must be 1 or 3 for a picture of {channels} channels; got {d_out}")


def picture_signal(values: Float[np.ndarray, "rows columns c"], d_out: int) -> Signal:
    """The signal of a picture with intensities in [0, 1]: one point a pixel, row-major."""
    matched = np.ascontiguousarray(match_channels(values, d_out), dtype=np.float32)
    rows, columns, _ = matched.shape
    return Signal(values=torch.from_numpy(matched).flatten(0, 1), grid=(rows, columns))
