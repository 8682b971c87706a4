"""A shard as readers meet it: names and shape, the checks that it must pass, and its rows.

Every shard comes in through SpecShards and leaves as an OpenShard, whichever source it comes from.
So no row leaves before the file, or the chunk that holds the row, has matched what the block's
records say of it: a chunk's own checksum alone would let another block's shard pass.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int, UInt8

from inrgen.store.digests import digest_parts
from inrgen.store.errors import DamagedStore
from inrgen.store.files.protocol import Files
from inrgen.store.fragment import BlockFacts, open_fragment
from inrgen.store.layout import Layout, fragment_key, shard_key
from inrgen.store.metadata import StoreFacts, find_growth
from inrgen.store.shard import (
    ShardShape,
    good_chunks,
    is_named,
    part_shape,
    shard_shape,
    view_chunks,
    view_numbers,
)

# Fills in some chunks of a shard's memory; returns the CRC32C that the block's records then name.
LoadChunks = Callable[[Int[np.ndarray, " c"]], str]


def judge_chunks(
    shape: ShardShape, data: UInt8[np.ndarray, " n"], facts: BlockFacts
) -> tuple[Bool[np.ndarray, " c"], bool]:
    """Judge every chunk of a committed shard, whose file may be damaged, cut short or another's.

    Returns the good chunks, which the block's records describe, and whether any whole chunk is of
    another shard. The records of older stores describe the whole file only, so with one damaged
    chunk nothing proves that the others belong there, and none is good.
    """
    chunks = np.arange(shape.num_chunks)
    whole = good_chunks(shape, data, chunks)
    if whole.all():
        # the index that belongs there, since no reader here uses the file's, which may be damaged
        parts = data[: shape.index_start].data, shape.index()
        same = digest_parts(facts.digest, *parts) == facts.shard_digest
        return whole & same, not same
    if not facts.chunk_checksums:
        return np.zeros_like(whole), False
    named = [is_named(shape, data, facts.chunk_checksums, chunk) for chunk in chunks.tolist()]
    return whole & named, bool((whole & np.logical_not(named)).any())


@dataclass(frozen=True, kw_only=True, slots=True)
class SpecShards:
    """Names and shapes of one spec's shards, and the checks that every shard must pass."""

    location: str
    spec_id: str
    # One element: a store that grows keeps its rows in their places, so readers follow it.
    latest: list[StoreFacts]

    @property
    def facts(self) -> StoreFacts:
        """Facts of the store's root document, as it was when a reader last needed it."""
        return self.latest[0]

    @property
    def layout(self) -> Layout:
        """Cut of the spec's rows into blocks."""
        return self.facts.layouts[self.spec_id]

    @property
    def num_params(self) -> int:
        """Numbers of a row."""
        return self.facts.specs[self.spec_id].num_params

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
        try:
            return self._open_facts(files, block)
        except DamagedStore:
            grown = find_growth(files, self.facts)
            if grown is None:
                raise
            self.latest[0] = grown
            return self._open_facts(files, block)

    def _open_facts(self, files: Files, block: int) -> BlockFacts:
        checksum = self.facts.block_checksum(self.spec_id, block)
        return open_fragment(files, checksum, self.spec_id, block, replacing=True)[1]

    def admit(
        self, block: int, data: UInt8[np.ndarray, " n"] | None, facts: BlockFacts
    ) -> "OpenShard":
        """Accept the bytes of a committed shard; None means that its file is missing.

        Each chunk is checked when its first row is read. The records of older stores bind the file
        as a whole, which is digested here.

        Args:
            facts: from the records of the block.

        Raises DamagedStore if the file is lost or has another length; with the records of an older
        store, also if it is damaged or another block's shard.
        """
        self.check_size(block, None if data is None else len(data))
        assert data is not None, "a lost file has no size"
        shard = OpenShard(self, block, data, facts)
        if facts.chunk_checksums:
            return shard
        if digest_parts(facts.digest, data.data) != facts.shard_digest:
            good, foreign = judge_chunks(self.shape(block), data, facts)
            if foreign:
                raise self.foreign(block)
            if not good.all():
                raise self.damaged(
                    block,
                    f"some rows in {self.key(block)} do not match their checksum, and its records, "
                    "of an older version, do not tell whether the others belong there",
                )
        shard.checked[:] = True
        return shard

    def check_size(self, block: int, size_bytes: int | None) -> None:
        """Raise DamagedStore if a shard is lost (None), or does not have its length."""
        wanted = self.shape(block).size_bytes
        if size_bytes is None:
            raise self.damaged(block, f"{self.key(block)} is lost")
        if size_bytes != wanted:
            raise self.damaged(
                block, f"{self.key(block)} must have {wanted} bytes; it has {size_bytes}"
            )

    def foreign(self, block: int) -> DamagedStore:
        """Return the error of a whole shard, or a whole chunk, of another block or store."""
        return self.damaged(
            block,
            f"{self.key(block)} is not the shard that {fragment_key(self.spec_id, block)} "
            "describes; `inrgen verify` says more",
        )

    def damaged_rows(self, block: int, chunk: int) -> DamagedStore:
        """Return the error of a chunk that does not match its checksum."""
        rows, first = self.shape(block).chunk_range(chunk), block * self.layout.shard_rows
        return self.damaged(
            block,
            f"rows {first + rows.start}..{first + rows.stop - 1} in {self.key(block)} do not match "
            "their checksum",
        )

    def damaged(self, block: int, message: str) -> DamagedStore:
        """Return the error of a shard."""
        return DamagedStore(f"{self.location} is damaged: {message}", key=self.key(block))


class OpenShard:
    """Bytes of one shard, of which only good chunks give out rows.

    A chunk is good if it matches its own CRC32C, and the records of the block name the same one. So
    a chunk of another block or store does not pass, but by a chance of one in 2^32.

    Args:
        facts: from the records of the block.
        load: fills in chunks before they are checked for the first time; None where data is whole.
        held: the chunks that data consists of, all judged good; None for all of the shard.

    Attributes:
        checked: (num_chunks,), marks the chunks known to be good.
    """

    def __init__(
        self,
        shards: SpecShards,
        block: int,
        data: UInt8[np.ndarray, " n"],
        facts: BlockFacts,
        load: LoadChunks | None = None,
        held: Int[np.ndarray, " h"] | None = None,
    ) -> None:
        self._shards, self._block, self._data = shards, block, data
        self._names, self._load = facts.chunk_checksums, load
        self._shape = shards.shape(block)
        self._held = np.arange(self._shape.num_chunks) if held is None else held
        self.checked: Bool[np.ndarray, " c"] = np.zeros(self._shape.num_chunks, dtype=bool)
        # place of each chunk in data; an index that no array has for those that are not there
        self._places = np.full(self._shape.num_chunks, np.iinfo(np.int64).max)
        self._places[self._held] = np.arange(len(self._held))
        if held is not None:
            self.checked[held] = True
        self._chunks = view_chunks(part_shape(self._shape, len(self._held)), data)

    def check(self, chunks: Int[np.ndarray, " c"] | None = None) -> None:
        """Check some chunks that were not checked before, by default all.

        Raises DamagedStore, naming the shard and, of damaged chunks, the rows.
        """
        wanted = self._held if chunks is None else chunks
        unchecked = wanted[~self.checked[wanted]]
        if not len(unchecked):
            return
        if self._load is not None:
            self._names = self._load(unchecked)
        whole = good_chunks(self._shape, self._data, unchecked)
        named = [
            is_named(self._shape, self._data, self._names, chunk) for chunk in unchecked.tolist()
        ]
        # several threads may check a chunk at once and find the same
        self.checked[unchecked] = whole & named
        if (whole & np.logical_not(named)).any():
            raise self._shards.foreign(self._block)
        if not whole.all():
            raise self._shards.damaged_rows(self._block, int(unchecked[~whole][0]))

    def view(self, rows: range) -> Float32[np.ndarray, "r p"]:
        """View consecutive rows of one chunk where they lie, counted from the shard's first."""
        chunk, first = divmod(rows.start, self._shape.chunk_rows)
        self.check(np.array([chunk]))
        return self._chunks[self._places[chunk], first : first + len(rows)]

    def gather(self, rows: Int[np.ndarray, " r"]) -> Float32[np.ndarray, "r p"]:
        """Copy rows in any order, counted from the shard's first."""
        chunks, within = np.divmod(rows, self._shape.chunk_rows)
        self.check(np.unique(chunks))
        return self._chunks[self._places[chunks], within]

    def numbers(self) -> Float32[np.ndarray, " m"]:
        """View all chunks as one array of numbers, one checksum's width after each chunk."""
        self.check()
        return view_numbers(self._shape, self._data)

    def starts(self, rows: Int[np.ndarray, " r"]) -> Int[np.ndarray, " r"]:
        """Return where rows begin in numbers; rows are counted from the shard's first."""
        chunks = rows // self._shape.chunk_rows
        # a checksum as wide as one number follows each chunk
        starts = rows * self._shape.num_params + chunks
        if len(self._held) == self._shape.num_chunks:
            return starts
        places = self._places[chunks]
        assert (places < len(self._held)).all(), "the shard was opened for the chunks of other rows"
        return starts + (places - chunks) * (self._shape.chunk_bytes // 4)


def spec_shards(location: str, facts: StoreFacts, spec_id: str) -> SpecShards:
    """Return the names and shapes of one spec's shards."""
    return SpecShards(
        location=location,
        spec_id=facts.check_spec_id(spec_id),
        latest=[facts],
    )
