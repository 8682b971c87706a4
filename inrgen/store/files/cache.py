"""Files of a server kept in a folder of this machine, never more than so many bytes of them.

Processes may share the folder, and be killed at any moment: a file is written under a name of its
own and renamed, changes of what is kept are made under a lock of the kernel's, and what killed
processes left half written is removed. Whoever reads a kept file checks it as one from elsewhere.
"""

import fcntl
import mmap
import os
import re
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import UInt8

DEFAULT_CACHE_BYTES = 16 * 2**30

_LOCK = ".lock"
# The names that are the cache's own: it removes no others.
_KEPT = re.compile(r"[0-9a-f]{40}\.shard")
_PARTIAL = re.compile(r"[0-9a-f]{40}\.shard\.[0-9a-f]{32}")


def _own_folder() -> Path:
    """A folder for temporary files that nobody else may write to."""
    folder = Path(tempfile.gettempdir()) / f"inrgen-shards-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    facts = folder.lstat()
    if facts.st_uid != os.getuid() or facts.st_mode & 0o077 or folder.is_symlink():
        raise PermissionError(
            f"{folder} can be written by others; name another folder as cache_dir"
        )
    return folder


class ShardCache:
    """A folder of files by name, of which the least recently used go first.

    folder: made where it is missing; by default one of this user's among the temporary files.
    max_bytes: what all that is kept takes at most. Files that are mapped take their space until
        they are let go, also those that were removed meanwhile.
    """

    def __init__(self, folder: str | Path | None, max_bytes: int) -> None:
        if max_bytes < 0:
            raise ValueError(f"cache_bytes must not be negative; got {max_bytes}")
        self.folder = _own_folder() if folder is None else Path(folder).absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.max_bytes = max_bytes

    def find(self, name: str) -> UInt8[np.ndarray, " n"] | None:
        """A file's bytes, mapped; None where it is not kept. Now it is the most recently used."""
        path = self.folder / name
        try:
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_size == 0:
                    return np.zeros(0, dtype=np.uint8)
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                os.utime(path)
        except FileNotFoundError:
            return None
        return np.frombuffer(mapped, np.uint8)

    def add(self, name: str, data: bytes) -> UInt8[np.ndarray, " n"]:
        """Keep a file, and give its bytes; one that is larger than all that may be kept is not."""
        assert _KEPT.fullmatch(name), name
        if len(data) > self.max_bytes:
            return np.frombuffer(data, np.uint8)
        partial = self.folder / f"{name}.{uuid.uuid4().hex}"
        with self._begin(partial) as file:
            try:
                file.write(data)
                file.flush()
                with self._changing():
                    self._make_room(len(data))
                    partial.replace(self.folder / name)
            except OSError:
                partial.unlink(missing_ok=True)
                raise
        found = self.find(name)
        return np.frombuffer(data, np.uint8) if found is None else found

    def drop(self, name: str) -> None:
        """Keep a file no longer."""
        (self.folder / name).unlink(missing_ok=True)

    def _begin(self, partial: Path) -> BinaryIO:
        """A new file, locked while it is open: nobody takes it for one that a killed process left.

        Leftovers are swept under the same lock that this holds, so none is between open and lock.
        """
        with self._changing():
            file = partial.open("xb")
            fcntl.flock(file, fcntl.LOCK_EX)
            return file

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with (self.folder / _LOCK).open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _make_room(self, num_bytes: int) -> None:
        """Remove leftovers, and the least recently used until so many bytes more may be kept."""
        kept: list[tuple[int, int, Path]] = []
        for path in self.folder.iterdir():
            if _PARTIAL.fullmatch(path.name):
                self._sweep(path)
            elif _KEPT.fullmatch(path.name):
                try:
                    facts = path.stat()
                except FileNotFoundError:
                    continue
                kept.append((facts.st_mtime_ns, facts.st_size, path))
        total = sum(size for _, size, _ in kept)
        for _, size, path in sorted(kept):
            if total + num_bytes <= self.max_bytes:
                return
            path.unlink(missing_ok=True)
            total -= size

    def _sweep(self, partial: Path) -> None:
        """Remove a half-written file if the process that wrote it is gone."""
        try:
            with partial.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                partial.unlink(missing_ok=True)
        except (BlockingIOError, FileNotFoundError):
            return
