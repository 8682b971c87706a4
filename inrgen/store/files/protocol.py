"""The few things that a store does to files, each durable when it returns.

Of a file in staging what it holds is durable, while its name may be lost with the machine.
Names ("keys") are relative to the store and separated by "/". Folders of this machine offer them
(local_files.py), and object stores do (object_files.py), where put and create are one upload each
(create on condition that the key is new), move is copy and delete, and names lists a prefix.
"""

import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow.fs
from jaxtyping import UInt8

from inrgen.store.files.local import Bytes, LocalFiles
from inrgen.store.files.location import Location, is_remote, parse_bucket
from inrgen.store.layout import STAGING


class Files(Protocol):
    """The files of one store. Errors are OSError and name the file."""

    @property
    def where(self) -> str:
        """The store's location, to name it to people."""
        ...

    @property
    def max_maps(self) -> int:
        """How many files one reader may keep mapped at a time."""
        ...

    def prepare(self) -> None:
        """Make the place where the files go, if it must be made."""
        ...

    def lock(self) -> "AbstractContextManager[Files]":
        """Be the store's one driver until the block ends or the process does.

        Gives the files to write through. Raises StoreBusy where another process is the driver.
        """
        ...

    def read(self, key: str) -> bytes:
        """The whole of a file."""
        ...

    def size_bytes(self, key: str) -> int | None:
        """The length of a file; None where there is none."""
        ...

    def map(self, key: str) -> UInt8[np.ndarray, " n"]:
        """A file's bytes; on this machine they are fetched when they are looked at."""
        ...

    def top_names(self) -> set[str]:
        """The files and folders right at the top."""
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
        """Rename a file, over whatever has the target's name: the target is never seen half."""
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


def open_files(location: Location) -> Files:
    """The files of the store at a location, which need not exist yet.

    Raises ValueError for a URL that is not one of a store.
    """
    if is_remote(location):
        # obstore takes a while to import, and most stores are folders
        from inrgen.store.files.s3 import ObjectFiles

        return ObjectFiles(str(location), parse_bucket(location))
    root = Path(location).absolute()
    if root.exists() and not root.is_dir():
        raise NotADirectoryError(f"a store is a folder, and {location} is a file")
    return LocalFiles(root)
