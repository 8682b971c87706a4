"""Checks of a GLB file before it is decoded: nothing hidden, too large or circular."""

import json
from typing import Any

from inrgen.sources.base import BadSignal

# Required extensions that change colours or light, and no geometry.
_HARMLESS = ("KHR_materials_", "KHR_texture_", "EXT_texture_", "KHR_lights_", "KHR_xmp")
_KNOWN = frozenset({"KHR_mesh_quantization", "MSFT_texture_dds"})
# trimesh builds a graph of the nodes: 4,900 nodes took 3 s, 100,000 over a minute.
_MAX_NODES = 5_000
_TRIANGLES, _STRIP, _FAN = 4, 5, 6
_COMPONENT_BYTES = {5120: 1, 5121: 1, 5122: 2, 5123: 2, 5125: 4, 5126: 4}
_COMPONENTS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}


def read_document(content: bytes) -> dict[str, Any]:
    """The JSON document of a GLB file. Raises BadSignal if the file is cut short or no GLB."""
    length, size = (int.from_bytes(content[at : at + 4], "little") for at in (8, 12))
    if len(content) < 20 or length != len(content):
        raise BadSignal(f"is cut short: its header says {length:,} bytes; it has {len(content):,}")
    if content[16:20] != b"JSON" or 20 + size > len(content):
        raise BadSignal("has no whole JSON document")
    document = json.loads(content[20 : 20 + size])
    if not isinstance(document, dict):
        raise BadSignal("has a JSON document that is no object")
    return document


def _check_extensions(document: dict[str, Any]) -> None:
    for name in document.get("extensionsRequired", []):
        if name not in _KNOWN and not str(name).startswith(_HARMLESS):
            raise BadSignal(f"requires the extension {name}, which inrgen does not decode")
    for node in document.get("nodes", []):
        if "EXT_mesh_gpu_instancing" in node.get("extensions", {}):
            raise BadSignal("uses the extension EXT_mesh_gpu_instancing, which is not decoded")


def _check_accessor(document: dict[str, Any], primitive: dict[str, Any], index: int) -> int:
    """Check that the file holds all values of an accessor; returns their count."""
    accessor = document["accessors"][index]
    if "bufferView" not in accessor:
        names = ", ".join(primitive.get("extensions", {})) or "no buffer"
        raise BadSignal(f"keeps vertices or faces in {names}, which inrgen does not decode")
    if "sparse" in accessor or accessor.get("normalized"):
        raise BadSignal("has sparse or normalised positions, which inrgen does not decode")
    count = accessor["count"]
    size = _COMPONENT_BYTES[accessor["componentType"]] * _COMPONENTS[accessor["type"]]
    view = document["bufferViews"][accessor["bufferView"]]
    stride = view.get("byteStride", size)
    needed = accessor.get("byteOffset", 0) + (count - 1) * stride + size
    if count < 1 or stride < size or needed > view["byteLength"]:
        raise BadSignal(f"has an accessor of {count:,} values beyond its buffer")
    return count


def _count_faces(document: dict[str, Any], mesh: dict[str, Any]) -> int:
    num_faces = 0
    for primitive in mesh["primitives"]:
        mode = primitive.get("mode", _TRIANGLES)
        if mode == _FAN:
            raise BadSignal("holds fans of triangles, which inrgen does not read")
        if mode not in (_TRIANGLES, _STRIP):
            continue
        num = _check_accessor(document, primitive, primitive["attributes"]["POSITION"])
        if "indices" in primitive:
            num = _check_accessor(document, primitive, primitive["indices"])
        num_faces += num // 3 if mode == _TRIANGLES else max(0, num - 2)
    return num_faces


def _check_nodes(document: dict[str, Any]) -> None:
    """Each node has one parent at most, as glTF demands: a scene then is a tree, and finite."""
    nodes = document.get("nodes", [])
    if len(nodes) > _MAX_NODES:
        raise BadSignal(f"has {len(nodes):,} nodes, more than the {_MAX_NODES:,} allowed")
    children = [child for node in nodes for child in node.get("children", [])]
    if len(set(children)) < len(children):
        raise BadSignal("has a node with two parents, which glTF forbids")
    scenes = document.get("scenes", [])
    if any(not 0 <= child < len(nodes) for child in children) or not scenes:
        raise BadSignal("has no scene, or a node that names a child which is not there")
    roots = scenes[document.get("scene", 0)].get("nodes", [])
    if set(roots) & set(children):
        raise BadSignal("has a root that is a child, too: its scene is a circle")


def check_glb(content: bytes, max_faces: int) -> None:
    """Check what a GLB file says of itself, so that decoding it is safe and loses nothing.

    Raises BadSignal for a required extension or compression that would be left out, values beyond
    the file's bytes, more faces than max_faces with all copies of a mesh counted, and a scene that
    is no tree.
    """
    document = read_document(content)
    _check_extensions(document)
    _check_nodes(document)
    accessors = document.get("accessors", [])
    # trimesh allocates every accessor, used or not.
    for accessor in accessors:
        if "bufferView" not in accessor and accessor["count"] > len(content):
            raise BadSignal(f"has an accessor of {accessor['count']:,} values without a buffer")
    faces = [_count_faces(document, mesh) for mesh in document.get("meshes", [])]
    total = sum(faces[node["mesh"]] for node in document.get("nodes", []) if "mesh" in node)
    if total > max_faces:
        raise BadSignal(f"has {total:,} faces, more than the {max_faces:,} allowed")
