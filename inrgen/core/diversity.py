"""How far apart the views of an item are, and different items, before and after alignment.

The quantity that the augmentation study is about: views of one item lie as far apart as strangers
until the symmetries are taken out.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inrgen.core import rng
from inrgen.core.matching import MatchConfig, match, squared_distance, thorough
from inrgen.core.metrics import function_distance
from inrgen.core.mixing import midpoint_error
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class DiversityRow:
    """Means over pairs of one sort under one alignment.

    pairs: "views" of one item, or different "items".
    alignment: "none", or the kind of matching, pair by pair.
    distance: root of the mean squared distance in weights.
    function_rms: root mean square difference of the functions over the points, in value units.
    midpoint_rms: the error of the INR halfway against the mean of the two functions.
    """

    pairs: str
    alignment: str
    num_pairs: int
    distance: float
    function_rms: float
    midpoint_rms: float


def _draw_pairs(
    items: Int[Tensor, " b"], num_pairs: int, seed: int
) -> dict[str, tuple[Int[Tensor, " _q"], Int[Tensor, " _q"]]]:
    """Rows of views of one item, and of different items: up to num_pairs of each, at random."""
    keys = rng.keys(seed, "diversity", torch.arange(num_pairs, device=items.device))
    # Neighbours after sorting by item are views of one item wherever an item has two.
    order = items.argsort(stable=True)
    twins = (items[order][1:] == items[order][:-1]).nonzero()[:, 0]
    found = {}
    if len(twins):
        chosen = twins[rng.integers(rng.fold(keys, 0), (), 0, len(twins))].unique()
        found["views"] = (order[chosen], order[chosen + 1])
    first, second = (rng.integers(rng.fold(keys, part), (), 0, len(items)) for part in (1, 2))
    apart = items[first] != items[second]
    found["items"] = (first[apart], second[apart])
    return found


def measure_diversity(
    spec: InrSpec,
    params: Params,
    items: Int[Tensor, " b"],
    coords: Float[Tensor, "n d_in"],
    alignments: tuple[MatchConfig, ...] = (thorough("permutation"), thorough("signed")),
    num_pairs: int = 256,
    seed: int = 0,
) -> tuple[DiversityRow, ...]:
    """Distances between views of one item and between items, before and after alignment.

    Args:
        items: which item each INR is a view of.
        coords: the points at which functions are compared.
        alignments: the matchings to try, each pair on its own.
        num_pairs: pairs of each sort to draw, of which repeats and twins drop out.

    INRs that are not finite are left out. Raises ValueError for items that do not fit params.
    """
    if len(items) != len(params):
        raise ValueError(f"items needs {len(params)} entries; got {len(items)}")
    if num_pairs < 1:
        raise ValueError(f"num_pairs must be positive; got {num_pairs}")
    good = params.flat().isfinite().all(dim=1)
    params, items = params[good], items.to(params.device)[good]
    rows = []
    for sort, (first, second) in _draw_pairs(items, num_pairs, seed).items():
        if len(first) == 0:
            continue
        one, two = params[first], params[second]
        apart = function_distance(spec, one, two, coords)
        found = [(c.kind, match(spec, one, two, c)) for c in alignments]
        trials = [("none", two, squared_distance(one, two))]
        trials += [(kind, matched.aligned, matched.after) for kind, matched in found]
        for name, moved, distance in trials:
            halfway = midpoint_error(spec, one, moved, coords)
            rows.append(
                DiversityRow(
                    pairs=sort,
                    alignment=name,
                    num_pairs=len(first),
                    distance=float(distance.mean().sqrt()),
                    function_rms=float(apart.square().mean().sqrt()),
                    midpoint_rms=float(halfway.square().mean().sqrt()),
                )
            )
    return tuple(rows)
