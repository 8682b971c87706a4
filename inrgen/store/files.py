"""The few things that a store does to files, each durable when it returns.

Names ("keys") are relative to the store and separated by "/". An object store can offer the same:
put and create are one upload each (create on condition that the key is new), move is copy and
delete, and names lists a prefix.
"""

import fcntl
import mmap
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow.fs
from jaxtyping import UInt8

from inrgen.store.errors import StoreBusy
from inrgen.store.layout import LOCK, STAGING

Bytes = bytes | bytearray | memoryview


class Files(Protocol):
    """The files of one store. Errors are OSError and name the file."""

    def read(self, key: str) -> bytes:
        """The whole of a file."""
        ...

    def size_bytes(self, key: str) -> int | None:
        """The length of a file; None where there is none."""
        ...

    def map(self, key: str) -> UInt8[np.ndarray, " n"]:
        """A file's bytes, fetched when they are looked at."""
        ...

    def names(self, folder: str) -> list[str]:
        """The files right in a folder, sorted; none where there is no such folder."""
        ...

    def all_keys(self) -> Iterator[str]:
        """Every file of the store, in no order, but for those of names that start with "_"."""
        ...

    def put(self, key: str, data: Bytes) -> None:
        """Write a file under a name that nobody else uses."""
        ...

    def create(self, key: str, data: Bytes) -> bool:
        """Write a file all at once, unless there is one of that name: then False."""
        ...

    def move(self, source: str, target: str) -> None:
        """Rename a file all at once, over whatever has the target's name."""
        ...

    def remove(self, key: str) -> None:
        """Remove a file, if it is there."""
        ...

    def arrow(self) -> pyarrow.fs.FileSystem:
        """The same files as pyarrow sees them, by the same keys."""
        ...


def staging_key(name: str) -> str:
    """A key of one's own, whatever others stage at the same time."""
    return f"{STAGING}/{name}.{uuid.uuid4().hex}"


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, which syncing the files alone does not."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _write_all(fd: int, data: Bytes) -> None:
    rest = memoryview(data).cast("B")
    while rest:
        rest = rest[os.write(fd, rest) :]


class LocalFiles:
    """A store in a folder of a POSIX file system, which must know hard links and flock."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, key: str) -> bytes:
        return (self.root / key).read_bytes()

    def size_bytes(self, key: str) -> int | None:
        try:
            return (self.root / key).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def map(self, key: str) -> UInt8[np.ndarray, " n"]:
        with (self.root / key).open("rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                return np.zeros(0, dtype=np.uint8)
            return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)

    def names(self, folder: str) -> list[str]:
        try:
            with os.scandir(self.root / folder) as entries:
                return sorted(entry.name for entry in entries if entry.is_file())
        except FileNotFoundError:
            return []

    def all_keys(self) -> Iterator[str]:
        for folder, folders, names in os.walk(self.root):
            if folder == str(self.root):
                folders[:] = [name for name in folders if not name.startswith("_")]
                names = [name for name in names if not name.startswith("_")]
            for name in names:
                yield (Path(folder) / name).relative_to(self.root).as_posix()

    def put(self, key: str, data: Bytes) -> None:
        target = self.root / key
        _make_folder(target.parent)
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            _write_all(fd, data)
            os.fsync(fd)
        except OSError as error:
            target.unlink()
            # os.write does not say which file it was that found the disk full
            raise OSError(error.errno, error.strerror, str(target)) from error
        finally:
            os.close(fd)
        _sync_folder(target.parent)

    def create(self, key: str, data: Bytes) -> bool:
        target = self.root / key
        staged = staging_key("new")
        self.put(staged, data)
        try:
            _make_folder(target.parent)
            target.hardlink_to(self.root / staged)
            _sync_folder(target.parent)
        except FileExistsError:
            return False
        finally:
            self.remove(staged)
        return True

    def move(self, source: str, target: str) -> None:
        _make_folder((self.root / target).parent)
        (self.root / source).replace(self.root / target)
        _sync_folder((self.root / target).parent)

    def remove(self, key: str) -> None:
        path = self.root / key
        path.unlink(missing_ok=True)
        if path.parent.is_dir():
            _sync_folder(path.parent)

    def arrow(self) -> pyarrow.fs.FileSystem:
        return pyarrow.fs.SubTreeFileSystem(str(self.root), pyarrow.fs.LocalFileSystem())


def open_files(path: str | Path) -> LocalFiles:
    """The files of the store at a path, which need not exist yet."""
    if "://" in str(path):
        raise ValueError(f"path must be a folder on this machine; got {path}")
    root = Path(path).absolute()
    if root.exists() and not root.is_dir():
        raise NotADirectoryError(f"a store is a folder, and {path} is a file")
    return LocalFiles(root)


@contextmanager
def hold_lock(files: LocalFiles) -> Iterator[None]:
    """Be the one driver of a store until the block ends or the process does.

    The lock is the kernel's (flock), so a killed driver leaves none behind; the empty lock file
    stays, since removing it could hand the same lock to two.
    """
    fd = os.open(files.root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreBusy(f"another process is writing to {files.root}") from error
        yield
    finally:
        os.close(fd)
