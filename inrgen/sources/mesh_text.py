"""OFF and OBJ files: vertices and polygons in text, held to the counts of the file itself."""

import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from inrgen.sources.base import BadSignal
from inrgen.sources.mesh import Mesh
from inrgen.sources.polygons import group_polygons, triangulate

# COFF, NOFF and STOFF bring colours, normals and texture beside the three coordinates.
_OFF_HEAD = re.compile(r"(ST)?C?N?OFF", re.IGNORECASE)


def read_columns(
    lines: Sequence[str], columns: Sequence[int], noun: str
) -> Float[np.ndarray, "n c"]:
    """Read columns of numbers from lines of text. Raises BadSignal, naming the first bad line."""
    if not lines:
        return np.zeros((0, len(columns)))
    try:
        return np.loadtxt(lines, usecols=columns, ndmin=2, comments=None)
    except (ValueError, IndexError):
        bad = next((i for i, line in enumerate(lines) if not _has_numbers(line, columns)), 0)
        said = lines[bad].strip()[:60]
        raise BadSignal(f"{noun} {bad} needs {len(columns)} numbers; got {said!r}") from None


def _has_numbers(line: str, columns: Sequence[int]) -> bool:
    words = line.split()
    try:
        return all(float(words[column]) is not None for column in columns)
    except (ValueError, IndexError):
        return False


def read_whole(words: Sequence[str], noun: str) -> np.ndarray:
    """Read whole numbers. Raises BadSignal."""
    try:
        return np.array(words, dtype=str).astype(np.int64) if len(words) else np.zeros(0, int)
    except (ValueError, OverflowError) as error:
        raise BadSignal(f"has {noun} that are no whole numbers: {str(error)[:80]}") from None


def counted_faces(lines: Sequence[str], skip: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Corners and counts of faces in lines such as "4 0 1 2 3", of OFF and PLY.

    Args:
        skip: the number of words before the count.
    """
    words = [line.split() for line in lines]
    if any(len(row) <= skip for row in words):
        raise BadSignal("has a face without a count of corners")
    counts = read_whole([row[skip] for row in words], "counts of corners")
    short = np.flatnonzero(counts > np.array([len(row) - skip - 1 for row in words], dtype=int))
    if len(short) or (counts < 0).any():
        at = int(short[0]) if len(short) else int(counts.argmin())
        raise BadSignal(f"face {at} does not have the {counts[at]} corners that it says")
    first = skip + 1
    flat = [w for row, n in zip(words, counts.tolist(), strict=True) for w in row[first:][:n]]
    return read_whole(flat, "corners"), counts


def read_off(content: bytes) -> Mesh:
    """Read an OFF file. Its counts may stand on the first line ("OFF3514 3546 0"), as ModelNet's.

    Raises BadSignal if the file holds less or more than its counts say.
    """
    text = content.decode("latin-1").removeprefix("\xef\xbb\xbf")
    lines = [bare for line in text.splitlines() if (bare := line.split("#", 1)[0].strip())]
    head = _OFF_HEAD.match(lines[0]) if lines else None
    if head is None:
        raise BadSignal("is not what .off says: it does not begin with OFF")
    if lines[0][head.end() :].strip().upper().startswith("BINARY"):
        raise BadSignal("is a binary OFF file, which inrgen does not read")
    lines[0] = lines[0][head.end() :].strip()
    lines = lines if lines[0] else lines[1:]
    counts = read_whole(lines[0].split()[:2] if lines else [], "counts")
    if len(counts) < 2 or counts.min() < 0:
        raise BadSignal("needs a count of vertices and one of faces after OFF")
    num_vertices, num_faces = counts.tolist()
    if len(lines) - 1 != num_vertices + num_faces:
        raise BadSignal(
            f"says {num_vertices:,} vertices and {num_faces:,} faces, and holds "
            f"{len(lines) - 1:,} lines for them: it is cut short or damaged"
        )
    vertices = read_columns(lines[1 : num_vertices + 1], (0, 1, 2), "vertex")
    corners, counts = counted_faces(lines[num_vertices + 1 :])
    return triangulate(vertices, list(group_polygons(corners, counts)))


def read_obj(content: bytes) -> Mesh:
    """Read the vertices and polygons of an OBJ file; all else in it is passed over.

    Negative indices count back from the last vertex above the face, so each face keeps the number
    of vertices that came before it.
    """
    text = content.decode("latin-1").removeprefix("\xef\xbb\xbf").replace("\\\r\n", " ")
    vertex_lines, face_lines, num_before = [], [], []
    for line in text.replace("\\\n", " ").splitlines():
        kind, _, rest = line.strip().partition(" ")
        if kind == "v":
            vertex_lines.append(rest)
        elif kind == "f":
            face_lines.append(rest.split("#", 1)[0])
            num_before.append(len(vertex_lines))
    vertices = read_columns(vertex_lines, (0, 1, 2), "vertex")
    words = [line.split() for line in face_lines]
    counts = np.array([len(row) for row in words], dtype=np.int64)
    # 7/2/5 names vertex 7 with texture 2 and normal 5.
    numbers = read_whole([w.partition("/")[0] for row in words for w in row], "corners")
    if (numbers == 0).any():
        raise BadSignal("has a face that names vertex 0; OBJ counts from 1")
    before = np.repeat(np.array(num_before, dtype=np.int64), counts)
    corners = np.where(numbers > 0, numbers - 1, before + numbers)
    return triangulate(vertices, list(group_polygons(corners, counts)))
