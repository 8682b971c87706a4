"""Shards on a server: fetched whole ahead of time for loaders, or by the chunk for single rows."""

import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property, partial
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

from inrgen.store.errors import DamagedStore
from inrgen.store.files.cache import DEFAULT_CACHE_BYTES, ShardCache, cache_name
from inrgen.store.files.opening import open_files
from inrgen.store.files.s3 import ObjectFiles
from inrgen.store.fragment import BlockFacts
from inrgen.store.open_shard import OpenShard, SpecShards
from inrgen.store.shard import good_chunks, is_named
from inrgen.store.shard_sources import REPLACING_S, DirectShards

# Concurrent fetches, and fetched shards that wait in memory for their reader.
_NUM_FETCHERS = 4
_MAX_READY = 32
# Fetches of a shard with wrong checksums before it counts as damaged.
_MAX_FETCHES = 2


def _open_again(shards: SpecShards, cache: ShardCache) -> "RemoteShards":
    """Open a source in another process."""
    files = open_files(shards.location)
    assert isinstance(files, ObjectFiles), "files in a bucket are objects"
    return RemoteShards(files, shards, cache)


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

    def __init__(self, files: ObjectFiles, shards: SpecShards, cache: ShardCache) -> None:
        self._files, self._shards, self._cache = files, shards, cache
        self._lock = Lock()
        self._fetchers = Fetchers(_NUM_FETCHERS)
        self._coming: OrderedDict[int, Future[OpenShard]] = OrderedDict()
        # the facts that a version of a shard has matched, by block, with the version's tag
        self._matched: dict[int, tuple[str, BlockFacts]] = {}

    def __reduce__(self) -> tuple[Any, tuple[SpecShards, ShardCache]]:
        """Open anew in another process: neither clients nor threads travel."""
        return _open_again, (self._shards, self._cache)

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
        return cache_name(self._shards.location, key, tag)

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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Version:
    """A version of a block: the tag of its shard, and the facts that its records had then."""

    block: int
    tag: str
    size_bytes: int | None
    facts: BlockFacts


class ChunkShards:
    """Shards of a server of which only the chunks that rows need are fetched, and cached.

    A chunk must match the CRC32C that the records of its block name. So a chunk of another block or
    store does not pass (but by a chance of one in four thousand million), and damage to other
    chunks is not seen. Older records name none; their shards are fetched whole.
    """

    def __init__(self, files: ObjectFiles, shards: SpecShards) -> None:
        self._files, self._shards = files, shards
        self._whole = DirectShards(files, shards)
        self._versions: dict[int, _Version] = {}

    @cached_property
    def _cache(self) -> ShardCache:
        # made at the first fetch: many stores are opened for their records alone
        return ShardCache(None, DEFAULT_CACHE_BYTES)

    def prefetch(self, block: int) -> None:
        """Do nothing."""

    def open(self, block: int) -> OpenShard:
        version = self._find_version(block)
        # without a tag, two requests may meet two versions
        if not version.facts.chunk_checksums or not version.tag:
            return self._whole.open(block)
        self._shards.check_size(block, version.size_bytes)
        # memory that is never touched costs nothing
        data = np.zeros(self._shards.shape(block).size_bytes, dtype=np.uint8)
        return OpenShard(self._shards, block, data, partial(self._load, version, data))

    def _find_version(self, block: int) -> _Version:
        tag, size_bytes = self._files.tag_and_size(self._shards.key(block)) or ("", None)
        known = self._versions.get(block)
        if known is not None and tag and known.tag == tag:
            return known
        facts = self._shards.read_facts(self._files, block)
        found = _Version(block=block, tag=tag, size_bytes=size_bytes, facts=facts)
        self._versions[block] = found
        return found

    def _load(
        self, version: _Version, data: UInt8[np.ndarray, " n"], chunks: Int[np.ndarray, " c"]
    ) -> None:
        """Fill in some chunks; raises DamagedStore if they are of another shard."""
        try:
            self._fill(version, data, chunks)
        except DamagedStore:
            # between the two moves of a repair, shard and records do not belong together
            time.sleep(REPLACING_S)
            self._versions.pop(version.block, None)
            self._fill(self._find_version(version.block), data, chunks)

    def _fill(
        self, version: _Version, data: UInt8[np.ndarray, " n"], chunks: Int[np.ndarray, " c"]
    ) -> None:
        step, missing = self._shards.shape(version.block).chunk_bytes, list[int]()
        for chunk in chunks.tolist():
            cached = self._cache.find(self._name(version, chunk))
            if cached is None or len(cached) != step:
                missing.append(chunk)
                continue
            data[chunk * step : (chunk + 1) * step] = cached
            # checked again, since disks err and the folder may be shared
            if not self._is_good(version, data, chunk):
                missing.append(chunk)
        # one request for each run of neighbours
        for run in np.split(np.array(missing), np.flatnonzero(np.diff(missing) > 1) + 1):
            if len(run):
                self._fetch(version, data, range(int(run[0]), int(run[-1]) + 1))

    def _fetch(self, version: _Version, data: UInt8[np.ndarray, " n"], chunks: range) -> None:
        """Fetch neighbouring chunks and cache them, unless they are damaged."""
        block, key = version.block, self._shards.key(version.block)
        shape, bad = self._shards.shape(block), list(chunks)
        step = shape.chunk_bytes
        span = slice(chunks.start * step, chunks.stop * step)
        # a chunk damaged on its way is whole the next time
        for _ in range(_MAX_FETCHES):
            found, tag = self._files.read_range(key, span.start, span.stop)
            if tag != version.tag or len(found) != span.stop - span.start:
                raise self._shards.damaged(block, f"{key} was replaced while it was read")
            data[span] = np.frombuffer(found, np.uint8)
            bad = [chunk for chunk in chunks if not self._is_good(version, data, chunk)]
            if not bad:
                break
        for chunk in set(chunks) - set(bad):
            name = self._name(version, chunk)
            self._cache.add(name, data[chunk * step : (chunk + 1) * step].tobytes())
        # right by its own checksum, so it is another shard's; OpenShard reports any other
        if good_chunks(shape, data, np.array(bad, dtype=int)).any():
            raise self._shards.foreign(block)

    def _name(self, version: _Version, chunk: int) -> str:
        key = self._shards.key(version.block)
        return cache_name(self._shards.location, key, version.tag, f"\n{chunk}")

    def _is_good(self, version: _Version, data: UInt8[np.ndarray, " n"], chunk: int) -> bool:
        """Tell whether a chunk matches its checksum, and the block's records name the same one."""
        shape = self._shards.shape(version.block)
        named = is_named(shape, data, version.facts.chunk_checksums, chunk)
        return named and bool(good_chunks(shape, data, np.array([chunk]))[0])
