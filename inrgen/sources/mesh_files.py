"""Triangle meshes from files; a file without a usable mesh gives a short reason."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import trimesh

from inrgen.sources.base import BadSignal
from inrgen.sources.glb_header import check_glb
from inrgen.sources.mesh import Mesh
from inrgen.sources.mesh_ply import read_ply
from inrgen.sources.mesh_text import read_obj, read_off

MESH_SUFFIXES = frozenset({".off", ".obj", ".ply", ".stl", ".glb"})
# Other mesh formats become items that are refused: passing over them would look like success.
FOREIGN_SUFFIXES = frozenset(
    ".3ds .3mf .abc .blend .ctm .dae .dxf .fbx .gltf .iges .igs .max .step .stp .usd .usdz .vtk "
    ".wrl .x3d".split()
)
# In an OBJ file, a face corner with texture and normal takes about 30 bytes, a vertex as many.
_BYTES_A_FACE = 400
_LEAST_LIMIT_BYTES = 64_000_000
_STL_HEAD_BYTES, _STL_FACE_BYTES = 84, 50


def _file_bytes(path: Path, max_faces: int) -> bytes:
    size = path.stat().st_size
    if size == 0:
        raise BadSignal("is an empty file")
    limit = max(_LEAST_LIMIT_BYTES, _BYTES_A_FACE * max_faces)
    if size > limit:
        raise BadSignal(
            f"is {size:,} bytes, more than a mesh of at most {max_faces:,} faces takes ({limit:,})"
        )
    return path.read_bytes()


def _read_with_trimesh(content: bytes, file_type: str) -> Mesh:
    """Read an STL or GLB file with trimesh, unmerged, its scene joined.

    trimesh gets bytes instead of a path, so a file cannot make it read another file.
    """
    loaded = trimesh.load(
        io.BytesIO(content),
        file_type=file_type,
        process=False,
        force="mesh",
        skip_materials=True,  # pictures within a GLB could be huge, and no shape needs them
    )
    if not isinstance(loaded, trimesh.Trimesh):
        return Mesh(vertices=np.zeros((0, 3)), faces=np.zeros((0, 3), dtype=np.int64))
    return Mesh(
        vertices=np.asarray(loaded.vertices, dtype=np.float64),
        faces=np.asarray(loaded.faces, dtype=np.int64),
    )


def _read_stl(content: bytes) -> Mesh:
    """Read a binary or ASCII STL file. Raises BadSignal if its header or its end disagree."""
    num_faces = int.from_bytes(content[80:84], "little")
    expected = _STL_HEAD_BYTES + _STL_FACE_BYTES * num_faces
    if len(content) == expected and len(content) >= _STL_HEAD_BYTES:
        return _read_with_trimesh(content, "stl")
    text = content.lower()
    num_ends = text.count(b"endfacet")
    if not text.lstrip().startswith(b"solid") or not num_ends:
        raise BadSignal(
            f"is cut short or no STL: its header says {num_faces:,} triangles in "
            f"{expected:,} bytes; it has {len(content):,}"
        )
    counts = {num_ends, text.count(b"outer loop"), text.count(b"endloop")}
    # NumPy stops at the first word that is no number, so trimesh may give fewer faces.
    mesh = _read_with_trimesh(content, "stl")
    if len(counts) > 1 or b"endsolid" not in text or len(mesh.faces) != num_ends:
        raise BadSignal(f"is cut short or damaged: {num_ends:,} of its facets end")
    return mesh


_READERS: dict[str, Callable[[bytes], Mesh]] = {
    ".off": read_off,
    ".obj": read_obj,
    ".ply": read_ply,
    ".stl": _read_stl,
    ".glb": lambda content: _read_with_trimesh(content, "glb"),
}
# OBJ and STL files begin with anything.
_MAGIC = {".ply": b"ply", ".glb": b"glTF"}


def _parse(content: bytes, suffix: str, max_faces: int) -> Mesh:
    magic = _MAGIC.get(suffix, b"")
    if not content.startswith(magic):
        raise BadSignal(f"is not what {suffix} says: it does not begin with {magic.decode()}")
    try:
        if suffix == ".glb":
            check_glb(content, max_faces)
        return _READERS[suffix](content)
    except BadSignal:
        raise
    except Exception as error:  # damaged files make readers raise errors of every type
        said = " ".join(str(error).split())[:120]
        raise BadSignal(f"cannot be read as {suffix[1:]}: {type(error).__name__}: {said}") from None


def read_mesh(path: Path, max_faces: int) -> Mesh:
    """Read an OFF, OBJ, PLY, STL or GLB file as triangles; polygons are cut into triangles.

    Raises:
        BadSignal: the file is empty, not what its suffix says, damaged, cut short, in need of an
            extension that is not decoded, or holds no faces, more than max_faces, or vertices that
            are not finite.
    """
    suffix = path.suffix.lower()
    if suffix not in MESH_SUFFIXES:
        known = ", ".join(sorted(MESH_SUFFIXES))
        raise BadSignal(f"is a {suffix} file, which inrgen does not read; it reads {known}")
    mesh = _parse(_file_bytes(path, max_faces), suffix, max_faces)
    if len(mesh.faces) == 0:
        raise BadSignal("holds no faces: a cloud of points, or no mesh at all")
    if len(mesh.faces) > max_faces:
        raise BadSignal(f"has {len(mesh.faces):,} faces, more than the {max_faces:,} allowed")
    if mesh.faces.min() < 0 or mesh.faces.max() >= len(mesh.vertices):
        raise BadSignal("has a face that names a vertex which is not there")
    if not np.isfinite(mesh.vertices[mesh.faces]).all():
        raise BadSignal("has faces at vertices that are not finite")
    return mesh
