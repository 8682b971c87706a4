"""Signals of shapes, prepared from mesh files and kept in a cache if the config names one."""

import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool

from inrgen.core.atomic import write_whole
from inrgen.core.rng import fold, hash_items, keys
from inrgen.sources.base import Signal
from inrgen.sources.mesh import Mesh, Placement, ShapeReference, place
from inrgen.sources.mesh_files import read_mesh
from inrgen.sources.mesh_repair import repair, weld
from inrgen.sources.shape_config import ShapeConfig
from inrgen.sources.shape_points import draw_near, draw_points, measure
from inrgen.sources.signed_distance import inside

# Side of the grid on which insides are compared, and number of reference points near the surface.
REFERENCE_GRID = 64
_REFERENCE_POINTS = 5000
# Part of every cache name: raise it with any change to the preparation.
_CACHE_VERSION = 2


def _inside_grid(mesh: Mesh) -> Bool[np.ndarray, "r r r"]:
    axis = np.linspace(-1.0, 1.0, REFERENCE_GRID)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    return inside(mesh, points.reshape(-1, 3)).reshape(points.shape[:3])


def prepare(path: Path, item_id: str, config: ShapeConfig) -> Signal:
    """Read, weld, place, repair, sample and measure a mesh.

    The result depends on the mesh, the config and the item's id alone. Raises BadSignal for a file
    without a usable mesh.
    """
    welded = weld(read_mesh(path, config.max_faces))
    placement = place(welded, config.fill, config.margin)
    surface = repair(placement.to_inr(welded))
    mesh, key = surface.mesh, keys(config.sample_seed, "shape", hash_items([item_id]))
    points = draw_points(mesh, config, key)
    near = draw_near(mesh, np.repeat(config.near_widths, _REFERENCE_POINTS // 2), fold(key, 3))
    if config.sign == "none":
        sign, grid = "none", np.zeros((REFERENCE_GRID,) * 3, dtype=bool)
    else:
        sign = "winding number (closed)" if surface.is_closed else "winding number"
        grid = _inside_grid(mesh)
    reference = ShapeReference(
        mesh=mesh,
        placement=placement,
        sign=sign,
        sign_trust=surface.sign_trust,
        near_points=near,
        near_values=measure(mesh, config, near),
        inside=grid,
    )
    return Signal(
        values=torch.from_numpy(measure(mesh, config, points)).float()[:, None],
        coords=torch.from_numpy(points).float(),
        reference=reference,
    )


def _cache_name(path: Path, item_id: str, config: ShapeConfig) -> str:
    """Digest of everything that decides a prepared shape: file content, config and item."""
    with path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    facts = [_CACHE_VERSION, path.suffix.lower(), content, item_id, config.identity()]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _to_arrays(signal: Signal) -> dict[str, np.ndarray]:
    assert signal.coords is not None
    assert signal.reference is not None
    reference = signal.reference
    return {
        "values": signal.values.numpy(),
        "coords": signal.coords.numpy(),
        "vertices": reference.mesh.vertices,
        "faces": reference.mesh.faces,
        "placement": np.array([*reference.placement.center, reference.placement.scale]),
        "sign": np.array(reference.sign),
        "sign_trust": np.array(reference.sign_trust),
        "near_points": reference.near_points,
        "near_values": reference.near_values,
        "inside": np.packbits(reference.inside),
        "grid": np.array(reference.inside.shape),
    }


def _from_arrays(held: np.lib.npyio.NpzFile) -> Signal:
    x, y, z, scale = held["placement"].tolist()
    inside = np.unpackbits(held["inside"]).astype(bool).reshape(held["grid"].tolist())
    reference = ShapeReference(
        mesh=Mesh(vertices=held["vertices"], faces=held["faces"]),
        placement=Placement(center=(x, y, z), scale=scale),
        sign=str(held["sign"]),
        sign_trust=float(held["sign_trust"]),
        near_points=held["near_points"],
        near_values=held["near_values"],
        inside=inside,
    )
    return Signal(
        values=torch.from_numpy(held["values"]),
        coords=torch.from_numpy(held["coords"]),
        reference=reference,
    )


def _write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with path.open("wb") as file:  # np.savez would append .npz to a path
        np.savez(file, allow_pickle=False, **arrays)


def load_shape(path: Path, item_id: str, config: ShapeConfig) -> Signal:
    """Load the signal of a mesh file from config.cache, or prepare it and keep it there.

    An unreadable cache file is made again. Raises BadSignal as prepare does.
    """
    if config.cache is None:
        return prepare(path, item_id, config)
    kept = Path(config.cache) / f"{_cache_name(path, item_id, config)}.npz"
    try:
        with kept.open("rb") as file, np.load(file, allow_pickle=False) as held:
            return _from_arrays(held)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        signal = prepare(path, item_id, config)
        write_whole(kept, lambda path: _write_arrays(path, _to_arrays(signal)))
        return signal
