"""Rows of weights out of shards: for Store, for jobs and for loaders.

Shards are never written in place. A repair moves a new file over the old name; a mapping keeps the
old content, and the next opening checks the new file. So a row needs no check after the first of
its shard.
"""

from collections import OrderedDict
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float32, Int

from inrgen.store.errors import DamagedStore
from inrgen.store.files.opening import open_files
from inrgen.store.files.protocol import Files
from inrgen.store.fragment import open_fragment
from inrgen.store.layout import fragment_key
from inrgen.store.metadata import StoreFacts, read_facts
from inrgen.store.open_shard import OpenShard, SpecShards, spec_shards
from inrgen.store.records import column_fault, encode_texts, is_one_of, is_usable
from inrgen.store.shard_sources import DirectShards, ShardSource


def _as_slice(places: Int[np.ndarray, " r"]) -> slice | None:
    """Return consecutive places as a slice, which copies far faster; None for any others."""
    if not len(places) or places[-1] - places[0] != len(places) - 1:
        return None
    if not (np.diff(places) == 1).all():
        return None
    return slice(int(places[0]), int(places[-1]) + 1)


class RowReader:
    """Rows of one spec. It keeps the most recently used shards open, and any thread may use it.

    Args:
        max_open: most shards that stay open.
    """

    def __init__(self, shards: SpecShards, source: ShardSource, max_open: int) -> None:
        # copied out, since loaders need them thousands of times an epoch
        self._chunk_rows, self._shard_rows = shards.layout.chunk_rows, shards.layout.shard_rows
        self._num_params = shards.num_params
        # a mapped shard costs address space and a file handle; its memory is the page cache's
        self._source, self._max_open = source, max_open
        self._open: OrderedDict[int, OpenShard] = OrderedDict()
        self._opening = Lock()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the open shards: another process maps its own, and need not check again."""
        kept = {k: v for k, v in self.__dict__.items() if k != "_opening"}
        return {**kept, "_open": OrderedDict()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._opening = Lock()

    def prefetch(self, block: int) -> None:
        """Note that a shard will be needed soon; reading reports a bad one."""
        with self._opening:
            if block in self._open:
                return
        self._source.prefetch(block)

    def copy(
        self,
        block: int,
        rows: Int[np.ndarray, " r"],
        target: Float32[np.ndarray, "b p"],
        places: Int[np.ndarray, " r"],
    ) -> None:
        """Copy rows of one block to some places of target, straight from the page cache.

        The only method that writes into an argument: many shards fill one batch. It needs numba.

        Args:
            rows: rows of the spec's array, all in the block.

        Raises:
            DamagedStore: the shard is lost or does not match its checksums.
            OSError: a server fails to deliver it despite all retries.
        """
        # numba is slow to import, and only loaders need it
        from inrgen.kernels.rows import copy_rows

        shard = self._shard(block)
        starts = shard.starts(rows - block * self._shard_rows)
        copy_rows(shard.numbers(), starts, target, places)

    def read(self, rows: range | Int[np.ndarray, " r"]) -> Float32[np.ndarray, "r p"]:
        """Copy rows in any order; they may repeat. Raises as copy does."""
        wanted = np.asarray(rows, dtype=np.int64)
        blocks = wanted // self._shard_rows
        present = np.unique(blocks).tolist()
        if len(present) == 1 and _as_slice(wanted) is None:
            # without a second array of this size, which would cost more than the rows
            return self._shard(present[0]).gather(wanted - present[0] * self._shard_rows)
        found = np.empty((len(wanted), self._num_params), dtype=np.float32)
        for block in present:
            at = np.flatnonzero(blocks == block)
            within = wanted[at] - block * self._shard_rows
            places, run = _as_slice(at), _as_slice(within)
            # copying a run at once is several times faster than copying row by row
            if places is not None and run is not None:
                self._copy_run(block, range(run.start, run.stop), found[places])
            else:
                found[at] = self._shard(block).gather(within)
        return found

    def view(self, rows: range) -> Float32[np.ndarray, "r p"]:
        """Return consecutive rows, not to be written to.

        If one chunk holds them all, they are not copied. Raises as copy does.
        """
        if rows.step != 1 or rows.start % self._chunk_rows + len(rows) > self._chunk_rows:
            return self.read(rows)
        block, first = divmod(rows.start, self._shard_rows)
        return self._shard(block).view(range(first, first + len(rows)))

    def _copy_run(self, block: int, rows: range, found: Float32[np.ndarray, "r p"]) -> None:
        """Copy consecutive rows of a block."""
        shard, start = self._shard(block), rows.start
        # chunk by chunk, since checksums lie between chunks
        while start < rows.stop:
            stop = min(rows.stop, (start // self._chunk_rows + 1) * self._chunk_rows)
            found[start - rows.start : stop - rows.start] = shard.view(range(start, stop))
            start = stop

    def _shard(self, block: int) -> OpenShard:
        with self._opening:
            if block in self._open:
                self._open.move_to_end(block)
                return self._open[block]
        # threads that want the same shard at the same time each open it, which is harmless
        shard = self._source.open(block)
        with self._opening:
            self._open[block] = shard
            if len(self._open) > self._max_open:
                self._open.popitem(last=False)
        return shard


def _read_table(files: Files, facts: StoreFacts, spec_id: str, block: int) -> pa.Table:
    file, _ = open_fragment(files, facts.block_checksum(spec_id, block), spec_id, block)
    if fault := column_fault(file.schema_arrow, facts.derivation is not None):
        key = fragment_key(spec_id, block)
        raise DamagedStore(f"{files.location} is damaged: {key}: {fault}", key=key)
    # jobs work on blocks in parallel; threads within one block would only add overhead
    return file.read(use_threads=False)


class RowRun:
    """A run of rows of one spec with their records, for jobs that make new rows from them.

    It lists nothing and opens no other block of the store.

    Attributes:
        rows: rows of the run.
        table: their records, in order.

    Raises:
        DamagedStore: records are lost or altered; reading raises it for shards.
    """

    def __init__(self, path: str | Path, spec_id: str, rows: range) -> None:
        files = open_files(path)
        facts = read_facts(files)
        layout = facts.layouts[spec_id]
        self.rows = rows
        blocks = range(rows.start // layout.shard_rows, (rows.stop - 1) // layout.shard_rows + 1)
        tables = []
        for block in blocks:
            span = layout.block_rows(block)
            low, high = max(rows.start, span.start), min(rows.stop, span.stop)
            table = _read_table(files, facts, spec_id, block)
            if high - low < len(span):
                # A slice keeps bytes of the rows beside it, which a digest of records would see.
                table = table.take(np.arange(low, high) - span.start)
            tables.append(table)
        self.table = pa.concat_tables(tables).combine_chunks()
        shards = spec_shards(files.location, facts, spec_id)
        self._reader = RowReader(shards, DirectShards(files, shards), max_open=len(blocks))

    def view(self, rows: range) -> Float32[np.ndarray, "r p"]:
        """Return consecutive rows, as RowReader.view does."""
        return self._reader.view(rows)

    def read(self, rows: range | Int[np.ndarray, " r"]) -> Float32[np.ndarray, "r p"]:
        """Copy some of the run's rows, in the order given."""
        return self._reader.read(rows)

    @property
    def usable(self) -> Bool[np.ndarray, " r"]:
        """Rows of the run that hold weights."""
        return is_usable(self.table["status"])

    def usable_in(self, split: str | None) -> Bool[np.ndarray, " r"]:
        """Mark the rows that hold weights and belong to a split; None takes any split."""
        usable = is_usable(self.table["status"])
        return usable if split is None else usable & is_one_of(self.table["split"], [split])

    def texts(self, column: str) -> tuple[list[str], Int[np.ndarray, " r"]]:
        """Return the distinct texts of a column and, for each row, the index of its text."""
        return encode_texts(self.table[column])
