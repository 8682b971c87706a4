"""Surfaces are drawn where they are, nearest last, by whatever side the camera is on."""

import numpy as np
import pytest
import trimesh
from matplotlib.figure import Figure

from inrgen.figures.meshes import SolidPair, solids_figure, up_axis
from inrgen.figures.solids import Camera, draw_solid
from inrgen.figures.style import save_figure
from inrgen.sources.mesh import Mesh


def as_mesh(made):
    return Mesh(vertices=np.asarray(made.vertices), faces=np.asarray(made.faces, dtype=np.int64))


@pytest.mark.parametrize("up", [1, 2])
def test_a_camera_is_a_rotation_whose_up_points_up(up):
    axes = Camera(up=up).axes()
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(axes) == pytest.approx(1.0)
    seen = axes @ np.eye(3)[up]
    assert seen[0] == pytest.approx(0.0)
    assert seen[1] > 0.8
    assert seen[2] > 0.3  # and the camera looks down on it


def test_nearer_triangles_are_drawn_over_farther_ones():
    figure = Figure()
    axes = figure.subplots()
    mesh = as_mesh(trimesh.creation.box())
    draw_solid(axes, mesh, Camera())
    (drawn,) = axes.collections
    toward = Camera().axes()[2]
    nearest = mesh.corners[np.argmax(mesh.corners.mean(axis=1) @ toward)] @ Camera().axes()[:2].T
    np.testing.assert_allclose(drawn.get_paths()[-1].vertices[:3], nearest, atol=1e-12)


def test_pairs_are_drawn_also_where_one_is_missing(tmp_path):
    ball = as_mesh(trimesh.creation.icosphere(1, 0.8))
    pairs = [
        SolidPair(original=ball, reconstruction=ball, title="a", caption="IoU 1.000"),
        SolidPair(original=None, reconstruction=None, title="b", caption=""),
    ]
    out = save_figure(solids_figure(pairs, heading="two"), tmp_path / "two.png")
    assert out.stat().st_size > 5000
    with pytest.raises(ValueError, match="at least one pair"):
        solids_figure([])


@pytest.mark.parametrize(
    ("item_id", "up", "axis"),
    [
        ("cow.OBJ", "auto", "y"),
        ("a/b.glb", "auto", "y"),
        ("chair/train/1.off", "auto", "z"),
        ("x.ply", "auto", "z"),
        ("cow.obj", "z", "z"),
        ("1.off", "y", "y"),
    ],
)
def test_the_format_says_what_is_up_unless_the_user_does(item_id, up, axis):
    assert up_axis(item_id, up) == axis


def test_a_shape_with_y_up_stands_upright():
    """A tower along y is drawn taller than wide, and one along z is not."""
    tower = as_mesh(trimesh.creation.box(extents=(0.2, 1.6, 0.2)))
    figure = solids_figure(
        [
            SolidPair(original=tower, reconstruction=None, title="", caption="", up=up)
            for up in (1, 2)
        ]
    )
    sizes = []
    for axes in figure.axes[:2]:
        (drawn,) = axes.collections
        corners = np.concatenate([path.vertices for path in drawn.get_paths()])
        sizes.append(np.ptp(corners, axis=0))
    assert sizes[0][1] > 2 * sizes[0][0]
    assert sizes[1][1] < sizes[1][0]
