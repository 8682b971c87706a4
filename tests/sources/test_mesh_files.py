"""Meshes are read as they stand in their files; what is none is refused with a reason."""

import numpy as np
import pytest
import trimesh

from inrgen.sources.base import BadSignal
from inrgen.sources.mesh_files import read_mesh

BOX = trimesh.creation.box()
TRIANGLE = "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"


def written(folder, name, content):
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def exported(suffix):
    return BOX.export(file_type=suffix[1:])


@pytest.mark.parametrize("suffix", [".off", ".obj", ".ply", ".stl", ".glb"])
def test_every_format_gives_the_same_box(tmp_path, suffix):
    mesh = read_mesh(written(tmp_path, f"box{suffix}", exported(suffix)), max_faces=12)
    assert len(mesh.faces) == 12
    assert mesh.areas.sum() == pytest.approx(6.0)
    np.testing.assert_allclose(mesh.bounds, [[-0.5] * 3, [0.5] * 3], atol=1e-7)


@pytest.mark.parametrize("head", ["OFF8 12 0\n", "OFF 8 12 0\n", "OFF\n# made by hand\n\n8 12 0\n"])
def test_counts_may_stand_on_the_first_line_of_an_off_file(tmp_path, head):
    body = exported(".off").split("\n", 2)[2]
    mesh = read_mesh(written(tmp_path, "box.off", head + body), max_faces=12)
    assert mesh.faces.shape == (12, 3)


@pytest.mark.parametrize(
    ("name", "content", "num_faces"),
    [
        ("a.off", "OFF\n5 2 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n.5 1.5 0\n4 0 1 2 3\n3 2 4 3\n", 3),
        ("a.off", "OFF\n5 1 0\n0 0 0\n1 0 0\n1 1 0\n.5 1.5 0\n0 1 0\n5 0 1 2 3 4\n", 3),
        ("a.obj", "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nf 1 2 3 4\n", 2),
        ("a.obj", "mtllib ../../secret.mtl\nusemtl m\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf -3 -2 -1\n", 1),
    ],
)
def test_polygons_become_triangles_of_the_same_area(tmp_path, name, content, num_faces):
    mesh = read_mesh(written(tmp_path, name, content), max_faces=10)
    assert len(mesh.faces) == num_faces
    assert mesh.areas.sum() in (pytest.approx(1.25), pytest.approx(1.0), pytest.approx(0.5))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.off", "", "empty file"),
        ("a.off", exported(".stl"), "is not what .off says"),
        ("a.ply", TRIANGLE, "is not what .ply says"),
        ("a.glb", TRIANGLE, "is not what .glb says"),
        ("a.obj", "\x89PNG and so on", "holds no faces"),
        ("a.stl", "hello", "cannot be read as stl|holds no faces"),
        ("a.stl", exported(".stl")[:300], "cannot be read as stl|holds no faces"),
        ("a.off", TRIANGLE[:30], "cannot be read as off|holds no faces"),
        ("a.off", "OFF\n3 0 0\n0 0 0\n1 0 0\n0 1 0\n", "holds no faces"),
        ("a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\n", "a cloud of points"),
        ("a.ply", trimesh.PointCloud(np.eye(3)).export(file_type="ply"), "a cloud of points"),
        ("a.off", TRIANGLE.replace("0 1 2", "0 1 7"), "cannot be read|not there"),
        ("a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 7\n", "cannot be read|not there"),
        ("a.off", TRIANGLE.replace("1 0 0\n0", "nan 0 0\n0"), "not finite"),
        ("a.obj", "v 0 0 0\nv inf 0 0\nv 0 1 0\nf 1 2 3\n", "not finite"),
        ("a.off", exported(".off"), "has 12 faces, more than the 3 allowed"),
        ("a.fbx", "Kaydara", "is a .fbx file, which inrgen does not read"),
    ],
)
def test_what_is_no_mesh_is_refused_with_a_reason(tmp_path, name, content, reason):
    with pytest.raises(BadSignal, match=reason):
        read_mesh(written(tmp_path, name, content), max_faces=3)


def test_a_file_too_large_for_its_faces_is_not_even_read(tmp_path):
    path = tmp_path / "a.stl"
    with path.open("wb") as file:
        file.truncate(1_000_000_000)
    with pytest.raises(BadSignal, match="1,000,000,000 bytes"):
        read_mesh(path, max_faces=2_000_000)


@pytest.mark.parametrize("name", ["spot", "suzanne", "stanford-bunny"])
def test_familiar_models_are_read(real_data, name):
    mesh = read_mesh(real_data / "meshes" / f"{name}.obj", max_faces=2_000_000)
    assert len(mesh.faces) > 500
    assert mesh.areas.sum() > 0
