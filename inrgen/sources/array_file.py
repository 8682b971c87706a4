"""Arrays of signals in files: .npy, .npz and Zarr. Nothing in them is unpickled."""

import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from inrgen.core.config_text import check_name
from inrgen.sources.axes import read_axes
from inrgen.sources.base import Source
from inrgen.sources.config import SourceConfig
from inrgen.sources.manifest import SourceSlice
from inrgen.sources.signal_array import SignalArray, full_value, make_signal_array

KEYS = ("values", "labels", "splits", "coords", "weights", "label_names")


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file by their names in KEYS; a .npy and a lone Zarr array hold values.

    A .npy is mapped, not read, so it may be larger than memory.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, of another kind, or holds pickled objects.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    if path.is_dir():
        return _read_zarr(path)
    try:
        held = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(held, np.ndarray):
            return {"values": held}
        with held:
            return {check_name(key, KEYS, "an array name"): held[key] for key in held.files}
    except (EOFError, zipfile.BadZipFile, OSError) as error:
        raise ValueError(f"{path} is no whole .npy or .npz file: {error}") from error
    except ValueError as error:
        # numpy advises to unpickle, which could run code.
        if "allow_pickle" in str(error) or "Python objects" in str(error):
            raise ValueError(
                f"{path} holds pickled objects or is no .npy or .npz file; pickles are never read"
            ) from None
        raise ValueError(f"{path}: {error}") from error


def _open_zarr(path: Path) -> dict[str, Any]:
    import zarr  # takes a while, which only this kind of file should pay

    try:
        held: Any = zarr.open(path, mode="r")
    except Exception as error:  # zarr has no common error
        raise ValueError(f"{path} holds no Zarr array or group: {error}") from error
    if isinstance(held, zarr.Array):
        return {"values": held}
    return {check_name(key, KEYS, "an array name"): held[key] for key in held}


def _read_zarr(path: Path) -> dict[str, np.ndarray]:
    return {key: np.asarray(array[...]) for key, array in _open_zarr(path).items()}


# A worker then maps a .npy, or reads an .npz, once.
_read_once = lru_cache(maxsize=1)(read_arrays)


def open_array_part(config: SourceConfig, part: SourceSlice) -> SignalArray:
    """Open some signals of a file that was listed before.

    Of Zarr arrays only their rows are read, and a .npy is mapped; an .npz is read as a whole.
    """
    path, rows = Path(config.data_place("the .npy, .npz or Zarr file")), np.asarray(part.places)
    arrays: dict[str, Any] = _open_zarr(path) if path.is_dir() else _read_once(path)
    values, coords = arrays["values"], arrays.get("coords")
    axes = read_axes(config.axes, values.shape) if coords is None else None
    if path.is_dir():
        along: list[Any] = [slice(None)] * len(values.shape)
        along[0 if axes is None else axes.letters.index("n")] = rows
        values = values.oindex[tuple(along)]
        coords = None if coords is None else coords.oindex[rows] if coords.ndim == 3 else coords[:]
        rows = np.arange(len(rows))
    return SignalArray(
        facts=part.facts,
        items=part.items,
        positions=rows,
        values=values if axes is None else axes.arrange(values),
        coords=coords,
        peak=full_value(values.dtype),
    )


def open_array(config: SourceConfig) -> Source:
    """Open a .npy, .npz or Zarr file of signals.

    Raises ValueError for arrays that do not fit together.
    """
    path = Path(config.data_place("the .npy, .npz or Zarr file"))
    arrays = read_arrays(path)
    if "values" not in arrays:
        raise ValueError(f"{path} needs an array named values; it holds {sorted(arrays)}")
    names = [str(name) for name in arrays.pop("label_names", np.zeros(0, dtype=str))]
    try:
        made = make_signal_array(**arrays, axes=config.axes, label_names=names)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return made
