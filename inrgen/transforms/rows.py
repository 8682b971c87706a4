"""Transforms on flat rows in memory: the same as apply, to the bit, put where the new rows go.

The commonest have a compiled pass; all others go by apply.
"""

from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from inrgen.core.geometry import Motion
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.transforms.base import Transform
from inrgen.transforms.chain import Chain, ChainDraw
from inrgen.transforms.draws import rows_of
from inrgen.transforms.exact import SirenNegation
from inrgen.transforms.geometric import Affine, Reflect, Rotate, Scale, Translate
from inrgen.transforms.noisy import GaussianNoise

_HAS_NUMBA = find_spec("numba") is not None


class RowChange(Protocol):
    """A transform under a draw."""

    def __call__(
        self, flat: Float32[np.ndarray, "b p"], at: slice, out: Float32[np.ndarray, "b p"]
    ) -> None:
        """Fill out with the rows that transform.apply makes of flat.

        Args:
            flat: rows, which are left as they are.
            at: which rows of the draw they undergo.
            out: memory of its own, contiguous as flat is.
        """
        ...


def tensor_of(flat: Float32[np.ndarray, "b p"]) -> Tensor:
    """Rows as a tensor: a copy where they must not be written to, of which tensors know nothing."""
    return torch.from_numpy(flat if flat.flags.writeable else flat.copy())


def finite_rows(flat: Float32[np.ndarray, "b p"]) -> Bool[np.ndarray, " b"]:
    """Which rows are finite throughout."""
    if not _HAS_NUMBA:
        return np.asarray(np.isfinite(flat).all(axis=1))
    from inrgen.kernels.rows import note_finite

    found = np.empty(len(flat), dtype=bool)
    note_finite(flat, found)
    return found


def _negation(spec: InrSpec, signs: tuple[Tensor, ...]) -> RowChange:
    from inrgen.kernels.rows import negate_rows

    joined = torch.cat([each.to(torch.float32) for each in signs], dim=1).numpy()
    widths = np.array(spec.widths)
    return lambda flat, at, out: negate_rows(flat, joined[at], widths, out)


def _motion(spec: InrSpec, motion: Motion) -> RowChange:
    from inrgen.kernels.rows import move_rows

    parts = (motion.matrix, motion.shift, motion.value_scale)
    matrix, shift, scale = (part.to(torch.float32).contiguous().numpy() for part in parts)
    offset, widths = np.float32(motion.output_offset), np.array(spec.widths)
    return lambda flat, at, out: move_rows(
        flat, matrix[at], shift[at], scale[at], offset, widths, out
    )


def _noise(spec: InrSpec, normal: Params, scale: float) -> RowChange:
    from inrgen.kernels.rows import add_rows, deviations

    drawn = normal.flat().to(torch.float32).numpy()
    cuts = np.array([slot.offset for slot in spec.layers] + [spec.num_params])

    def change(
        flat: Float32[np.ndarray, "b p"], at: slice, out: Float32[np.ndarray, "b p"]
    ) -> None:
        found = np.empty((len(flat), len(cuts) - 1), dtype=np.float32)
        doubtful = np.empty(found.shape, dtype=bool)
        deviations(flat, cuts, found, doubtful)
        for t in np.flatnonzero(doubtful.any(axis=0)).tolist():
            rows = np.flatnonzero(doubtful[:, t])
            found[rows, t] = torch.from_numpy(flat[rows, cuts[t] : cuts[t + 1]]).std(dim=1).numpy()
        add_rows(flat, drawn[at], (scale * torch.from_numpy(found)).numpy(), cuts, out)

    return change


def _chain(chain: Chain, spec: InrSpec, draw: ChainDraw) -> RowChange:
    """Chain.apply: link after link, each on the rows that it acts on."""
    chances = chain.probabilities or (1.0,) * len(chain.transforms)
    links = [
        ready_rows(one, spec, of) for one, of in zip(chain.transforms, draw.draws, strict=True)
    ]
    still = [None if p == 1.0 else ~a.numpy() for p, a in zip(chances, draw.applied, strict=True)]

    def change(
        flat: Float32[np.ndarray, "b p"], at: slice, out: Float32[np.ndarray, "b p"]
    ) -> None:
        rows = flat
        for link, left in zip(links, still, strict=True):
            before = rows.copy() if rows is out else rows
            link(before, at, out)
            if left is not None:
                out[left[at]] = before[left[at]]
            rows = out
        if rows is flat:
            out[:] = flat

    return change


def _by_apply(transform: Transform[Any], spec: InrSpec, draw: Any) -> RowChange:
    def change(
        flat: Float32[np.ndarray, "b p"], at: slice, out: Float32[np.ndarray, "b p"]
    ) -> None:
        params = Params.from_flat(spec, tensor_of(flat))
        transform.apply(params, rows_of(draw, at)).flat(out=torch.from_numpy(out))

    return change


def ready_rows(transform: Transform[Any], spec: InrSpec, draw: Any) -> RowChange:
    """A transform under a draw, with all done once that does not depend on the rows."""
    if isinstance(transform, Chain):
        return _chain(transform, spec, draw)
    if _HAS_NUMBA and isinstance(transform, SirenNegation):
        return _negation(spec, draw.signs)
    if _HAS_NUMBA and isinstance(transform, GaussianNoise):
        return _noise(spec, draw, transform.scale)
    if _HAS_NUMBA and isinstance(transform, Affine | Reflect | Rotate | Scale | Translate):
        return _motion(spec, draw)
    return _by_apply(transform, spec, draw)
