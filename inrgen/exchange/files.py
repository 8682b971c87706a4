"""Write files all at once, and read what others made without trusting it."""

import fcntl
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

# What no INR and no list of them comes near.
MAX_FILE_BYTES = 1 << 32
MAX_JSON_BYTES = 1 << 30
MAX_PARAMS = 1 << 26

_UNFINISHED = ".part"


class BadEntry(ValueError):
    """Why one INR of somebody else's data set cannot be read; in bulk work it becomes a record."""


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Have a file written under a name that starts with "_", then give it its own.

    A writer that is killed leaves nothing that a reader's pattern would match.
    """
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
    made = path.parent / f"_{path.name}.{os.getpid()}{_UNFINISHED}"
    write(made)
    made.replace(path)


def remove_unfinished(folder: Path) -> None:
    """Remove what killed writers left behind, in a folder and all below it."""
    for path in folder.rglob(f"_*{_UNFINISHED}"):
        path.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """A JSON file, all at once."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(path, lambda made: made.write_text(text, encoding="utf-8"))


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Be the only one that writes into a folder, until the block ends or the process does.

    Raises BlockingIOError where another one does.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise BlockingIOError(f"another process is writing to {folder.parent}") from error
    finally:
        os.close(fd)


def inside(folder: Path, relative: str) -> Path:
    """A file within a folder that others filled.

    Raises BadEntry for a path that leads elsewhere (.., absolute, through a link), and for
    anything but a plain file of sensible size.
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
        if not stat.S_ISREG(mode):
            raise BadEntry(f"{relative} is no plain file")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise BadEntry(f"{relative} has {path.stat().st_size} bytes, too many")
    except OSError as error:
        raise BadEntry(f"{relative} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise BadEntry(f"{relative!r} is no path: {error}") from error
    return path


def read_json(folder: Path, name: str) -> Any:
    """A JSON file of somebody else's.

    Raises ValueError for what is none, FileNotFoundError where there is none.
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


def find_files(folder: Path, pattern: str) -> list[str]:
    """The names, relative to the folder, that match a pattern; sorted. Links do not count."""
    found = [path for path in folder.glob(pattern) if not path.is_symlink()]
    return sorted(path.relative_to(folder).as_posix() for path in found)
