"""The file operations that a store needs, whether its files lie in a folder or on a server.

A name ("key") is relative to the store and separated by "/". Every operation is durable when it
returns, with one exception: the name of a file in staging may be lost with the machine.

local.py offers the operations on folders. s3.py offers them on object stores, where put and create
are one upload each (create on condition that the key is new), move is copy and delete, and names
lists a prefix.
"""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np
import pyarrow.fs
from jaxtyping import UInt8

from inrgen.store.layout import STAGING

Bytes = bytes | bytearray | memoryview
# Inode, length in bytes, and time of the last change in nanoseconds.
FileIdentity = tuple[int, int, int]


class Files(Protocol):
    """The files of one store. Errors are OSError and name the file."""

    @property
    def location(self) -> str:
        """Location of the store, for messages."""
        ...

    @property
    def max_maps(self) -> int:
        """Number of files that one reader may keep mapped at a time."""
        ...

    @property
    def max_commits(self) -> int:
        """Number of commits to have in flight: several where each step waits for an answer."""
        ...

    def prepare(self) -> None:
        """Make the folder that holds the files, if folders exist here."""
        ...

    def lock(self) -> "AbstractContextManager[Files]":
        """Become the only driver of the store until the block ends or the process does.

        The block gets the files to write through. Raises StoreBusy if another process drives.
        """
        ...

    def read(self, key: str) -> bytes:
        """Read a whole file."""
        ...

    def read_range(self, key: str, start: int, stop: int) -> tuple[bytes, str]:
        """Read bytes start..stop-1 of a file, and the tag of its version, "" without tags."""
        ...

    def size_bytes(self, key: str) -> int | None:
        """Return the length of a file, or None if there is no such file."""
        ...

    def map(self, key: str) -> UInt8[np.ndarray, " n"]:
        """Return the bytes of a file; a local file is mapped and loads as it is touched."""
        ...

    def identity(self, key: str) -> "FileIdentity | None":
        """Tell a file from another of the same name; None if the file is not here to be told."""
        ...

    def top_names(self) -> set[str]:
        """List the files and folders directly below the root."""
        ...

    def names(self, folder: str) -> list[str]:
        """List the files directly in a folder, sorted; empty if there is no such folder."""
        ...

    def tags(self, folder: str) -> dict[str, str]:
        """Return for each file directly in a folder a text that changes with its content.

        It is "" where the content may change without a trace.
        """
        ...

    def all_keys(self) -> Iterator[str]:
        """Yield every file, in no order, except below names at the root that start with "_"."""
        ...

    def put(self, key: str, data: Bytes) -> None:
        """Write a file under a name that no other process uses."""
        ...

    def create(self, key: str, data: Bytes) -> bool:
        """Write a file whole if its name is free; otherwise return False and change nothing."""
        ...

    def move(self, source: str, target: str) -> None:
        """Rename a file, replacing the target; readers never see half of the target."""
        ...

    def remove(self, key: str) -> None:
        """Remove a file if it exists."""
        ...

    def erase(self, keys: Sequence[str]) -> None:
        """Remove a store that holds these files alone, in this order, and a folder's lock file.

        Only the driver may call this, and it must write nothing afterwards.
        """
        ...

    def tidy(self) -> None:
        """Remove the folders of work in progress, if folders exist here and these are empty."""
        ...

    def is_tidy(self) -> bool:
        """Tell whether nobody wrote since tidy; False where files cannot tell."""
        ...

    def arrow(self) -> pyarrow.fs.FileSystem:
        """Return the same files, under the same keys, as a pyarrow file system."""
        ...


def staging_key(name: str) -> str:
    """Return a key in staging that no other process will use."""
    return f"{STAGING}/{name}.{uuid.uuid4().hex}"
