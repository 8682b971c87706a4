"""Meshes are read as they stand in their files; what is none is refused with a reason."""

import json
import struct

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
        ("a.off", "OFF BINARY\n", "binary OFF"),
        ("a.off", "OFF\n1000000000000000 1 0\n", "1,000,000,000,000,000 vertices"),
        ("a.ply", TRIANGLE, "is not what .ply says"),
        ("a.glb", TRIANGLE, "is not what .glb says"),
        ("a.obj", "\x89PNG and so on", "holds no faces"),
        ("a.stl", "hello", "is cut short or no STL"),
        ("a.stl", exported(".stl")[:300], "is cut short or no STL"),
        ("a.off", TRIANGLE[:30], "does not have the 3 corners"),
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


# A U of 3 x 3 squares, 1 high: two concave polygons of 7 squares, and a wall 16 long.
U_SIDE = [(0, 0), (3, 0), (3, 3), (2, 3), (2, 1), (1, 1), (1, 3), (0, 3)]
U_VERTICES = [(x, y, z) for z in (0, 1) for x, y in U_SIDE]
U_FACES = [
    list(range(7, -1, -1)),
    list(range(8, 16)),
    *([a, (a + 1) % 8, 8 + (a + 1) % 8, 8 + a] for a in range(8)),
]


def off_text(vertices, faces):
    rows = [" ".join(map(str, row)) for row in vertices]
    rows += [" ".join(map(str, (len(face), *face))) for face in faces]
    return "\n".join(["OFF", f"{len(vertices)} {len(faces)} 0", *rows, ""])


def obj_text(vertices, faces):
    rows = ["v " + " ".join(map(str, row)) for row in vertices]
    rows += ["f " + " ".join(f"{i + 1}/7" for i in face) for face in faces]
    return "\n".join([*rows, ""])


def ply_head(form, num_vertices, num_faces):
    return (
        f"ply\nformat {form} 1.0\ncomment by hand\nelement vertex {num_vertices}\n"
        "property float x\nproperty float y\nproperty float z\n"
        f"element face {num_faces}\nproperty uchar red\n"
        "property list uchar int vertex_indices\nend_header\n"
    )


def ply_text(vertices, faces):
    rows = [" ".join(map(str, row)) for row in vertices]
    rows += [" ".join(map(str, (9, len(face), *face))) for face in faces]
    return ply_head("ascii", len(vertices), len(faces)) + "\n".join([*rows, ""])


def ply_bytes(vertices, faces, order="<"):
    form = "binary_little_endian" if order == "<" else "binary_big_endian"
    body = b"".join(struct.pack(order + "3f", *row) for row in vertices)
    body += b"".join(struct.pack(f"{order}BB{len(f)}i", 9, len(f), *f) for f in faces)
    return ply_head(form, len(vertices), len(faces)).encode() + body


WRITERS = {
    "a.off": off_text,
    "a.obj": obj_text,
    "a.ply": ply_text,
    "little.ply": ply_bytes,
    "big.ply": lambda vertices, faces: ply_bytes(vertices, faces, ">"),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_concave_and_mixed_polygons_keep_their_area(tmp_path, name, axis):
    vertices = np.roll(np.array(U_VERTICES), axis, axis=1).tolist()
    mesh = read_mesh(written(tmp_path, name, WRITERS[name](vertices, U_FACES)), max_faces=99)
    assert mesh.areas.sum() == pytest.approx(2 * 7 + 16)
    # Triangles that cross the gap could make up for one another in area, but not in volume.
    a, b, c = mesh.corners.swapaxes(0, 1)
    assert (a * np.cross(b, c)).sum() / 6 == pytest.approx(7.0)


def cube_at(x, relative):
    """A unit cube of OBJ lines; relative indices count back from the last vertex."""
    corners = [f"v {x + i} {j} {k}" for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    quads = ("1 2 4 3", "5 7 8 6", "1 5 6 2", "3 4 8 7", "1 3 7 5", "2 6 8 4")
    start = -9 if relative else 8 * (x // 3)
    faces = [f"f {' '.join(str(int(i) + start) for i in quad.split())}" for quad in quads]
    return [*corners, *faces]


def test_relative_indices_count_back_from_their_own_face(tmp_path):
    meshes = [
        read_mesh(written(tmp_path, "a.obj", "\n".join(cube_at(0, flag) + cube_at(3, flag))), 99)
        for flag in (False, True)
    ]
    for mesh in meshes:
        np.testing.assert_array_equal(mesh.bounds, [[0, 0, 0], [4, 1, 1]])
        assert mesh.areas.sum() == pytest.approx(12.0)
    np.testing.assert_array_equal(meshes[0].corners, meshes[1].corners)


@pytest.mark.parametrize("name", ["a.off", "a.ply", "little.ply", "big.ply", "a.stl", "a.glb"])
def test_a_file_that_lost_its_end_is_never_a_smaller_mesh(tmp_path, name):
    content = exported(name[1:]) if name in ("a.stl", "a.glb") else None
    content = content or WRITERS[name](U_VERTICES, U_FACES)
    content = content if isinstance(content, bytes) else content.encode()
    read_mesh(written(tmp_path, name, content), max_faces=99)
    for lost in (6, 40, len(content) // 2, len(content) - 20):
        with pytest.raises(BadSignal, match=r"cut short|damaged|needs|end_header|not have"):
            read_mesh(written(tmp_path, name, content[:-lost]), max_faces=99)
    if name != "a.stl":  # one that gained bytes is damaged, too
        with pytest.raises(BadSignal):
            read_mesh(written(tmp_path, name, content + b"3 0 1 2\n"), max_faces=99)


# NumPy's warning of the mangled number, which a build does not see.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_cut_text_of_stl_is_refused(tmp_path):
    text = trimesh.exchange.stl.export_stl_ascii(BOX)
    assert len(read_mesh(written(tmp_path, "a.stl", text), 99).faces) == 12
    place = text.index("vertex", len(text) // 2)
    mangled = text[:place] + "vertex x" + text[place + 8 :]
    for damaged in (text[:-3], text[: len(text) // 2], mangled):
        path = written(tmp_path, "a.stl", damaged)
        with pytest.raises(BadSignal, match=r"cut short or damaged|cannot be read as stl"):
            read_mesh(path, 99)


def glb(change):
    """A box as GLB, after a change to its JSON document."""
    whole = BOX.export(file_type="glb")
    size = struct.unpack("<I", whole[12:16])[0]
    document = json.loads(whole[20 : 20 + size])
    change(document)
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    rest = struct.pack("<I4s", len(text), b"JSON") + text + whole[20 + size :]
    return struct.pack("<4sII", b"glTF", 2, len(rest) + 12) + rest


def hide_vertices(document):
    primitive = document["meshes"][0]["primitives"][0]
    del document["accessors"][primitive["attributes"]["POSITION"]]["bufferView"]
    primitive["extensions"] = {"KHR_draco_mesh_compression": {"bufferView": 0}}


def copy_the_body(document):
    """100 nodes that show one mesh of 12 faces."""
    document["nodes"] = [{"mesh": 0} for _ in range(100)]
    document["scenes"][0]["nodes"] = list(range(100))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d.update(extensionsRequired=["EXT_meshopt_compression"]), "EXT_meshopt_comp"),
        (hide_vertices, "KHR_draco_mesh_compression, which inrgen does not decode"),
        (lambda d: d["accessors"].append({"count": 10**12}), "1,000,000,000,000 values without"),
        (lambda d: d["accessors"][0].update(count=10**9), "beyond its buffer|values"),
        (lambda d: d["nodes"].extend([{}] * 100_000), "nodes, more than the 5,000 allowed"),
        (lambda d: d["nodes"].append({"children": [len(d["nodes"])]}), ""),
        (lambda d: d["nodes"].extend([{"children": [0]}] * 2), "two parents"),
        (copy_the_body, "has 1,200 faces, more than the 99 allowed"),
        (lambda d: d.update(meshes=3), "cannot be read as glb"),
    ],
)
def test_a_glb_that_hides_or_multiplies_its_shape_is_refused(tmp_path, change, reason):
    assert len(read_mesh(written(tmp_path, "a.glb", glb(lambda d: None)), 99).faces) == 12
    path = written(tmp_path, "b.glb", glb(change))
    if not reason:  # a circle beside the scene does no harm
        assert len(read_mesh(path, 99).faces) == 12
        return
    with pytest.raises(BadSignal, match=reason):
        read_mesh(path, max_faces=99)


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
