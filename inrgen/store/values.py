"""Values of INRs on grids, as pictures."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from inrgen.core.geometry import grid_coords, noted_grid
from inrgen.core.params import Params
from inrgen.core.siren import evaluate
from inrgen.core.spec import InrSpec


def draw_images(
    spec: InrSpec,
    params: Params,
    noted: Sequence[Sequence[int]],
    size: int | tuple[int, int] | None,
) -> Float[Tensor, "b rows columns d_out"]:
    """INRs of images on a grid, in [0, 1] where the fit is right.

    Args:
        noted: the grid of each original, as its record notes it.
        size: rows and columns, or one number for both; None takes the grid of the originals.

    Raises ValueError for other signals, and for originals of several sizes without a size.
    """
    if spec.d_in != 2:
        raise ValueError(f"images need INRs over two coordinates; got {spec.spec_id}")
    if size is None:
        grids = {noted_grid(spec, one) for one in noted}
        if len(grids) > 1:
            raise ValueError(f"size must be given for images of several sizes: {sorted(grids)}")
        grid = next(iter(grids), (1, 1))
    else:
        grid = (size, size) if isinstance(size, int) else size
    values = evaluate(spec, params, grid_coords(spec, grid)) - spec.value_range[0]
    return (values / spec.value_width).unflatten(1, grid)
