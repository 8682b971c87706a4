"""Transforms on flat rows in memory, written straight to where the new rows belong.

The result equals apply to the bit. Common transforms have a compiled pass; others go by apply.
"""

from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from inrgen.core.geometry import Motion
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.kernels import has_numba
from inrgen.transforms.base import Transform, draw_rows
from inrgen.transforms.chain import Chain, ChainDraw
from inrgen.transforms.exact import SirenNegation
from inrgen.transforms.noisy import GaussianNoise
from inrgen.transforms.own import apply_checked


class BoundTransform(Protocol):
    """A transform with its draw."""

    def __call__(
        self, flat: Float32[np.ndarray, "b p"], at: slice, out: Float32[np.ndarray, "b p"]
    ) -> None:
        """Fill out with the rows that transform.apply makes of flat.

        Args:
            flat: rows, which are not written to.
            at: the rows of the draw that they undergo.
            out: memory that does not overlap flat; contiguous, as flat is.
        """
        ...


def to_tensor(flat: Float32[np.ndarray, "b p"]) -> Tensor:
    """Rows as a tensor; a copy of read-only memory, because tensors know no such protection."""
    return torch.from_numpy(flat if flat.flags.writeable else flat.copy())


def finite_rows(flat: Float32[np.ndarray, "b p"]) -> Bool[np.ndarray, " b"]:
    """Mark the rows that are finite throughout."""
    if not has_numba():
        return np.asarray(np.isfinite(flat).all(axis=1))
    from inrgen.kernels.rows import note_finite

    found = np.empty(len(flat), dtype=bool)
    note_finite(flat, found)
    return found


def bind(transform: Transform[Any], spec: InrSpec, draw: Any) -> BoundTransform:
    """Bind a transform to a draw, and do the work that does not depend on rows once."""
    if isinstance(transform, Chain):
        return _bind_chain(transform, spec, draw)
    if has_numba() and isinstance(transform, SirenNegation) and not draw.is_even:
        return _bind_negation(spec, draw.signs)
    if has_numba() and isinstance(transform, GaussianNoise):
        return _bind_noise(spec, draw, transform.scale)
    if has_numba() and isinstance(draw, Motion):
        return _bind_motion(spec, draw)
    return _bind_apply(transform, spec, draw)


def _bind_negation(spec: InrSpec, signs: tuple[Tensor, ...]) -> BoundTransform:
    from inrgen.kernels.rows import negate_rows

    # Products with +1 and -1 in float32 are exact.
    joined = torch.cat([each.to(torch.float32) for each in signs], dim=1).numpy()
    widths = np.array(spec.widths)
    return lambda flat, at, out: negate_rows(flat, joined[at], widths, out)


def _bind_motion(spec: InrSpec, motion: Motion) -> BoundTransform:
    from inrgen.kernels.rows import move_rows

    parts = (motion.matrix, motion.shift, motion.value_scale)
    matrix, shift, scale = (part.to(torch.float32).contiguous().numpy() for part in parts)
    offset, widths = np.float32(motion.output_offset), np.array(spec.widths)
    return lambda flat, at, out: move_rows(
        flat, matrix[at], shift[at], scale[at], offset, widths, out
    )


def _bind_noise(spec: InrSpec, normal: Params, scale: float) -> BoundTransform:
    from inrgen.kernels.rows import add_rows, deviations

    # A tensor of a row is a slice of it; cuts are the ends of the slices.
    drawn = normal.flat().to(torch.float32).numpy()
    cuts = np.array([slot.offset for slot in spec.layers] + [spec.num_params])

    def change(
        flat: Float32[np.ndarray, "b p"], at: slice, out: Float32[np.ndarray, "b p"]
    ) -> None:
        found = np.empty((len(flat), len(cuts) - 1), dtype=np.float32)
        doubtful = np.empty(found.shape, dtype=bool)
        deviations(flat, cuts, found, doubtful)
        # Where the kernel's sums may round otherwise than torch's, torch decides.
        for t in np.flatnonzero(doubtful.any(axis=0)).tolist():
            rows = np.flatnonzero(doubtful[:, t])
            found[rows, t] = torch.from_numpy(flat[rows, cuts[t] : cuts[t + 1]]).std(dim=1).numpy()
        add_rows(flat, drawn[at], (scale * torch.from_numpy(found)).numpy(), cuts, out)

    return change


def _bind_chain(chain: Chain, spec: InrSpec, draw: ChainDraw) -> BoundTransform:
    """Bind every transform of a chain; each acts only on its rows, as Chain.apply has it."""
    links = [bind(t, spec, one) for t, one in zip(chain.transforms, draw.draws, strict=True)]
    skipped = [
        None if chance == 1.0 else ~applied.numpy()
        for chance, applied in zip(chain.chances, draw.applied, strict=True)
    ]

    def change(
        flat: Float32[np.ndarray, "b p"], at: slice, out: Float32[np.ndarray, "b p"]
    ) -> None:
        rows = flat
        for link, left in zip(links, skipped, strict=True):
            # Kernels read and write in one pass, so input and output may not overlap.
            before = rows.copy() if rows is out else rows
            link(before, at, out)
            if left is not None:
                out[left[at]] = before[left[at]]
            rows = out
        if rows is flat:
            out[:] = flat

    return change


def _bind_apply(transform: Transform[Any], spec: InrSpec, draw: Any) -> BoundTransform:
    def change(
        flat: Float32[np.ndarray, "b p"], at: slice, out: Float32[np.ndarray, "b p"]
    ) -> None:
        params = Params.from_flat(spec, to_tensor(flat))
        # Of a wrong number of values torch would only warn, and leave out as it was.
        made = apply_checked(transform, params, draw_rows(draw, at))
        made.flat(out=torch.from_numpy(out))

    return change
