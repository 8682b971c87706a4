"""PLY files, text or binary: vertices and polygons, held to the header (G. Turk, 1994)."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from inrgen.sources.base import BadSignal
from inrgen.sources.mesh import Mesh
from inrgen.sources.mesh_text import counted_faces, read_columns
from inrgen.sources.polygons import group_polygons, triangulate

_TYPES = {
    **dict(zip(("char", "uchar", "short", "ushort"), ("i1", "u1", "i2", "u2"), strict=True)),
    **dict(zip(("int", "uint", "float", "double"), ("i4", "u4", "f4", "f8"), strict=True)),
    **dict(zip(("int8", "uint8", "int16", "uint16"), ("i1", "u1", "i2", "u2"), strict=True)),
    **dict(zip(("int32", "uint32", "float32", "float64"), ("i4", "u4", "f4", "f8"), strict=True)),
}
_BYTE_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_CORNER_NAMES = ("vertex_indices", "vertex_index")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Property:
    """A column; count_type is the type of a list's length, "" for a single number."""

    name: str
    value_type: str
    count_type: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Element:
    """A table of the file."""

    name: str
    length: int
    properties: list[_Property]

    def place(self, *names: str) -> int:
        """The position of the first property with one of the names, -1 for none."""
        return next((i for i, p in enumerate(self.properties) if p.name in names), -1)


def _parse_header(head: bytes) -> tuple[str, list[_Element]]:
    """The byte order ("" for text) and the elements. Raises BadSignal."""
    order, elements = None, list[_Element]()
    for line in head.decode("latin-1").splitlines()[1:]:
        match line.split():
            case ["format", name, _] if name in _BYTE_ORDERS:
                order = _BYTE_ORDERS[name]
            case ["element", name, length] if length.isdecimal():
                elements.append(_Element(name=name, length=int(length), properties=[]))
            case ["property", "list", count, value, name] if elements and {count, value} <= {
                *_TYPES
            }:
                elements[-1].properties.append(
                    _Property(name=name, value_type=_TYPES[value], count_type=_TYPES[count])
                )
            case ["property", value, name] if elements and value in _TYPES:
                elements[-1].properties.append(_Property(name=name, value_type=_TYPES[value]))
            case [] | ["comment" | "obj_info", *_]:
                pass
            case _:
                raise BadSignal(f"has a header that is no PLY: {line[:60]!r}")
    if order is None:
        raise BadSignal("has a header without a format that inrgen knows")
    return order, elements


def _cut_short(element: _Element) -> BadSignal:
    return BadSignal(f"is cut short: its header says {element.length:,} of {element.name}")


def _row_type(element: _Element, order: str, lengths: dict[str, int]) -> np.dtype:
    """The layout of a row whose lists have these lengths, 0 by default."""
    fields: list[Any] = []
    for prop in element.properties:
        if prop.count_type:
            fields.append((f"{prop.name} count", order + prop.count_type))
            fields.append((prop.name, order + prop.value_type, (lengths.get(prop.name, 0),)))
        else:
            fields.append((prop.name, order + prop.value_type))
    return np.dtype(fields)


def _read_lists(
    body: bytes, start: int, element: _Element, order: str
) -> tuple[dict[str, tuple[int, int]], int]:
    """Start and length of each list of a row, and the end of the row."""
    lists: dict[str, tuple[int, int]] = {}
    for prop in element.properties:
        count = 1
        if prop.count_type:
            size = int(prop.count_type[1])
            if start + size > len(body):
                raise _cut_short(element)
            count = int(np.frombuffer(body, order + prop.count_type, 1, start)[0])
            start += size
            lists[prop.name] = (start, count)
        start += count * int(prop.value_type[1])
        if count < 0 or start > len(body):
            raise _cut_short(element)
    return lists, start


def _read_table(
    body: bytes, start: int, element: _Element, order: str
) -> tuple[np.ndarray | None, int]:
    """The rows of a binary element and its end; None if its lists differ in length."""
    if element.length * max(1, len(element.properties)) > len(body) - start:
        raise _cut_short(element)
    lists = _read_lists(body, start, element, order)[0] if element.length else {}
    layout = _row_type(element, order, {name: count for name, (_, count) in lists.items()})
    end = start + element.length * layout.itemsize
    if end <= len(body):
        table = np.frombuffer(body, layout, element.length, start)
        if all((table[f"{name} count"] == count).all() for name, (_, count) in lists.items()):
            return table, end
    if not lists:
        raise _cut_short(element)
    return None, start


def _walk_faces(
    body: bytes, start: int, element: _Element, order: str, corner: _Property | None
) -> tuple[np.ndarray, np.ndarray, int]:
    """Corners and counts of faces whose lists differ in length, row by row; and their end."""
    size = 1 if corner is None else int(corner.value_type[1])
    parts, counts = [], []
    for _ in range(element.length):
        lists, start = _read_lists(body, start, element, order)
        if corner is not None:
            begin, count = lists[corner.name]
            parts.append(body[begin : begin + count * size])
            counts.append(count)
    value_type = "u1" if corner is None else order + corner.value_type
    corners = np.frombuffer(b"".join(parts), value_type).astype(np.int64)
    return corners, np.array(counts, dtype=np.int64), start


def _read_binary(body: bytes, elements: list[_Element], order: str) -> Mesh:
    start, vertices = 0, np.zeros((0, 3))
    corners = counts = np.zeros(0, dtype=np.int64)
    for element in elements:
        at = element.place(*_CORNER_NAMES) if element.name == "face" else -1
        corner = element.properties[at] if at >= 0 else None
        table, start = _read_table(body, start, element, order)
        if table is None:
            found = _walk_faces(body, start, element, order, corner)
            corners, counts = found[:2] if corner is not None else (corners, counts)
            start = found[2]
        elif corner is not None and element.length:
            rows = table[corner.name].astype(np.int64)
            corners, counts = rows.reshape(-1), np.full(len(rows), rows.shape[1])
        elif element.name == "vertex":
            vertices = np.stack([table[axis] for axis in "xyz"], axis=1).astype(np.float64)
    if start != len(body):
        raise BadSignal(f"holds {len(body) - start:,} bytes more than its header says")
    return triangulate(vertices, list(group_polygons(corners, counts)))


def _read_text(body: bytes, elements: list[_Element]) -> Mesh:
    lines = [line for line in body.decode("latin-1").splitlines() if line.strip()]
    if len(lines) != sum(element.length for element in elements):
        said = ", ".join(f"{element.length:,} of {element.name}" for element in elements)
        raise BadSignal(f"says {said}, and holds {len(lines):,} lines for them: it is damaged")
    start, vertices = 0, np.zeros((0, 3))
    corners = counts = np.zeros(0, dtype=np.int64)
    for element in elements:
        rows = lines[start : start + element.length]
        start += element.length
        if element.name == "vertex":
            places = [element.place(axis) for axis in "xyz"]
            vertices = read_columns(rows, places, "vertex")
        if element.name == "face" and (at := element.place(*_CORNER_NAMES)) >= 0:
            if any(prop.count_type for prop in element.properties[:at]):
                raise BadSignal("has faces with a list before their corners, which is not read")
            corners, counts = counted_faces(rows, skip=at)
    return triangulate(vertices, list(group_polygons(corners, counts)))


def read_ply(content: bytes) -> Mesh:
    """Read a PLY file: its elements vertex (x, y, z) and face (vertex_indices or vertex_index).

    Raises BadSignal if the file holds less or more than its header says.
    """
    head, ended, body = content.partition(b"end_header")
    # The line ends with \n, \r\n or \r; a binary body may begin with any of their bytes.
    body = body.removeprefix(b"\r\n") if body[:2] == b"\r\n" else body[1:]
    if not ended:
        raise BadSignal("has no end_header: it is cut short or no PLY file")
    order, elements = _parse_header(head)
    vertex = next((element for element in elements if element.name == "vertex"), None)
    if vertex is None or min(vertex.place(axis) for axis in "xyz") < 0:
        raise BadSignal("needs vertices with x, y and z")
    if any(prop.count_type for prop in vertex.properties):
        raise BadSignal("has vertices with lists, which inrgen does not read")
    if any(element.name == "tristrips" for element in elements):
        raise BadSignal("holds strips of triangles, which inrgen does not read")
    return _read_binary(body, elements, order) if order else _read_text(body, elements)
