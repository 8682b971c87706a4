"""Files of a store in a local folder."""

import fcntl
import mmap
import os
import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pyarrow.fs
from jaxtyping import UInt8

from inrgen.store.errors import StoreBusy
from inrgen.store.files.protocol import Bytes, FileIdentity, staging_key
from inrgen.store.layout import GROWING, LOCK, REPLACING, STAGING


def _sync_folders(folders: Sequence[Path]) -> None:
    """Make the names in folders durable; syncing the files alone does not."""
    for folder in folders:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _in_staging(key: str) -> bool:
    """Tell whether a file is staged, so that its name need not outlive the machine.

    A crash sweeps staging, and lost blocks are made again. So a commit waits for five syncs
    instead of eight.
    """
    return key.startswith(f"{STAGING}/")


def _make_folder(folder: Path) -> list[Path]:
    """Make a folder and its missing parents; return the folders that got a new entry.

    The caller syncs them last: after one sync, the file system has mostly done the others' work.
    """
    if folder.is_dir():
        return []
    changed = _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    return [folder.parent, *changed]


def _write_all(fd: int, data: Bytes) -> None:
    rest = memoryview(data).cast("B")
    while rest:
        rest = rest[os.write(fd, rest) :]


def _begin_file(target: Path) -> tuple[int, list[Path]]:
    """Open a new file for writing; return the folders that got a new entry, too."""
    while True:
        changed = [target.parent, *_make_folder(target.parent)]
        try:
            return os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), changed
        except FileNotFoundError:
            # a driver that finished in this moment has removed the empty folder
            continue


class LocalFiles:
    """A store in a folder. The file system must be POSIX, with hard links and flock."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def location(self) -> str:
        return str(self.root)

    @property
    def max_maps(self) -> int:
        # each keeps a file descriptor open, and other code needs some, too
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return 1024 if limit == resource.RLIM_INFINITY else max(8, min(1024, limit // 4))

    @property
    def max_commits(self) -> int:
        # a disk syncs one file after the other
        return 1

    def prepare(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def lock(self) -> Iterator["LocalFiles"]:
        """Hold the kernel's lock (flock) on the lock file; it ends with a killed driver.

        The empty file stays as long as the store: if drivers removed it, two of them could hold
        locks on two files.
        """
        fd = os.open(self.root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StoreBusy(f"another process is writing to {self.root}") from error
            # erase may have removed the file since it was opened
            if os.fstat(fd).st_nlink == 0:
                raise StoreBusy(f"another process has just removed {self.root}; try again")
            yield self
        finally:
            os.close(fd)

    def read(self, key: str) -> bytes:
        return (self.root / key).read_bytes()

    def read_range(self, key: str, start: int, stop: int) -> tuple[bytes, str]:
        with (self.root / key).open("rb") as file:
            file.seek(start)
            return file.read(stop - start), ""

    def size_bytes(self, key: str) -> int | None:
        try:
            return (self.root / key).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def map(self, key: str) -> UInt8[np.ndarray, " n"]:
        with (self.root / key).open("rb") as file:
            # mmap refuses empty files
            if os.fstat(file.fileno()).st_size == 0:
                return np.zeros(0, dtype=np.uint8)
            return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)

    def identity(self, key: str) -> FileIdentity | None:
        try:
            facts = (self.root / key).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return facts.st_ino, facts.st_size, facts.st_mtime_ns

    def top_names(self) -> set[str]:
        return {entry.name for entry in self.root.iterdir()}

    def names(self, folder: str) -> list[str]:
        try:
            with os.scandir(self.root / folder) as entries:
                return sorted(entry.name for entry in entries if entry.is_file())
        except FileNotFoundError:
            return []

    def tags(self, folder: str) -> dict[str, str]:
        found = {}
        for name in self.names(folder):
            with suppress(FileNotFoundError):
                facts = (self.root / folder / name).stat()
                # the time of change, too, since copying tools restore the other one
                times = f"{facts.st_mtime_ns}-{facts.st_ctime_ns}"
                found[name] = f"{facts.st_ino}-{facts.st_size}-{times}"
        return found

    def all_keys(self) -> Iterator[str]:
        for folder, folders, names in os.walk(self.root):
            # in place, so that os.walk does not enter them
            if folder == str(self.root):
                folders[:] = [name for name in folders if not name.startswith("_")]
                names = [name for name in names if not name.startswith("_")]
            for name in names:
                yield (Path(folder) / name).relative_to(self.root).as_posix()

    def put(self, key: str, data: Bytes) -> None:
        target = self.root / key
        fd, changed = _begin_file(target)
        try:
            _write_all(fd, data)
            os.fsync(fd)
        except OSError as error:
            # half a file must not keep the name from the next try
            target.unlink()
            # os.write does not name the file when the disk is full
            raise OSError(error.errno, error.strerror, str(target)) from error
        finally:
            os.close(fd)
        if not _in_staging(key):
            _sync_folders(changed)

    def create(self, key: str, data: Bytes) -> bool:
        target = self.root / key
        # a hard link fails if its name exists, which no rename does
        staged = staging_key("new")
        while True:
            self.put(staged, data)
            try:
                changed = [target.parent, *_make_folder(target.parent)]
                target.hardlink_to(self.root / staged)
                _sync_folders(changed)
            except FileExistsError:
                return False
            except FileNotFoundError:
                # a driver that began in this moment has swept the staging folder
                if (self.root / staged).exists():
                    raise
                continue
            finally:
                self.remove(staged)
            return True

    def move(self, source: str, target: str) -> None:
        folder = (self.root / target).parent
        changed = [folder, *_make_folder(folder)]
        (self.root / source).replace(self.root / target)
        _sync_folders(changed)

    def remove(self, key: str) -> None:
        # synced, too: a fragment must not come back after a crash when its shard was replaced
        path = self.root / key
        path.unlink(missing_ok=True)
        if not _in_staging(key) and path.parent.is_dir():
            _sync_folders([path.parent])

    def erase(self, keys: Sequence[str]) -> None:
        for key in (*keys, LOCK):
            self.remove(key)
        self.tidy()
        folders = {folder for key in keys for folder in Path(key).parents}
        for folder in sorted(folders, key=lambda folder: len(folder.parts), reverse=True):
            # a folder that holds anything else stays
            with suppress(OSError):
                (self.root / folder).rmdir()

    def tidy(self) -> None:
        for folder in (STAGING, REPLACING, GROWING):
            # another process may have begun to write, or removed the folder
            with suppress(OSError):
                (self.root / folder).rmdir()

    def is_tidy(self) -> bool:
        return not (self.root / STAGING).exists()

    def arrow(self) -> pyarrow.fs.FileSystem:
        return pyarrow.fs.SubTreeFileSystem(str(self.root), pyarrow.fs.LocalFileSystem())
