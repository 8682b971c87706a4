"""Where whole shards come from, checked in full: first of all files of this machine."""

import os
from contextlib import suppress
from threading import Thread
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float32, UInt8

from inrgen.store.errors import DamagedStore
from inrgen.store.files.local import LocalFiles
from inrgen.store.layout import Layout, shard_key
from inrgen.store.shard import ShardShape, good_chunks, shard_shape
from inrgen.store.shard_file import bad_chunk, map_shard, wrong_length


class ShardSource(Protocol):
    """The shards of one spec of a store."""

    def prefetch(self, block: int) -> None:
        """A hint that a shard will be opened soon; returns at once and raises nothing."""
        ...

    def open(self, block: int) -> UInt8[np.ndarray, " n"]:
        """A shard's bytes, every chunk checked. Raises DamagedStore, naming the shard."""
        ...


class Shards:
    """The names and shapes of one spec's shards, and the check that they are held to."""

    def __init__(self, where: str, spec_id: str, layout: Layout, num_params: int) -> None:
        self.where, self.spec_id = where, spec_id
        self.layout, self.num_params = layout, num_params

    def key(self, block: int) -> str:
        return shard_key(self.spec_id, block)

    def shape(self, block: int) -> ShardShape:
        return shard_shape(self.layout, self.num_params, block)

    def numbers(self, block: int, data: UInt8[np.ndarray, " n"]) -> Float32[np.ndarray, " m"]:
        """The chunks of a shard as one row of numbers, checksums among them."""
        return data[: self.shape(block).index_start].view("<f4")

    def check(self, block: int, data: UInt8[np.ndarray, " n"]) -> None:
        """Raise DamagedStore unless all chunks are there and match their checksums."""
        shape = self.shape(block)
        if len(data) != shape.size_bytes:
            raise wrong_length(self.where, self.key(block), shape, len(data))
        good = good_chunks(shape, data, np.arange(shape.num_chunks))
        if not good.all():
            first, chunk = block * self.layout.shard_rows, int(np.flatnonzero(~good)[0])
            raise bad_chunk(self.where, self.key(block), shape, chunk, first)


class LocalShards:
    """Shards in a folder of this machine, mapped, and checked again where the file is another."""

    def __init__(self, files: LocalFiles, shards: Shards) -> None:
        self._files, self._shards = files, shards
        self._checked: dict[int, tuple[int, int, int]] = {}
        self._checking: dict[int, Thread] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Without the threads, which are of this process."""
        return {**self.__dict__, "_checking": {}}

    def prefetch(self, block: int) -> None:
        """Ask the kernel to have a shard in memory soon, and check it meanwhile if it never was.

        A lost or bad one is left for open to report.
        """
        with suppress(OSError), (self._files.root / self._shards.key(block)).open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)
        if block not in self._checked:
            # a thread for each: a pool would be there in name only after a fork
            thread = Thread(target=self._check_early, args=(block,))
            thread.start()
            self._checking[block] = thread

    def open(self, block: int) -> UInt8[np.ndarray, " n"]:
        thread = self._checking.pop(block, None)
        if thread is not None:
            thread.join()
        return self._open(block)

    def _check_early(self, block: int) -> None:
        with suppress(DamagedStore, OSError):
            self._open(block)

    def _open(self, block: int) -> UInt8[np.ndarray, " n"]:
        key = self._shards.key(block)
        # before the file is mapped: a repair in between then costs one check more, and none is left
        # out
        identity = self._identity(key)
        data = map_shard(self._files, self._shards.where, key, self._shards.shape(block))
        if identity is None or self._checked.get(block) != identity:
            self._shards.check(block, data)
            if identity is not None:
                self._checked[block] = identity
        return data

    def _identity(self, key: str) -> tuple[int, int, int] | None:
        """What tells a file from another of the same name; None where there is none."""
        try:
            facts = (self._files.root / key).stat()
        except FileNotFoundError:
            return None
        return facts.st_ino, facts.st_size, facts.st_mtime_ns
