"""Distances to meshes are those of the solids they stand for, and signs those of their bodies."""

import numpy as np
import pytest
import torch
import trimesh

from inrgen.core.rng import hash_items
from inrgen.sources.base import BadSignal
from inrgen.sources.mesh import Mesh, place
from inrgen.sources.mesh_files import read_mesh
from inrgen.sources.mesh_repair import is_closed, repair, sign_trust, weld
from inrgen.sources.shape_points import draw_on_surface
from inrgen.sources.signed_distance import distance, inside, signed_distance
from tests.closed_form import box_distance, sphere_distance, torus_distance

POINTS = np.random.default_rng(0).uniform(-1, 1, (5000, 3))


def as_mesh(made):
    return Mesh(
        vertices=np.asarray(made.vertices, dtype=np.float64),
        faces=np.asarray(made.faces, dtype=np.int64),
    )


def box(*half, at=(0, 0, 0)):
    made = trimesh.creation.box(extents=2 * np.array(half))
    made.apply_translation(at)
    return as_mesh(made)


def together(*meshes):
    ends = np.cumsum([0] + [len(m.vertices) for m in meshes])
    return Mesh(
        vertices=np.concatenate([m.vertices for m in meshes]),
        faces=np.concatenate([m.faces + end for m, end in zip(meshes, ends, strict=False)]),
    )


def turned(mesh):
    return Mesh(vertices=mesh.vertices, faces=mesh.faces[:, ::-1].copy())


def truth(function, *sizes):
    return function(torch.from_numpy(POINTS), *sizes).numpy()


def test_a_box_is_exact():
    found = signed_distance(box(0.5, 0.3, 0.7), POINTS)
    np.testing.assert_allclose(found, truth(box_distance, (0.5, 0.3, 0.7)), atol=1e-12)


def test_a_sphere_is_off_by_its_facets_alone():
    facets = as_mesh(trimesh.creation.icosphere(subdivisions=4, radius=0.6))
    exact = truth(sphere_distance, 0.6)
    sag = 0.6 - np.linalg.norm(facets.corners.mean(axis=1), axis=1).min()
    found = signed_distance(facets, POINTS)
    assert np.abs(found - exact).max() <= sag + 1e-12
    assert (found >= exact - 1e-12).all()  # an inscribed polyhedron is smaller


def test_a_torus_is_off_by_its_facets_alone():
    facets = as_mesh(trimesh.creation.torus(0.6, 0.2, major_sections=128, minor_sections=64))
    exact = truth(torus_distance, 0.6, 0.2)
    sag = np.abs(
        torus_distance(torch.from_numpy(facets.corners.mean(axis=1)), 0.6, 0.2).numpy()
    ).max()
    assert np.abs(signed_distance(facets, POINTS) - exact).max() <= 1.5 * sag


@pytest.mark.parametrize(
    ("mesh", "function"),
    [
        (turned(box(0.5, 0.5, 0.5)), lambda p: box_distance(p, (0.5, 0.5, 0.5))),
        (
            together(
                box(0.2, 0.2, 0.2, at=(-0.5, 0, 0)), turned(box(0.2, 0.2, 0.2, at=(0.5, 0, 0)))
            ),
            lambda p: torch.minimum(
                box_distance(p + torch.tensor([0.5, 0, 0]), (0.2, 0.2, 0.2)),
                box_distance(p - torch.tensor([0.5, 0, 0]), (0.2, 0.2, 0.2)),
            ),
        ),
        (
            together(box(0.8, 0.8, 0.8), turned(box(0.4, 0.4, 0.4))),
            lambda p: torch.maximum(
                box_distance(p, (0.8, 0.8, 0.8)), -box_distance(p, (0.4, 0.4, 0.4))
            ),
        ),
    ],
    ids=["inside out", "two bodies, one inside out", "hollow"],
)
def test_bodies_turned_either_way_and_hollows_keep_their_sign(mesh, function):
    assert is_closed(mesh.faces)
    np.testing.assert_allclose(
        signed_distance(mesh, POINTS), function(torch.from_numpy(POINTS)).numpy(), atol=1e-12
    )


def test_triangles_without_area_do_no_harm():
    mesh = box(0.5, 0.5, 0.5)
    flat = Mesh(vertices=mesh.vertices, faces=np.concatenate([mesh.faces, [[0, 0, 1], [2, 2, 2]]]))
    np.testing.assert_array_equal(signed_distance(flat, POINTS), signed_distance(mesh, POINTS))


def test_distance_takes_no_points_and_many():
    mesh = box(0.5, 0.5, 0.5)
    assert distance(mesh, np.zeros((0, 3))).shape == (0,)
    many = np.zeros((200_001, 3))
    np.testing.assert_array_equal(distance(mesh, many), np.full(len(many), 0.5))


def test_welding_closes_a_soup_and_forgets_what_is_flat_or_unused():
    whole = box(0.5, 0.5, 0.5)
    vertices = np.concatenate([whole.corners.reshape(-1, 3), [[9.0, 9.0, 9.0]]])
    faces = np.concatenate([np.arange(36).reshape(-1, 3), [[0, 0, 1]]])
    noise = 1e-8 * np.random.default_rng(0).normal(size=vertices.shape)
    welded = weld(Mesh(vertices=vertices + noise, faces=faces))
    assert (len(welded.vertices), len(welded.faces)) == (8, 12)
    assert is_closed(welded.faces)
    assert not is_closed(faces[:-1])


@pytest.mark.parametrize(
    ("vertices", "reason"),
    [(np.ones((3, 3)), "one point"), (np.outer(np.arange(3.0), [1, 1, 1]), "no face with an area")],
)
def test_meshes_without_area_are_refused(vertices, reason):
    with pytest.raises(BadSignal, match=reason):
        weld(Mesh(vertices=vertices, faces=np.array([[0, 1, 2]])))


def test_trust_is_the_share_of_the_surface_that_parts_inside_from_outside():
    body = box(0.5, 0.5, 0.5)
    assert sign_trust(body) == 1.0
    buried = together(body, box(0.25, 0.25, 0.25))
    assert sign_trust(buried) == pytest.approx(6 / 7.5, abs=0.03)
    sheets = Mesh(vertices=body.vertices, faces=body.faces[:3])
    assert sign_trust(sheets) < 0.1
    holed = as_mesh(trimesh.creation.icosphere(subdivisions=4))
    assert sign_trust(Mesh(vertices=holed.vertices, faces=holed.faces[5:])) > 0.99


def test_doubled_and_disorderly_faces_are_turned_into_a_body():
    body = box(0.5, 0.5, 0.5)
    doubled = Mesh(vertices=body.vertices, faces=np.concatenate([body.faces, body.faces[:, ::-1]]))
    disorderly = Mesh(vertices=body.vertices, faces=body.faces.copy())
    disorderly.faces[::3] = disorderly.faces[::3, ::-1]
    for mesh in (doubled, disorderly):
        assert sign_trust(mesh) < 0.9
        mended = repair(mesh)
        assert (mended.is_closed, mended.sign_trust) == (True, 1.0)
        np.testing.assert_array_equal(inside(mended.mesh, POINTS), inside(body, POINTS))


def test_bodies_that_overlap_count_alike_whichever_way_each_is_turned():
    """One inside out cancelled the other's winding number where they overlap."""
    one, other = box(0.5, 0.5, 0.5, at=(-0.2, 0, 0)), box(0.4, 0.3, 0.4, at=(0.3, 0.1, 0.05))
    hollow = together(box(0.45, 0.45, 0.45, at=(-0.2, 0, 0)), box(0.1, 0.1, 0.1, at=(-0.5, 0, 0)))
    hollow = Mesh(vertices=hollow.vertices, faces=np.r_[hollow.faces[:12], hollow.faces[12:, ::-1]])
    for first in (one, hollow):
        alike = repair(together(first, other))
        union = inside(first, POINTS) | inside(other, POINTS)
        np.testing.assert_array_equal(inside(alike.mesh, POINTS), union)
        for pair in (
            (turned(first), other),
            (first, turned(other)),
            (turned(first), turned(other)),
        ):
            mended = repair(together(*pair))
            np.testing.assert_array_equal(inside(mended.mesh, POINTS), union)
            assert mended.sign_trust == pytest.approx(alike.sign_trust, abs=0.02)


def test_a_mesh_with_a_right_sign_is_left_as_it_is():
    hollow = together(box(0.8, 0.8, 0.8), turned(box(0.4, 0.4, 0.4)))
    assert repair(hollow).mesh is hollow


@pytest.mark.parametrize(("fill", "reach"), [("cube", 0.9), ("sphere", 0.9 / np.sqrt(3))])
def test_placing_centres_a_mesh_and_can_be_undone(fill, reach):
    mesh = box(20.0, 20.0, 20.0, at=(7.0, -3.0, 100.0))
    placement = place(mesh, fill, margin=0.1)
    placed = placement.to_inr(mesh)
    np.testing.assert_allclose(placed.bounds, [[-reach] * 3, [reach] * 3], atol=1e-12)
    np.testing.assert_allclose(placement.to_file(placed).vertices, mesh.vertices, atol=1e-12)


def test_surface_points_lie_on_the_surface_and_spread_by_area():
    mesh = box(0.5, 0.5, 0.05)
    points, normals = draw_on_surface(mesh, hash_items(["a"]), 20_000)
    assert distance(mesh, points).max() < 1e-12
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1.0)
    assert (np.abs(normals[:, 2]) > 0.5).mean() == pytest.approx(2 / 2.4, abs=0.01)
    again, _ = draw_on_surface(mesh, hash_items(["a"]), 20_000)
    np.testing.assert_array_equal(points, again)


WATERTIGHT = ["cheburashka", "cow", "fandisk", "homer", "rocker-arm", "spot"]
OPEN = ["beetle", "stanford-bunny", "suzanne", "teapot"]


@pytest.mark.parametrize("name", WATERTIGHT + OPEN)
def test_familiar_models_are_closed_or_not_as_is_known(real_data, name):
    welded = weld(read_mesh(real_data / "meshes" / f"{name}.obj", max_faces=2_000_000))
    surface = repair(place(welded, "cube", margin=0.1).to_inr(welded))
    assert surface.is_closed == (name in WATERTIGHT)
    if surface.is_closed:
        assert surface.sign_trust > 0.99
