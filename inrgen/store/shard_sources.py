"""Whole shards of one spec: mapped from a folder, or fetched from a server.

Every shard comes in through SpecShards.admit, whichever source it comes from, and leaves as an
OpenShard, which gives out no row before its chunk has matched its checksum.
"""

import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from jaxtyping import Bool, Float32, Int, UInt8

from inrgen.store.errors import DamagedStore
from inrgen.store.files.cache import DEFAULT_CACHE_BYTES, ShardCache
from inrgen.store.files.local import LocalFiles
from inrgen.store.files.opening import open_files
from inrgen.store.files.protocol import Files
from inrgen.store.layout import Layout, shard_key
from inrgen.store.metadata import StoreFacts
from inrgen.store.shard import ShardShape, good_chunks, shard_shape, view_chunks, view_numbers

if TYPE_CHECKING:
    from inrgen.store.files.s3 import ObjectFiles

# Concurrent fetches, and fetched shards that wait in memory for their reader.
_NUM_FETCHERS = 4
_MAX_READY = 32
# Fetches of a shard with wrong checksums before it counts as damaged.
_MAX_FETCHES = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class SpecShards:
    """Names and shapes of one spec's shards, and the checks that every shard must pass."""

    location: str
    spec_id: str
    layout: Layout
    num_params: int

    def key(self, block: int) -> str:
        """Return the name of a shard within the store."""
        return shard_key(self.spec_id, block)

    def shape(self, block: int) -> ShardShape:
        """Return the shape of a shard."""
        return shard_shape(self.layout, self.num_params, block)

    def admit(self, block: int, data: UInt8[np.ndarray, " n"] | None) -> "OpenShard":
        """Accept the bytes of a committed shard; None means that its file is missing.

        Raises DamagedStore if the file is lost or has another length.
        """
        # The only door for shards, so the place for any check of a whole file. Checksums of chunks
        # wait until rows are read: a few rows should not cost a pass over 19 MB.
        shape = self.shape(block)
        if data is None:
            raise self.damaged(block, f"{self.key(block)} is lost")
        if len(data) != shape.size_bytes:
            raise self.damaged(
                block, f"{self.key(block)} must have {shape.size_bytes} bytes; it has {len(data)}"
            )
        return OpenShard(self, block, data)

    def damaged(self, block: int, message: str) -> DamagedStore:
        """Return the error of a shard."""
        return DamagedStore(f"{self.location} is damaged: {message}", key=self.key(block))


class OpenShard:
    """Bytes of one shard; each chunk's checksum is compared once, before its first row leaves.

    Attributes:
        checked: (num_chunks,), marks the chunks whose checksums matched.
    """

    def __init__(self, shards: SpecShards, block: int, data: UInt8[np.ndarray, " n"]) -> None:
        self._shards, self._block, self._data = shards, block, data
        self._shape = shards.shape(block)
        self._chunks = view_chunks(self._shape, data)
        self.checked: Bool[np.ndarray, " c"] = np.zeros(self._shape.num_chunks, dtype=bool)

    def check(self, chunks: Int[np.ndarray, " c"] | None = None) -> None:
        """Check some chunks that were not checked before, by default all.

        Raises DamagedStore, naming the shard and rows.
        """
        wanted = np.arange(self._shape.num_chunks) if chunks is None else chunks
        unchecked = wanted[~self.checked[wanted]]
        if not len(unchecked):
            return
        good = good_chunks(self._shape, self._data, unchecked)
        # several threads may check a chunk at once and find the same
        self.checked[unchecked] = good
        if not good.all():
            rows = self._shape.chunk_range(int(unchecked[~good][0]))
            first = self._block * self._shards.layout.shard_rows
            raise self._shards.damaged(
                self._block,
                f"rows {first + rows.start}..{first + rows.stop - 1} in "
                f"{self._shards.key(self._block)} do not match their checksum",
            )

    def view(self, rows: range) -> Float32[np.ndarray, "r p"]:
        """View consecutive rows of one chunk where they lie, counted from the shard's first."""
        chunk, first = divmod(rows.start, self._shape.chunk_rows)
        self.check(np.array([chunk]))
        return self._chunks[chunk, first : first + len(rows)]

    def gather(self, rows: Int[np.ndarray, " r"]) -> Float32[np.ndarray, "r p"]:
        """Copy rows in any order, counted from the shard's first."""
        chunks, within = np.divmod(rows, self._shape.chunk_rows)
        self.check(np.unique(chunks))
        return self._chunks[chunks, within]

    def numbers(self) -> Float32[np.ndarray, " m"]:
        """View all chunks as one array of numbers, one checksum's width after each chunk."""
        self.check()
        return view_numbers(self._shape, self._data)


class ShardSource(Protocol):
    """Source of the shards of one spec. Sources that read ahead check whole shards."""

    def prefetch(self, block: int) -> None:
        """Note that a shard will be opened soon; return at once and raise nothing."""
        ...

    def open(self, block: int) -> OpenShard:
        """Open a shard. Raises DamagedStore, naming the shard."""
        ...


class DirectShards:
    """Shards as the files give them: mapped from a folder, fetched from a server when opened."""

    def __init__(self, files: Files, shards: SpecShards) -> None:
        self._files, self._shards = files, shards

    def prefetch(self, block: int) -> None:
        """Do nothing."""

    def open(self, block: int) -> OpenShard:
        try:
            data = self._files.map(self._shards.key(block))
        except FileNotFoundError:
            data = None
        return self._shards.admit(block, data)


class LocalShards:
    """Shards in a folder, read ahead; a file keeps its marks of checked chunks when reopened."""

    def __init__(self, files: LocalFiles, shards: SpecShards) -> None:
        self._direct, self._root, self._shards = DirectShards(files, shards), files.root, shards
        self._checked: dict[int, tuple[tuple[int, int, int], Bool[np.ndarray, " _c"]]] = {}
        self._checking: dict[int, Thread] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Leave out threads, which belong to this process."""
        return {**self.__dict__, "_checking": {}}

    def prefetch(self, block: int) -> None:
        """Have the kernel load a shard, and check it meanwhile if it was never checked.

        open reports a lost or damaged one.
        """
        path = self._root / self._shards.key(block)
        # a lost file is reported by open, not by a hint
        with suppress(OSError), path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)
        if block not in self._checked:
            # one thread each: after a fork, a pool would exist in name only
            thread = Thread(target=self._check_early, args=(block,))
            thread.start()
            self._checking[block] = thread

    def open(self, block: int) -> OpenShard:
        thread = self._checking.pop(block, None)
        if thread is not None:
            thread.join()
        shard = self._open(block)
        # here, so that a reader never keeps a bad shard open
        shard.check()
        return shard

    def _check_early(self, block: int) -> None:
        with suppress(DamagedStore, OSError):
            self._open(block).check()

    def _open(self, block: int) -> OpenShard:
        # both sides of the mapping: a repair may replace the file in between
        before = self._identity(block)
        shard = self._direct.open(block)
        identity = self._identity(block)
        if identity is None or identity != before:
            return shard
        known, checked = self._checked.get(block, (None, shard.checked))
        if known == identity:
            shard.checked = checked
        else:
            self._checked[block] = identity, shard.checked
        return shard

    def _identity(self, block: int) -> tuple[int, int, int] | None:
        """Tell a file from another of the same name; None if there is no file."""
        try:
            facts = (self._root / self._shards.key(block)).stat()
        except FileNotFoundError:
            return None
        return facts.st_ino, facts.st_size, facts.st_mtime_ns


class Fetchers:
    """A few daemon threads that run calls; the process may end while a call is running."""

    def __init__(self, num_threads: int) -> None:
        self._num_threads, self._started = num_threads, False
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()

    def submit(self, call: Callable[[], OpenShard]) -> "Future[OpenShard]":
        """Queue a call and return its future."""
        if not self._started:
            self._started = True
            for _ in range(self._num_threads):
                Thread(target=self._work, name="inrgen fetch", daemon=True).start()
        future: Future[OpenShard] = Future()
        self._calls.put((future, call))
        return future

    def _work(self) -> None:
        while True:
            future, call = self._calls.get()
            try:
                future.set_result(call())
            except BaseException as error:  # handed over, not swallowed
                future.set_exception(error)


class RemoteShards:
    """Shards of a server, fetched whole ahead of time, checked, and cached on this machine."""

    def __init__(self, files: "ObjectFiles", shards: SpecShards, cache: ShardCache) -> None:
        self._files, self._shards, self._cache = files, shards, cache
        self._lock = Lock()
        self._fetchers = Fetchers(_NUM_FETCHERS)
        self._coming: OrderedDict[int, Future[OpenShard]] = OrderedDict()

    def __reduce__(self) -> tuple[Any, tuple[SpecShards, ShardCache]]:
        """Open anew in another process: neither clients nor threads travel."""
        return open_source, (self._shards, self._cache)

    def prefetch(self, block: int) -> None:
        with self._lock:
            if block in self._coming:
                return
            self._coming[block] = self._fetchers.submit(lambda: self._fetch(block))
            # a reader that skips ahead must not fill the memory with shards that it left behind
            while len(self._coming) > _MAX_READY:
                self._coming.popitem(last=False)

    def open(self, block: int) -> OpenShard:
        with self._lock:
            coming = self._coming.pop(block, None)
        # a fetch that failed ahead of time may succeed now
        if coming is not None and coming.exception() is None:
            return coming.result()
        return self._fetch(block)

    def _name(self, key: str, tag: str) -> str:
        """Return the cache's name for a version of a shard."""
        # with the version's tag, so that a repaired shard is fetched anew
        text = f"{self._shards.location}\n{key}\n{tag}"
        return hashlib.sha256(text.encode()).hexdigest()[:40] + ".shard"

    def _admit(self, block: int, data: UInt8[np.ndarray, " n"] | None) -> OpenShard:
        shard = self._shards.admit(block, data)
        shard.check()
        return shard

    def _fetch(self, block: int) -> OpenShard:
        key = self._shards.key(block)
        tag = self._files.tag(key)
        if tag is None:
            return self._admit(block, None)
        cached = self._cache.find(self._name(key, tag))
        if cached is not None:
            # checked again, since disks err and the folder may be shared
            try:
                return self._admit(block, cached)
            except DamagedStore:
                self._cache.drop(self._name(key, tag))
        return self._download(block, key)

    def _download(self, block: int, key: str) -> OpenShard:
        # a shard damaged on its way is whole the next time; one that was stored damaged is not
        for left in reversed(range(_MAX_FETCHES)):
            data, tag = self._files.read_tagged(key)
            try:
                shard = self._admit(block, np.frombuffer(data, np.uint8))
            except DamagedStore:
                if not left:
                    raise
                continue
            cached = self._shards.admit(block, self._cache.add(self._name(key, tag), data))
            # the same bytes, now mapped from the cache instead of held in memory
            cached.checked = shard.checked
            return cached
        raise AssertionError("a shard is fetched once or more")


def spec_shards(location: str, facts: StoreFacts, spec_id: str) -> SpecShards:
    """Return the names and shapes of one spec's shards."""
    return SpecShards(
        location=location,
        spec_id=spec_id,
        layout=facts.layouts[spec_id],
        num_params=facts.specs[spec_id].num_params,
    )


def open_source(shards: SpecShards, cache: ShardCache | None = None) -> ShardSource:
    """Return the source that reads ahead.

    Args:
        cache: keeps the shards of a server, by default among the temporary files. A local store
            needs none.
    """
    files = open_files(shards.location)
    if isinstance(files, LocalFiles):
        return LocalShards(files, shards)
    # already imported by open_files here, and never for a folder
    from inrgen.store.files.s3 import ObjectFiles

    assert isinstance(files, ObjectFiles), "files lie in a folder or on a server"
    cache = ShardCache(None, DEFAULT_CACHE_BYTES) if cache is None else cache
    return RemoteShards(files, shards, cache)
