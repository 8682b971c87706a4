"""Crumbs are pieces of surface far from the source's, whatever the number of its bodies."""

import numpy as np
import pytest
import trimesh

from inrgen.fit.crumbs import area_of_pieces, count_loose, find_crumbs
from inrgen.sources.mesh import Mesh


def balls(*places: tuple[float, float, float, float]) -> Mesh:
    """Balls at (x, y, z) of a radius, as one mesh."""
    made = []
    for *center, radius in places:
        ball = trimesh.creation.icosphere(subdivisions=2, radius=radius)
        made.append(ball.apply_translation(center))
    joined = trimesh.util.concatenate(made)
    return Mesh(
        vertices=np.asarray(joined.vertices), faces=np.asarray(joined.faces, dtype=np.int64)
    )


BODY, BESIDE, FAR = (0.0, 0.0, 0.0, 0.5), (0.8, 0.0, 0.0, 0.1), (0.0, 0.9, 0.0, 0.05)


@pytest.mark.parametrize(
    ("found", "source", "num"),
    [
        ([BODY], [BODY], 0),
        ([BODY, FAR], [BODY], 1),
        ([BODY, BESIDE, FAR], [BODY], 2),
        ([BODY, BESIDE, FAR], [BODY, BESIDE], 1),
        ([BODY, BESIDE], [BODY, BESIDE], 0),
        ([BODY], [BODY, BESIDE], 0),
    ],
)
def test_bodies_of_the_source_are_no_crumbs(found, source, num):
    crumbs = find_crumbs(balls(*found), balls(*source), tolerance=0.03)
    assert crumbs.num == num
    areas = np.array([radius**2 for *_, radius in found])
    assert crumbs.area_share == pytest.approx(areas[len(areas) - num :].sum() / areas.sum())
    assert crumbs.text().startswith(str(num or "no"))


def test_a_piece_within_the_tolerance_of_the_source_belongs_to_it():
    near = (0.0, 0.0, 0.57, 0.05)
    assert find_crumbs(balls(BODY, near), balls(BODY), tolerance=0.03).num == 0
    assert find_crumbs(balls(BODY, near), balls(BODY), tolerance=0.01).num == 1


def test_pieces_are_listed_by_area():
    pieces = balls(FAR, BODY, BESIDE)
    areas = area_of_pieces(pieces)
    assert len(areas) == 3
    assert areas / areas[0] == pytest.approx([1.0, 0.04, 0.01])
    loose = count_loose(pieces)
    assert (loose.num, loose.area_share) == (2, pytest.approx(0.05 / 1.05))
    assert count_loose(balls(BODY)).text() == "no crumbs"
