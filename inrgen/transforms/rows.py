"""Transforms on flat rows: the same as apply, to the bit, put where the new rows go."""

from typing import Any

from jaxtyping import Float
from torch import Tensor

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.transforms.base import Transform


def apply_rows(
    transform: Transform[Any],
    spec: InrSpec,
    flat: Float[Tensor, "b p"],
    draw: Any,
    out: Float[Tensor, "b p"],
) -> None:
    """Fill out with the rows that transform.apply makes of flat."""
    transform.apply(Params.from_flat(spec, flat), draw).flat(out=out)
