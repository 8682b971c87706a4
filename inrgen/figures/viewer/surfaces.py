"""Surfaces of a page's shapes, extracted when the page is made."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt16, UInt32

from inrgen.core.params import Params
from inrgen.core.spec import SOLID_KINDS, InrSpec
from inrgen.fit.crumbs import Crumbs, count_loose
from inrgen.fit.surface import grid_values, signed_field, zero_set
from inrgen.sources.listing import Report, report_nothing

_RESOLUTION = 48
_MAX_SURFACES = 60
# Compressed, about half of it; meshes beyond are left out, and the page shows slices alone.
_BYTES = 6 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class PackedSurface:
    """A mesh with coordinates in 65,536 steps of the spec's range; place is that of its INR.

    crumbs are its pieces beside the largest.
    """

    place: int
    vertices: UInt16[np.ndarray, "v 3"]
    faces: UInt32[np.ndarray, "f 3"]
    crumbs: Crumbs


def extract_surfaces(
    spec: InrSpec, params: Params, order: list[int], report: Report = report_nothing
) -> list[PackedSurface]:
    """Extract the surfaces of a page's INRs by marching cubes; [] for signals without surfaces.

    Args:
        params: the INRs of the page.
        order: places among them, the most wanted first, as no more than 60 surfaces or 6 MB fit.
        report: gets the number of INRs so far.
    """
    if spec.d_in != 3 or spec.d_out != 1 or spec.value_kind not in SOLID_KINDS:
        return []
    low, high = spec.coord_range
    found: list[PackedSurface] = []
    left = _BYTES
    for count, place in enumerate(order[:_MAX_SURFACES]):
        report(f"of {len(order[:_MAX_SURFACES])} surfaces extracted", count)
        values = grid_values(spec, params[[place]], _RESOLUTION)
        mesh = zero_set(spec, signed_field(spec, values))
        if mesh is None:
            continue
        left -= 6 * len(mesh.vertices) + 12 * len(mesh.faces)
        if left < 0:
            break
        steps = np.round((mesh.vertices - low) / (high - low) * 65535)
        found.append(
            PackedSurface(
                place=place,
                vertices=steps.clip(0, 65535).astype(np.uint16),
                faces=mesh.faces.astype(np.uint32),
                crumbs=count_loose(mesh),
            )
        )
    return found
