"""Cache of a server's files, and of loaders' keys, in a local folder of bounded size.

Processes may share the folder and be killed at any moment. A file is written under a unique name
and renamed; a kernel lock guards every change; leftovers of killed processes are removed. Readers
check a cached file's checksums as they would check a downloaded one.

The lock file holds the total size, so that adding a file does not list the folder. A total that is
wrong after a kill is too large, and the next listing corrects it.
"""

import fcntl
import hashlib
import mmap
import os
import re
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedRandom
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

DEFAULT_CACHE_BYTES = 16 * 2**30

_LOCK = ".lock"
# The cache removes no files with other names: the folder may hold more.
_CACHED = re.compile(r"[0-9a-f]{40}\.shard")
_PARTIAL = re.compile(r"[0-9a-f]{40}\.shard\.[0-9a-f]{32}")


def cache_name(location: str, key: str, tag: str, part: str = "") -> str:
    """Return the cache's name for one version of a store's file, or of a part of it."""
    text = f"{location}\n{key}\n{tag}{part}"
    return hashlib.sha256(text.encode()).hexdigest()[:40] + ".shard"


def _private_folder() -> Path:
    """Make a folder among the temporary files that no other user may write to."""
    # anybody may make this name in a shared /tmp first, as a folder or as a link
    folder = Path(tempfile.gettempdir()) / f"inrgen-shards-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    facts = folder.lstat()
    if facts.st_uid != os.getuid() or facts.st_mode & 0o077 or folder.is_symlink():
        raise PermissionError(
            f"{folder} can be written by others; name another folder as cache_dir"
        )
    return folder


class ShardCache:
    """A folder of files by name; the least recently used are removed first.

    Args:
        folder: made if it is missing; None takes a private folder among the temporary files.
        max_bytes: total size of the cached files. A file that is still mapped takes its space
            until it is unmapped, even if it was removed from the cache.
    """

    def __init__(self, folder: str | Path | None, max_bytes: int) -> None:
        if max_bytes < 0:
            raise ValueError(f"cache_bytes must not be negative; got {max_bytes}")
        self.folder = _private_folder() if folder is None else Path(folder).absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.max_bytes = max_bytes
        # the least recently used files at the last listing, the very oldest last
        self._oldest: list[tuple[int, int, Path]] = []
        self._listed = False

    def find(self, name: str) -> UInt8[np.ndarray, " n"] | None:
        """Map a file and mark it as used; None if it is not in the cache."""
        path = self.folder / name
        try:
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_size == 0:
                    return np.zeros(0, dtype=np.uint8)
                # the mapping stays valid if another process removes the file
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                os.utime(path)
        except FileNotFoundError:
            return None
        return np.frombuffer(mapped, np.uint8)

    def add(self, name: str, data: bytes) -> UInt8[np.ndarray, " n"]:
        """Cache a file and return its bytes; a file larger than the whole cache is not cached."""
        assert _CACHED.fullmatch(name), name
        if len(data) > self.max_bytes:
            return np.frombuffer(data, np.uint8)
        with self.writing(name) as file:
            file.write(data)
        found = self.find(name)
        return np.frombuffer(data, np.uint8) if found is None else found

    @contextmanager
    def writing(self, name: str) -> Iterator[BufferedRandom]:
        """Open a new file, which is cached when the block ends and removed if it fails."""
        partial = self.folder / f"{name}.{uuid.uuid4().hex}"
        with self._begin(partial) as file:
            try:
                yield file
                file.flush()
                size = os.fstat(file.fileno()).st_size
                # under the lock, so that two processes cannot both take the last room
                with self._lock() as lock:
                    self._make_room(lock, size, self.folder / name)
                    partial.replace(self.folder / name)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise

    @contextmanager
    def turn(self, name: str) -> Iterator[None]:
        """Wait until no other process makes this file; a killed process waives its turn."""
        # the name of a leftover, so that a sweep removes it if its process was killed; two
        # processes that make the same file after all do so under different names
        turn = self.folder / f"{name}.{0:032x}"
        with turn.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                turn.unlink(missing_ok=True)

    def drop(self, name: str) -> None:
        """Remove a file from the cache."""
        (self.folder / name).unlink(missing_ok=True)

    def _begin(self, partial: Path) -> BufferedRandom:
        """Create a file, locked while it is open, so that no sweep takes it for a leftover."""
        # sweeps hold the same folder lock, so none can run between the open and the file's lock
        with self._lock():
            file = partial.open("xb+")
            fcntl.flock(file, fcntl.LOCK_EX)
            return file

    @contextmanager
    def _lock(self) -> Iterator[BufferedRandom]:
        with (self.folder / _LOCK).open("a+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield lock

    def _make_room(self, lock: BufferedRandom, num_bytes: int, target: Path) -> None:
        """Remove the least recently used files until num_bytes more fit, and count these in."""
        lock.seek(0)
        text = lock.read()
        # each process lists once, to remove leftovers; the total may be lost or another version's
        total = int(text) if text.isdigit() and self._listed else self._list()
        with suppress(FileNotFoundError):
            total -= target.stat().st_size
        while total + num_bytes > self.max_bytes:
            if not self._oldest:
                total = self._list()
                if not self._oldest:
                    break
            used, size, path = self._oldest.pop()
            with suppress(FileNotFoundError):
                # used again since the listing, perhaps by another process
                if path.stat().st_mtime_ns > used:
                    continue
                path.unlink()
                total -= size
        # before the file is there, so that a process killed in between counts too much
        lock.truncate(0)
        lock.write(str(total + num_bytes).encode())
        lock.flush()

    def _list(self) -> int:
        """Remove leftovers, note the files to remove next, and return the size of all."""
        self._listed, cached = True, []
        for path in self.folder.iterdir():
            if _PARTIAL.fullmatch(path.name):
                self._sweep(path)
            elif _CACHED.fullmatch(path.name):
                # drop needs no lock
                with suppress(FileNotFoundError):
                    facts = path.stat()
                    cached.append((facts.st_mtime_ns, facts.st_size, path))
        # a few, since the order of uses changes; a full cache is listed once for an eighth of it
        self._oldest = sorted(cached)[: max(1, len(cached) // 8)][::-1]
        return sum(size for _, size, _ in cached)

    def _sweep(self, partial: Path) -> None:
        """Remove a partial file if the process that wrote it is gone."""
        try:
            with partial.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                partial.unlink(missing_ok=True)
        except (BlockingIOError, FileNotFoundError):
            return
