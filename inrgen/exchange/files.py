"""Read other people's files without trusting them.

A path never leads out of the folder, and a file cannot make the reader run code, follow a link or
take more memory than the file's own size justifies.
"""

import fcntl
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import h5py
import numpy as np

from inrgen.core.atomic import write_whole

# Limits far above any INR or any list of INRs.
MAX_FILE_BYTES = 1 << 32
MAX_JSON_BYTES = 1 << 30
MAX_PARAMS = 1 << 26
# No HDF5 filter compresses more than this, so a data set that claims more is a trap.
_MAX_COMPRESSION = 1100


class BadEntry(ValueError):
    """Reason why one INR of a foreign data set cannot be read; in bulk work it fills a record."""


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file of an export, whole or not at all."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(path, lambda staged: staged.write_text(text, encoding="utf-8"), durable=False)


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Lock a folder for writing until the block or the process ends.

    Raises BlockingIOError if another process holds it.
    """
    # the lock ends with the process, so a killed one leaves none behind
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise BlockingIOError(f"another process is writing to {folder.parent}") from error
    finally:
        os.close(fd)


def inside(folder: Path, relative: str) -> Path:
    """The path of a file within a folder that others filled.

    Raises BadEntry for a path that leads out (.., absolute, through a link), and for anything
    but a regular file of sensible size.
    """
    parts = PurePosixPath(relative).parts
    if not parts or parts[0] == "/" or ".." in parts or "\0" in relative or "\\" in relative:
        raise BadEntry(f"{relative!r} is no path within the folder")
    path, mode = folder, 0
    try:
        for part in parts:
            path = path / part
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                raise BadEntry(f"{relative} leads through a link, which is not followed")
        # a pipe or a device would block the reader for ever
        if not stat.S_ISREG(mode):
            raise BadEntry(f"{relative} is no plain file")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise BadEntry(f"{relative} has {path.stat().st_size} bytes, too many")
    except OSError as error:
        raise BadEntry(f"{relative} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise BadEntry(f"{relative!r} is no path: {error}") from error
    return path


def find_files(folder: Path, pattern: str) -> list[str]:
    """Sorted names of the files that match a pattern, relative to the folder, without links."""
    found = [path for path in folder.glob(pattern) if not path.is_symlink()]
    return sorted(path.relative_to(folder).as_posix() for path in found)


def read_json(folder: Path, name: str) -> Any:
    """Read a foreign JSON file.

    Raises ValueError if it holds no JSON, FileNotFoundError if it is missing.
    """
    if not os.path.lexists(folder / name):
        raise FileNotFoundError(f"{folder} has no {name}")
    path = inside(folder, name)
    if path.stat().st_size > MAX_JSON_BYTES:
        raise ValueError(f"{path} has {path.stat().st_size} bytes, too many")
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON: {error}") from error


@contextmanager
def open_hdf5(folder: Path, name: str) -> Iterator[h5py.File]:
    """Open a foreign HDF5 file; any error while it is read becomes BadEntry."""
    path = inside(folder, name)
    try:
        # HDF5's own locks fail on read-only folders and on some network file systems
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except BadEntry:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as error:
        first = (str(error).splitlines() or [""])[0]
        raise BadEntry(f"{name} cannot be read: {first:.200}") from error


def plain_dataset(file: h5py.File, name: str, key: str, kinds: str, ndim: int) -> h5py.Dataset:
    """Get a data set that lies in this very file.

    Raises BadEntry for links, for data kept in other files, and for shapes beyond what is stored.

    Args:
        name: the file's name, for messages.
        kinds: accepted NumPy dtype kinds, such as "f", "iu" or "OS".
        ndim: required number of axes.
    """
    # the link is looked at first: file[key] would follow it
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
    # Python integers: the product of claimed sizes may overflow 64 bits
    claimed_bytes = int(np.prod(found.shape, dtype=object)) * found.dtype.itemsize
    if claimed_bytes > found.id.get_storage_size() * _MAX_COMPRESSION:
        raise BadEntry(f"{name}: {key} claims shape {found.shape}, more than the file holds")
    return found
