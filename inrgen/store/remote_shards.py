"""Shards on a server as loaders read them: fetched ahead of time, whole or in part, and cached."""

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, UInt8

from inrgen.store.errors import DamagedStore
from inrgen.store.files.cache import ShardCache, cache_name
from inrgen.store.files.opening import open_files
from inrgen.store.files.s3 import MAX_GAP_BYTES, ObjectFiles
from inrgen.store.fragment import BlockFacts
from inrgen.store.open_shard import OpenShard, SpecShards
from inrgen.store.remote_chunks import MAX_FETCHES, fetch_chunks, judge_part
from inrgen.store.shard import ShardShape

# Concurrent fetches, and fetched shards that wait in memory for their reader.
_NUM_FETCHERS = 4
_MAX_READY = 32
# Share of a shard's bytes up to which only the chunks wanted are fetched. The whole shard serves
# any other selection from the cache, too.
_MAX_SHARE = 0.5

# For each block, the chunks that readers want; None for all.
Wanted = Bool[np.ndarray, "b c"] | None


def _open_again(shards: SpecShards, cache: ShardCache, wanted: Wanted) -> "RemoteShards":
    """Open a source in another process."""
    files = open_files(shards.location)
    assert isinstance(files, ObjectFiles), "files in a bucket are objects"
    return RemoteShards(files, shards, cache, wanted)


def fetches_part(shape: ShardShape, chunks: Int[np.ndarray, " c"]) -> bool:
    """Tell whether some sorted chunks are to be fetched without the rest of the shard."""
    gaps = (np.diff(chunks) - 1) * shape.chunk_bytes
    # gaps that do not part two requests are fetched as well
    num_bytes = len(chunks) * shape.chunk_bytes + gaps[gaps <= MAX_GAP_BYTES].sum()
    return 0 < int(num_bytes) <= _MAX_SHARE * shape.size_bytes


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
    """Shards of a server, fetched ahead of time, checked, and cached on this machine.

    A shard of which few chunks are wanted is fetched in part; the part is one file of the cache.

    Args:
        wanted: marks, for each block, the chunks that will be read; None wants all.
    """

    def __init__(
        self, files: ObjectFiles, shards: SpecShards, cache: ShardCache, wanted: Wanted = None
    ) -> None:
        self._files, self._shards, self._cache, self._wanted = files, shards, cache, wanted
        self._lock = Lock()
        self._fetchers = Fetchers(_NUM_FETCHERS)
        self._coming: OrderedDict[int, Future[OpenShard]] = OrderedDict()
        # the facts that a version of a shard has matched, by block, with the version's tag
        self._matched: dict[int, tuple[str, BlockFacts]] = {}

    def __reduce__(self) -> tuple[Any, tuple[SpecShards, ShardCache, Wanted]]:
        """Open anew in another process: neither clients nor threads travel."""
        return _open_again, (self._shards, self._cache, self._wanted)

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

    def _name(self, key: str, tag: str, part: str = "") -> str:
        return cache_name(self._shards.location, key, tag, part)

    def _facts(self, block: int, tag: str) -> BlockFacts:
        known, facts = self._matched.get(block, ("", None))
        if facts is None or not tag or known != tag:
            facts = self._shards.read_facts(self._files, block)
        return facts

    def _admit(self, block: int, data: UInt8[np.ndarray, " n"] | None, tag: str) -> OpenShard:
        facts = self._facts(block, tag)
        shard = self._shards.admit(block, data, facts)
        shard.check()
        self._matched[block] = tag, facts
        return shard

    def _fetch(self, block: int) -> OpenShard:
        key = self._shards.key(block)
        found = self._files.tag_and_size(key)
        if found is None:
            return self._admit(block, None, "")
        tag, size_bytes = found
        cached = self._cache.find(self._name(key, tag))
        if cached is not None:
            # checked again, since disks err and the folder may be shared
            try:
                return self._admit(block, cached, tag)
            except DamagedStore:
                self._cache.drop(self._name(key, tag))
        chunks = np.arange(0) if self._wanted is None else np.flatnonzero(self._wanted[block])
        # without a tag, nothing would name a version in the cache
        if tag and fetches_part(self._shards.shape(block), chunks):
            self._shards.check_size(block, size_bytes)
            part = self._open_part(block, tag, chunks)
            if part is not None:
                return part
        return self._download(block, key)

    def _open_part(self, block: int, tag: str, chunks: Int[np.ndarray, " c"]) -> OpenShard | None:
        """Open some chunks of a shard; None if the records, of an older store, do not bind them."""
        for left in reversed(range(MAX_FETCHES)):
            facts = self._facts(block, tag)
            if not facts.chunk_checksums:
                return None
            try:
                data = self._find_part(facts, tag, chunks)
            except DamagedStore:
                # a repair may have replaced the shard after its records were read
                if not left:
                    raise
                self._matched.pop(block, None)
                continue
            self._matched[block] = tag, facts
            return OpenShard(self._shards, block, data, facts, held=chunks)
        raise AssertionError("a part is fetched once or more")

    def _find_part(
        self, facts: BlockFacts, tag: str, chunks: Int[np.ndarray, " c"]
    ) -> UInt8[np.ndarray, " n"]:
        """Return good chunks, from the cache or fetched. Raises DamagedStore."""
        block, shape = facts.block, self._shards.shape(facts.block)
        marks = np.packbits(np.isin(np.arange(shape.num_chunks), chunks)).tobytes().hex()
        name = self._name(self._shards.key(block), tag, f"\n{marks}")
        cached = self._cache.find(name)
        if cached is not None and len(cached) == len(chunks) * shape.chunk_bytes:
            # checked again, since disks err and the folder may be shared
            with suppress(DamagedStore):
                if judge_part(self._shards, facts, chunks, cached.reshape(len(chunks), -1)).all():
                    return cached
        data, good = fetch_chunks(self._files, self._shards, facts, chunks)
        if not good.all():
            raise self._shards.damaged_rows(block, int(chunks[~good][0]))
        return self._cache.add(name, data.tobytes())

    def _download(self, block: int, key: str) -> OpenShard:
        # a shard damaged on its way is whole the next time; one that was stored damaged is not
        for left in reversed(range(MAX_FETCHES)):
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
            cached = OpenShard(self._shards, block, mapped, self._matched[block][1])
            cached.checked = shard.checked
            return cached
        raise AssertionError("a shard is fetched once or more")
