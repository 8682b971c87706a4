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
from inrgen.store.metadata import StoreFacts
from inrgen.store.shard import ShardShape, good_chunks, shard_shape, view_chunks, view_numbers

# Fills some chunks of a shard's memory.
LoadChunks = Callable[[Int[np.ndarray, " c"]], None]


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
        self.check_size(block, None if data is None else len(data))
        assert data is not None, "a lost file has no size"
        shard = OpenShard(self, block, data)
        if digest_parts(facts.digest, data.data) == facts.shard_digest:
            shard.checked[:] = True
            return shard
        shard.checked = good_chunks(shape, data, np.arange(shape.num_chunks))
        # the index that belongs there, since no reader here uses the file's, which may be damaged
        parts = data[: shape.index_start].data, shape.index()
        if shard.checked.all() and digest_parts(facts.digest, *parts) != facts.shard_digest:
            raise self.foreign(block)
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

    def damaged(self, block: int, message: str) -> DamagedStore:
        """Return the error of a shard."""
        return DamagedStore(f"{self.location} is damaged: {message}", key=self.key(block))


class OpenShard:
    """Bytes of one shard, of which only good chunks give out rows.

    Args:
        load: called with chunks before they are checked for the first time; None where all of data
            is there.

    Attributes:
        checked: (num_chunks,), marks the chunks known to be good.
    """

    def __init__(
        self,
        shards: SpecShards,
        block: int,
        data: UInt8[np.ndarray, " n"],
        load: LoadChunks | None = None,
    ) -> None:
        self._shards, self._block, self._data, self._load = shards, block, data, load
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
        if self._load is not None:
            self._load(unchecked)
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


def spec_shards(location: str, facts: StoreFacts, spec_id: str) -> SpecShards:
    """Return the names and shapes of one spec's shards."""
    return SpecShards(
        location=location,
        store_checksum=facts.self_checksum,
        spec_id=spec_id,
        layout=facts.layouts[spec_id],
        num_params=facts.specs[spec_id].num_params,
    )
