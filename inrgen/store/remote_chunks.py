"""Chunks of shards on a server, fetched by ranges instead of whole shards.

A chunk must match the CRC32C that the records of its block name. So a chunk of another block or
store does not pass (but by a chance of one in four thousand million), and damage to other chunks
is not seen. Older records name none; their shards are fetched whole.
"""

import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from jaxtyping import Bool, Int, UInt8

from inrgen.store.errors import DamagedStore
from inrgen.store.files.cache import DEFAULT_CACHE_BYTES, ShardCache, cache_name
from inrgen.store.files.s3 import ObjectFiles
from inrgen.store.fragment import BlockFacts
from inrgen.store.open_shard import OpenShard, SpecShards
from inrgen.store.shard import good_chunks, is_named, pick_checksums
from inrgen.store.shard_sources import REPLACING_S, DirectShards

# Fetches of bytes with wrong checksums before they count as damaged.
MAX_FETCHES = 2


def judge_part(
    shards: SpecShards,
    facts: BlockFacts,
    chunks: Int[np.ndarray, " c"],
    data: UInt8[np.ndarray, "c n"],
) -> Bool[np.ndarray, " c"]:
    """Mark the chunks that match their checksums and are those that the block's records name.

    Raises DamagedStore if any is of another shard.
    """
    shape, flat, places = shards.shape(facts.block), data.reshape(-1), np.arange(len(chunks))
    checksums = pick_checksums(facts.chunk_checksums, chunks)
    named = np.array([is_named(shape, flat, checksums, place) for place in places.tolist()])
    whole = good_chunks(shape, flat, places)
    # right by its own checksum, so it is another shard's
    if (whole & ~named).any():
        raise shards.foreign(facts.block)
    return whole & named


def fetch_chunks(
    files: ObjectFiles, shards: SpecShards, facts: BlockFacts, chunks: Int[np.ndarray, " c"]
) -> tuple[UInt8[np.ndarray, "c n"], Bool[np.ndarray, " c"]]:
    """Fetch some chunks of a block's shard, and tell which of them are good.

    Args:
        facts: from the block's records, which name checksums.
        chunks: sorted, at least one.

    Raises DamagedStore if a chunk is of another shard.
    """
    step = shards.shape(facts.block).chunk_bytes
    data, good = np.zeros((len(chunks), step), np.uint8), np.zeros(len(chunks), bool)
    # a chunk damaged on its way is whole the next time
    for _ in range(MAX_FETCHES):
        places = np.flatnonzero(~good)
        spans = [(chunk * step, (chunk + 1) * step) for chunk in chunks[places].tolist()]
        found = files.read_ranges(shards.key(facts.block), spans)
        for place, part in zip(places.tolist(), found, strict=True):
            # an object that was replaced by a shorter one gives less
            if len(part) == step:
                data[place] = np.frombuffer(part, np.uint8)
        good = judge_part(shards, facts, chunks, data)
        if good.all():
            break
    return data, good


@dataclass(frozen=True, kw_only=True, slots=True)
class _Version:
    """A version of a block: the tag of its shard, and the facts that its records had then."""

    block: int
    tag: str
    size_bytes: int | None
    facts: BlockFacts


class ChunkShards:
    """Shards of a server of which only the chunks that rows need are fetched, and cached."""

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
        load = partial(self._load, version, data)
        return OpenShard(self._shards, block, data, version.facts, load)

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
    ) -> str:
        """Fill in some chunks, and return the CRC32C that the records name for each chunk.

        Raises DamagedStore if some are of another shard.
        """
        try:
            self._fill(version, data, chunks)
        except DamagedStore:
            # between the two moves of a repair, shard and records do not belong together
            time.sleep(REPLACING_S)
            self._versions.pop(version.block, None)
            version = self._find_version(version.block)
            self._fill(version, data, chunks)
        return version.facts.chunk_checksums

    def _fill(
        self, version: _Version, data: UInt8[np.ndarray, " n"], chunks: Int[np.ndarray, " c"]
    ) -> None:
        step = self._shards.shape(version.block).chunk_bytes
        rows = data[: len(data) // step * step].reshape(-1, step)
        missing = np.array([c for c in chunks.tolist() if not self._find(version, rows, c)], int)
        if not len(missing):
            return
        found, good = fetch_chunks(self._files, self._shards, version.facts, missing)
        # OpenShard reports those that are damaged
        rows[missing] = found
        for chunk, part in zip(missing[good].tolist(), found[good], strict=True):
            self._cache.add(self._name(version, chunk), part.tobytes())

    def _find(self, version: _Version, rows: UInt8[np.ndarray, "c n"], chunk: int) -> bool:
        """Take a chunk from the cache, if it is there and good."""
        cached = self._cache.find(self._name(version, chunk))
        if cached is None or len(cached) != rows.shape[1]:
            return False
        rows[chunk] = cached
        # checked again, since disks err and the folder may be shared
        with suppress(DamagedStore):
            return bool(
                judge_part(self._shards, version.facts, np.array([chunk]), rows[[chunk]])[0]
            )
        return False

    def _name(self, version: _Version, chunk: int) -> str:
        key = self._shards.key(version.block)
        return cache_name(self._shards.location, key, version.tag, f"\n{chunk}")
