"""Transforms on flat rows: the same as apply, to the bit, put where the new rows go.

The commonest have a compiled pass over rows that are float32 on a CPU; all others go by apply.
"""

from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from inrgen.core.geometry import Motion
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.transforms.base import Transform
from inrgen.transforms.chain import Chain
from inrgen.transforms.exact import SirenNegation
from inrgen.transforms.geometric import Affine, Reflect, Rotate, Scale, Translate
from inrgen.transforms.noisy import GaussianNoise


def _is_compiled_for(flat: Tensor, out: Tensor) -> bool:
    plain = all(t.device.type == "cpu" and t.dtype == torch.float32 for t in (flat, out))
    return plain and not flat.requires_grad and find_spec("numba") is not None


def _negate(spec: InrSpec, flat: Tensor, signs: tuple[Tensor, ...], out: Tensor) -> None:
    from inrgen.transforms.row_kernels import negate_rows

    joined = torch.cat(signs, dim=1).to(flat.dtype)
    negate_rows(flat.numpy(), joined.numpy(), np.array(spec.widths), out.numpy())


def _move(spec: InrSpec, flat: Tensor, motion: Motion, out: Tensor) -> None:
    from inrgen.transforms.row_kernels import move_rows

    parts = (motion.matrix, motion.shift, motion.value_scale)
    matrix, shift, scale = (part.to(flat.dtype).contiguous().numpy() for part in parts)
    offset, widths = np.float32(motion.output_offset), np.array(spec.widths)
    move_rows(flat.numpy(), matrix, shift, scale, offset, widths, out.numpy())


def _add_noise(spec: InrSpec, flat: Tensor, normal: Params, scale: float, out: Tensor) -> None:
    from inrgen.transforms.row_kernels import add_rows, deviations

    cuts = [slot.offset for slot in spec.layers] + [spec.num_params]
    found = torch.empty(len(flat), len(cuts) - 1)
    doubtful = torch.empty_like(found, dtype=torch.bool)
    deviations(flat.numpy(), np.array(cuts), found.numpy(), doubtful.numpy())
    for t in doubtful.any(dim=0).nonzero()[:, 0].tolist():
        rows = doubtful[:, t].nonzero()[:, 0]
        found[rows, t] = flat[rows, cuts[t] : cuts[t + 1]].std(dim=1)
    sizes = (scale * found).numpy()
    add_rows(flat.numpy(), normal.flat().to(flat.dtype).numpy(), sizes, np.array(cuts), out.numpy())


def _apply_chain(chain: Chain, spec: InrSpec, flat: Tensor, draw: Any, out: Tensor) -> None:
    """Chain.apply: link after link, each on the rows that it acts on."""
    chances = chain.probabilities or (1.0,) * len(chain.transforms)
    rows = flat
    for transform, choice, applied, chance in zip(
        chain.transforms, draw.draws, draw.applied, chances, strict=True
    ):
        before = rows.clone() if rows is out else rows
        apply_rows(transform, spec, before, choice, out)
        if chance < 1.0:
            out[~applied] = before[~applied]
        rows = out
    if rows is flat:
        out.copy_(flat)


def apply_rows(
    transform: Transform[Any],
    spec: InrSpec,
    flat: Float[Tensor, "b p"],
    draw: Any,
    out: Float[Tensor, "b p"],
) -> None:
    """Fill out with the rows that transform.apply makes of flat.

    out: memory of its own, contiguous as flat is.
    """
    if isinstance(transform, Chain):
        _apply_chain(transform, spec, flat, draw, out)
    elif not _is_compiled_for(flat, out):
        transform.apply(Params.from_flat(spec, flat), draw).flat(out=out)
    elif isinstance(transform, SirenNegation):
        _negate(spec, flat, draw.signs, out)
    elif isinstance(transform, GaussianNoise):
        _add_noise(spec, flat, draw, transform.scale, out)
    elif isinstance(transform, Affine | Reflect | Rotate | Scale | Translate):
        _move(spec, flat, draw, out)
    else:
        transform.apply(Params.from_flat(spec, flat), draw).flat(out=out)
