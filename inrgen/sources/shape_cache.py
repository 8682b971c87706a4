"""Prepared shapes on disk, named by the content that they were made of."""

import hashlib
import json
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import torch

from inrgen.sources.base import Signal
from inrgen.sources.mesh import Mesh, Placement
from inrgen.sources.shape_check import ShapeCheck
from inrgen.sources.shape_config import ShapeConfig
from inrgen.sources.shape_signal import prepare

# Part of every name: another way of preparing a shape needs another number.
_VERSION = 1


def _name(path: Path, item_id: str, config: ShapeConfig) -> str:
    """A digest of all that decides a prepared shape: the file's bytes, the config, the item."""
    with path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    facts = [_VERSION, path.suffix.lower(), content, item_id, config.identity()]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _to_arrays(signal: Signal) -> dict[str, np.ndarray]:
    assert signal.coords is not None
    assert signal.check is not None
    check = signal.check
    return {
        "values": signal.values.numpy(),
        "coords": signal.coords.numpy(),
        "vertices": check.mesh.vertices,
        "faces": check.mesh.faces,
        "placement": np.array([*check.placement.center, check.placement.scale]),
        "sign": np.array(check.sign),
        "sign_trust": np.array(check.sign_trust),
        "near_points": check.near_points,
        "near_values": check.near_values,
        "inside": np.packbits(check.inside),
        "grid": np.array(check.inside.shape),
    }


def _from_arrays(held: np.lib.npyio.NpzFile) -> Signal:
    x, y, z, scale = held["placement"].tolist()
    inside = np.unpackbits(held["inside"]).astype(bool).reshape(held["grid"].tolist())
    check = ShapeCheck(
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
        check=check,
    )


def _write(path: Path, signal: Signal) -> None:
    """Whole or not at all: a reader never meets half a file, and two writers write the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix="_", delete=False) as file:
        np.savez(file, allow_pickle=False, **_to_arrays(signal))
    Path(file.name).replace(path)


def prepared(path: Path, item_id: str, config: ShapeConfig) -> Signal:
    """The signal of a mesh's file, from config.cache where it lies there, else prepared and kept.

    A cached file that cannot be read is made anew. Raises BadSignal as prepare does; what cannot
    be prepared is not kept.
    """
    if config.cache is None:
        return prepare(path, item_id, config)
    kept = Path(config.cache) / f"{_name(path, item_id, config)}.npz"
    try:
        with kept.open("rb") as file, np.load(file, allow_pickle=False) as held:
            return _from_arrays(held)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        signal = prepare(path, item_id, config)
        _write(kept, signal)
        return signal
