"""Data sets of HDF5 files, read without following where the file points elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from inrgen.exchange.files import BadEntry, inside

# No filter of HDF5 packs denser; what claims more than that holds nothing.
_DENSEST = 1100


@contextmanager
def open_hdf5(folder: Path, name: str) -> Iterator[h5py.File]:
    """A file of somebody else's; BadEntry for whatever goes wrong while it is read."""
    path = inside(folder, name)
    try:
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except BadEntry:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as error:
        first = (str(error).splitlines() or [""])[0]
        raise BadEntry(f"{name} cannot be read: {first:.200}") from error


def plain_dataset(file: h5py.File, name: str, key: str, kinds: str, ndim: int) -> h5py.Dataset:
    """A data set that lies in this file itself, of numbers (kinds, as NumPy's) or text ("O").

    Raises BadEntry for links, for data kept in other files, and for shapes beyond what is stored.
    """
    link = file.get(key, getlink=True)
    if not isinstance(link, h5py.HardLink):
        raise BadEntry(f"{name} has no {key}" if link is None else f"{name}: {key} is a link")
    found = file[key]
    if not isinstance(found, h5py.Dataset):
        raise BadEntry(f"{name}: {key} is no data set")
    if found.is_virtual or found.external:
        raise BadEntry(f"{name}: {key} lies in other files, which are not followed")
    if found.dtype.kind not in kinds or len(found.shape) != ndim:
        raise BadEntry(f"{name}: {key} has dtype {found.dtype} and shape {found.shape}")
    if int(np.prod(found.shape, dtype=object)) * found.dtype.itemsize > (
        found.id.get_storage_size() * _DENSEST
    ):
        raise BadEntry(f"{name}: {key} claims shape {found.shape}, more than the file holds")
    return found
