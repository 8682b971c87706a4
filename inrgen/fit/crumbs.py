"""Crumbs: pieces of an INR's surface that float apart from the shape it was fitted to.

Crumbs are measured from weights and the source's mesh when asked for, and are in no record: records
have fixed columns, and a new one would change the bytes of every store.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.fit.surface import grid_step, grid_values, signed_field, zero_set
from inrgen.sources.mesh import Mesh, ShapeReference
from inrgen.sources.signed_distance import distance
from inrgen.store.reader import Store
from inrgen.store.records import is_usable

# That of a new build's IoU.
_SURVEY_RESOLUTION = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Crumbs:
    """Number of crumbs of a surface, and their share of its area, 0 to 1."""

    num: int
    area_share: float

    def text(self) -> str:
        """Such as "3 crumbs (1.2 % of area)"."""
        if not self.num:
            return "no crumbs"
        noun = "crumb" if self.num == 1 else "crumbs"
        share = "under 0.1" if self.area_share < 1e-3 else f"{100 * self.area_share:.1f}"
        return f"{self.num} {noun} ({share} % of area)"


def area_of_pieces(mesh: Mesh) -> Float[np.ndarray, " _k"]:
    """Areas of the connected pieces of a surface, the largest first."""
    return np.sort(np.bincount(find_pieces(mesh)[mesh.faces[:, 0]], weights=mesh.areas))[::-1]


def count_loose(mesh: Mesh) -> Crumbs:
    """Count the pieces of a surface beside the largest as crumbs, where no source is at hand.

    Bodies of the shape beyond its largest count, too, since weights alone do not tell them apart.
    """
    areas = area_of_pieces(mesh)
    return Crumbs(num=len(areas) - 1, area_share=float(areas[1:].sum() / areas.sum()))


def find_pieces(mesh: Mesh) -> Int[np.ndarray, " v"]:
    """Number the connected pieces of a surface from 0 on, vertex by vertex.

    Faces that share a vertex are connected, so the mesh must name each vertex once, as those of
    marching cubes do.
    """
    begin, end = mesh.faces[:, [0, 1]].ravel(), mesh.faces[:, [1, 2]].ravel()
    links = coo_array((np.ones(len(begin)), (begin, end)), shape=(len(mesh.vertices),) * 2)
    return connected_components(links, directed=False)[1].astype(np.int64)


def find_crumbs(found: Mesh, source: Mesh, tolerance: float) -> Crumbs:
    """Count the pieces of a surface that come nowhere near the source's surface.

    Pieces beyond the largest would not do as crumbs: a source of several bodies has one for each,
    and a thin leg that breaks into beads is bad, but no crumb.

    Args:
        tolerance: pieces with a vertex within this distance of the source are part of the shape.
    """
    piece = find_pieces(found)
    gaps = np.full(piece.max() + 1, np.inf)
    np.minimum.at(gaps, piece, distance(source, found.vertices))
    is_crumb = gaps > tolerance
    areas = np.bincount(piece[found.faces[:, 0]], weights=found.areas, minlength=len(gaps))
    return Crumbs(num=int(is_crumb.sum()), area_share=float(areas[is_crumb].sum() / areas.sum()))


@dataclass(frozen=True, kw_only=True, slots=True)
class CrumbSurvey:
    """Crumbs, as count_loose counts them, of some surfaces of a store.

    Attributes:
        surfaces: INRs that have a surface.
        crumbed: those with crumbs.
        mean_area, max_area: mean and largest share of crumbs in a surface's area, 0 to 1.
    """

    surfaces: int
    crumbed: int
    mean_area: float
    max_area: float

    def text(self) -> str:
        """A line for people."""
        return (
            f"crumbs: {self.crumbed} of {self.surfaces} surfaces have pieces beside the largest; "
            f"{self.mean_area:.1%} of the area on average, at most {self.max_area:.1%} "
            "(bodies of a shape count, too; render --data tells them apart)"
        )


def survey_crumbs(store: Store, num: int) -> CrumbSurvey:
    """Count the crumbs of at most num INRs, evenly spread over the rows that hold weights.

    Raises ValueError for a store of several specs or of other signals than shapes.
    """
    spec = store.spec
    table = store.read_records(["row", "spec_id", "status"])
    rows = np.sort(table["row"].to_numpy()[is_usable(table["status"])])
    chosen = rows[np.linspace(0, len(rows) - 1, min(num, len(rows))).round().astype(int)]
    found = []
    for row in chosen.tolist():
        values = grid_values(spec, store.read([row]), _SURVEY_RESOLUTION)
        mesh = zero_set(spec, signed_field(spec, values))
        if mesh is not None:
            found.append(count_loose(mesh))
    shares = [crumbs.area_share for crumbs in found]
    return CrumbSurvey(
        surfaces=len(found),
        crumbed=sum(crumbs.num > 0 for crumbs in found),
        mean_area=float(np.mean(shares)) if shares else 0.0,
        max_area=max(shares, default=0.0),
    )


def measure_crumbs(spec: InrSpec, params: Params, check: ShapeReference) -> Crumbs | None:
    """The crumbs of one INR on the grid on which its IoU is measured; None without a surface.

    The tolerance is one step of the grid.
    """
    values = grid_values(spec, params, len(check.inside))
    found = zero_set(spec, signed_field(spec, values))
    return None if found is None else find_crumbs(found, check.mesh, grid_step(spec, values))
