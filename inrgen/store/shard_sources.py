"""Whole shards of one spec: mapped from a folder, or fetched from a server.

Every shard comes in through SpecShards.admit, whichever source it comes from, and leaves as an
OpenShard. So no row leaves before the whole file has matched the digest in the block's records:
checksums of chunks alone would let another block's shard pass.
"""

import hashlib
import os
import time
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

from inrgen.store.digests import digest_parts
from inrgen.store.errors import DamagedStore
from inrgen.store.files.cache import DEFAULT_CACHE_BYTES, ShardCache
from inrgen.store.files.local import LocalFiles
from inrgen.store.files.location import is_bucket
from inrgen.store.files.opening import open_files
from inrgen.store.files.protocol import FileIdentity, Files
from inrgen.store.fragment import BlockFacts, open_fragment
from inrgen.store.layout import Layout, fragment_key, shard_key
from inrgen.store.metadata import StoreFacts
from inrgen.store.shard import ShardShape, good_chunks, shard_shape, view_chunks, view_numbers

if TYPE_CHECKING:
    from inrgen.store.files.s3 import ObjectFiles

# Concurrent fetches, and fetched shards that wait in memory for their reader.
_NUM_FETCHERS = 4
_MAX_READY = 32
# Fetches of a shard with wrong checksums before it counts as damaged.
_MAX_FETCHES = 2
# Seconds in which a repair moves a block's shard and its records, one after the other.
_REPLACING_S = 0.1

# Digest that a file has matched, by store and key, with the file's identity: loaders of several
# splits in one process read the same shards.
_matched: dict[tuple[str, str], tuple[FileIdentity, str]] = {}


@dataclass(frozen=True, kw_only=True, slots=True)
class SpecShards:
    """Names and shapes of one spec's shards, and the checks that every shard must pass."""

    location: str
    store_checksum: str
    spec_id: str
    layout: Layout
    num_params: int

    def key(self, block: int) -> str:
        """Return the name of a shard within the store."""
        return shard_key(self.spec_id, block)

    def shape(self, block: int) -> ShardShape:
        """Return the shape of a shard."""
        return shard_shape(self.layout, self.num_params, block)

    def read_facts(self, files: Files, block: int) -> BlockFacts:
        """Read the facts that bind a shard, from its block's records.

        Raises DamagedStore if the records are lost, altered, or of another block or store.
        """
        return open_fragment(files, self.store_checksum, self.spec_id, block, replacing=True)[1]

    def admit(
        self, block: int, data: UInt8[np.ndarray, " n"] | None, facts: BlockFacts
    ) -> "OpenShard":
        """Accept the bytes of a committed shard; None means that its file is missing.

        A file that matches its digest needs no other check. In any other file, the rows of damaged
        chunks raise DamagedStore when they are read.

        Args:
            facts: from the records of the block.

        Raises DamagedStore if the file is lost, has another length, or is another block's shard.
        """
        shape = self.shape(block)
        if data is None:
            raise self.damaged(block, f"{self.key(block)} is lost")
        if len(data) != shape.size_bytes:
            raise self.damaged(
                block, f"{self.key(block)} must have {shape.size_bytes} bytes; it has {len(data)}"
            )
        shard = OpenShard(self, block, data)
        if digest_parts(facts.digest, data.data) == facts.shard_digest:
            shard.checked[:] = True
            return shard
        shard.checked = good_chunks(shape, data, np.arange(shape.num_chunks))
        # the index that belongs there, since no reader here uses the file's, which may be damaged
        parts = data[: shape.index_start].data, shape.index()
        if shard.checked.all() and digest_parts(facts.digest, *parts) != facts.shard_digest:
            raise self.damaged(
                block,
                f"{self.key(block)} is not the shard that {fragment_key(self.spec_id, block)} "
                "describes; `inrgen verify` says more",
            )
        return shard

    def damaged(self, block: int, message: str) -> DamagedStore:
        """Return the error of a shard."""
        return DamagedStore(f"{self.location} is damaged: {message}", key=self.key(block))


class OpenShard:
    """Bytes of one shard, of which only good chunks give out rows.

    Attributes:
        checked: (num_chunks,), marks the chunks known to be good.
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
        self._checked: dict[int, tuple[FileIdentity, Bool[np.ndarray, " _c"]]] = {}

    def prefetch(self, block: int) -> None:
        """Do nothing."""

    def open(self, block: int) -> OpenShard:
        with suppress(DamagedStore):
            return self._open(block)
        # between the two moves of a repair, shard and records do not belong together
        time.sleep(_REPLACING_S)
        return self._open(block)

    def is_checked(self, block: int) -> bool:
        """Tell whether a shard was checked before; its file may have changed since."""
        return block in self._checked

    def _open(self, block: int) -> OpenShard:
        key = self._shards.key(block)
        # both sides of the mapping: a repair may replace the file in between
        before = self._files.identity(key)
        try:
            data = self._files.map(key)
        except FileNotFoundError:
            data = None
        identity = self._files.identity(key)
        known, checked = self._checked.get(block, (None, None))
        if data is not None and checked is not None and known == identity == before:
            shard = OpenShard(self._shards, block, data)
            shard.checked = checked
            return shard
        # again for each reader, since the records may have been exchanged
        facts = self._shards.read_facts(self._files, block)
        if identity is None or identity != before:
            return self._shards.admit(block, data, facts)
        name, match = (self._shards.location, key), (identity, facts.shard_digest)
        if data is not None and _matched.get(name) == match:
            shard = OpenShard(self._shards, block, data)
            shard.checked[:] = True
        else:
            shard = self._shards.admit(block, data, facts)
            if shard.checked.all():
                _matched[name] = match
        self._checked[block] = identity, shard.checked
        return shard


class LocalShards:
    """Shards in a folder, read ahead; a file is checked once, and again only if it changes."""

    def __init__(self, files: LocalFiles, shards: SpecShards) -> None:
        self._direct, self._root, self._shards = DirectShards(files, shards), files.root, shards
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
        if not self._direct.is_checked(block):
            # one thread each: after a fork, a pool would exist in name only
            thread = Thread(target=self._check_early, args=(block,))
            thread.start()
            self._checking[block] = thread

    def open(self, block: int) -> OpenShard:
        thread = self._checking.pop(block, None)
        if thread is not None:
            thread.join()
        shard = self._direct.open(block)
        # here, so that a reader never keeps a bad shard open
        shard.check()
        return shard

    def _check_early(self, block: int) -> None:
        with suppress(DamagedStore, OSError):
            self._direct.open(block)


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
        # the facts that a version of a shard has matched, by block, with the version's tag
        self._matched: dict[int, tuple[str, BlockFacts]] = {}

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

    def _admit(self, block: int, data: UInt8[np.ndarray, " n"] | None, tag: str) -> OpenShard:
        known, facts = self._matched.get(block, ("", None))
        if facts is None or not tag or known != tag:
            facts = self._shards.read_facts(self._files, block)
        shard = self._shards.admit(block, data, facts)
        shard.check()
        self._matched[block] = tag, facts
        return shard

    def _fetch(self, block: int) -> OpenShard:
        key = self._shards.key(block)
        tag = self._files.tag(key)
        if tag is None:
            return self._admit(block, None, "")
        cached = self._cache.find(self._name(key, tag))
        if cached is not None:
            # checked again, since disks err and the folder may be shared
            try:
                return self._admit(block, cached, tag)
            except DamagedStore:
                self._cache.drop(self._name(key, tag))
        return self._download(block, key)

    def _download(self, block: int, key: str) -> OpenShard:
        # a shard damaged on its way is whole the next time; one that was stored damaged is not
        for left in reversed(range(_MAX_FETCHES)):
            data, tag = self._files.read_tagged(key)
            try:
                shard = self._admit(block, np.frombuffer(data, np.uint8), tag)
            except DamagedStore:
                if not left:
                    raise
                continue
            # the same bytes, now mapped from the cache instead of held in memory
            mapped = self._cache.add(self._name(key, tag), data)
            if len(mapped) != len(data):
                return shard
            cached = OpenShard(self._shards, block, mapped)
            cached.checked = shard.checked
            return cached
        raise AssertionError("a shard is fetched once or more")


def spec_shards(location: str, facts: StoreFacts, spec_id: str) -> SpecShards:
    """Return the names and shapes of one spec's shards."""
    return SpecShards(
        location=location,
        store_checksum=facts.self_checksum,
        spec_id=spec_id,
        layout=facts.layouts[spec_id],
        num_params=facts.specs[spec_id].num_params,
    )


def open_source(shards: SpecShards, cache: ShardCache | None = None) -> ShardSource:
    """Return the source that reads ahead.

    cache keeps the shards of a server, by default among the temporary files.
    """
    files = open_files(shards.location)
    if isinstance(files, LocalFiles):
        return LocalShards(files, shards)
    if not is_bucket(shards.location):
        # The hub's own library keeps a copy of each file, so a cache would be a second one.
        return DirectShards(files, shards)
    # already imported by open_files here, and never for a folder
    from inrgen.store.files.s3 import ObjectFiles

    assert isinstance(files, ObjectFiles), "files lie in a folder or on a server"
    cache = ShardCache(None, DEFAULT_CACHE_BYTES) if cache is None else cache
    return RemoteShards(files, shards, cache)
