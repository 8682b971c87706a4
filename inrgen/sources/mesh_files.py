"""Triangle meshes from files; a file without a usable mesh gives a short reason."""

import io
from pathlib import Path

import numpy as np
import trimesh

from inrgen.sources.base import BadSignal
from inrgen.sources.mesh import Mesh

MESH_SUFFIXES = frozenset({".off", ".obj", ".ply", ".stl", ".glb"})
# Other mesh formats become items that are refused: passing over them would look like success.
FOREIGN_SUFFIXES = frozenset(
    ".3ds .3mf .abc .blend .ctm .dae .dxf .fbx .gltf .iges .igs .max .step .stp .usd .usdz .vtk "
    ".wrl .x3d".split()
)
# In an OBJ file, a face corner with texture and normal takes about 30 bytes, a vertex as many.
_BYTES_A_FACE = 400
_LEAST_LIMIT_BYTES = 64_000_000


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


def _starts_wrong(content: bytes, suffix: str) -> str:
    """Say how a file's first bytes contradict its suffix; "" if they do not (OBJ, STL never do)."""
    match suffix:
        case ".off" if b"OFF" not in content[:256].upper():
            return "does not begin with OFF"
        case ".ply" if not content.startswith(b"ply"):
            return "does not begin with ply"
        case ".glb" if not content.startswith(b"glTF"):
            return "does not begin with glTF"
    return ""


def _parse(content: bytes, suffix: str) -> Mesh:
    """Parse a file with trimesh: no merging, polygons cut into fans, scenes joined.

    trimesh gets bytes instead of a path, so a file cannot make it read another file.
    """
    try:
        loaded = trimesh.load(
            io.BytesIO(content), file_type=suffix[1:], process=False, force="mesh"
        )
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:  # trimesh's readers raise errors of many types
        said = " ".join(str(error).split())[:120]
        raise BadSignal(f"cannot be read as {suffix[1:]}: {type(error).__name__}: {said}") from None
    if not isinstance(loaded, trimesh.Trimesh) or len(loaded.faces) == 0:
        raise BadSignal("holds no faces: a cloud of points, or no mesh at all")
    return Mesh(
        vertices=np.asarray(loaded.vertices, dtype=np.float64),
        faces=np.asarray(loaded.faces, dtype=np.int64),
    )


def read_mesh(path: Path, max_faces: int) -> Mesh:
    """Read the triangles of an OFF, OBJ, PLY, STL or GLB file, unchanged.

    OFF files may put their counts on the first line ("OFF3514 3546 0"), as ModelNet's do.

    Raises:
        BadSignal: the file is empty, not what its suffix says, damaged, or holds no faces, more
            than max_faces, or vertices that are not finite.
    """
    suffix = path.suffix.lower()
    if suffix not in MESH_SUFFIXES:
        known = ", ".join(sorted(MESH_SUFFIXES))
        raise BadSignal(f"is a {suffix} file, which inrgen does not read; it reads {known}")
    content = _file_bytes(path, max_faces)
    wrong = _starts_wrong(content, suffix)
    if wrong:
        raise BadSignal(f"is not what {suffix} says: it {wrong}")
    mesh = _parse(content, suffix)
    if len(mesh.faces) > max_faces:
        raise BadSignal(f"has {len(mesh.faces):,} faces, more than the {max_faces:,} allowed")
    if mesh.faces.min() < 0 or mesh.faces.max() >= len(mesh.vertices):
        raise BadSignal("has a face that names a vertex which is not there")
    if not np.isfinite(mesh.vertices[mesh.faces]).all():
        raise BadSignal("has faces at vertices that are not finite")
    return mesh
