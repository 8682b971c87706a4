"""A run of rows of a finished store with their records, for whoever makes new rows of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float32, Int, UInt8

from inrgen.store.errors import DamagedStore
from inrgen.store.files import Files, open_files
from inrgen.store.fragment import decode_fragment
from inrgen.store.layout import fragment_key, shard_key
from inrgen.store.metadata import StoreFacts, read_facts
from inrgen.store.records import SERVED
from inrgen.store.shard import ShardShape, gather, good_chunks, shard_shape
from inrgen.store.shard_file import bad_chunk, map_shard


def _read_table(files: Files, facts: StoreFacts, where: object, of: tuple[str, int]) -> pa.Table:
    key = fragment_key(*of)
    try:
        table, said = decode_fragment(files.read(key))
    except FileNotFoundError as error:
        raise DamagedStore(f"{where} is damaged: {key} is lost", key=key) from error
    except ValueError as error:
        raise DamagedStore(f"{where} is damaged: {key}: {error}", key=key) from error
    if (said.store_seal, said.spec_id, said.block) != (facts.seal, *of):
        raise DamagedStore(f"{where} is damaged: {key} is of another store or block", key=key)
    return table


class RowRun:
    """Rows of one spec, read without listing the store or opening any other of its blocks.

    Every chunk is checked against its checksum once, when the run is opened; its shards stay
    mapped only as long as the run is used.

    Raises DamagedStore where a shard or its records are lost or altered.
    """

    def __init__(self, path: str | Path, spec_id: str, rows: range) -> None:
        files = open_files(path)
        facts = read_facts(files, path)
        self.rows, self._layout = rows, facts.layouts[spec_id]
        self._shards: dict[int, tuple[ShardShape, UInt8[np.ndarray, " n"]]] = {}
        tables = []
        for block in range(
            rows.start // self._layout.shard_rows, (rows.stop - 1) // self._layout.shard_rows + 1
        ):
            span = self._layout.block_rows(block)
            low, high = max(rows.start, span.start), min(rows.stop, span.stop)
            table = _read_table(files, facts, path, (spec_id, block))
            tables.append(table.slice(low - span.start, high - low))
            shape = shard_shape(self._layout, facts.specs[spec_id].num_params, block)
            key = shard_key(spec_id, block)
            data = map_shard(files, path, key, shape)
            chunk_rows = shape.chunk_rows
            first, last = (low - span.start) // chunk_rows, (high - 1 - span.start) // chunk_rows
            chunks = np.arange(first, last + 1)
            bad = chunks[~good_chunks(shape, data, chunks)]
            if len(bad):
                raise bad_chunk(path, key, shape, int(bad[0]), span.start)
            self._shards[block] = shape, data
        self.table = pa.concat_tables(tables).combine_chunks()

    def read(self, rows: range | Int[np.ndarray, " r"]) -> Float32[np.ndarray, "r p"]:
        """The weights of some of the run's rows, in order."""
        wanted = np.asarray(rows)
        blocks = wanted // self._layout.shard_rows
        parts = []
        for block in np.unique(blocks).tolist():
            shape, data = self._shards[block]
            parts.append(gather(shape, data, wanted[blocks == block] % self._layout.shard_rows))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    @property
    def served(self) -> Bool[np.ndarray, " r"]:
        """Which rows of the run hold weights."""
        return self._is_in("status", SERVED)

    def of_split(self, split: str | None) -> Bool[np.ndarray, " r"]:
        """Which rows of the run hold weights and are of a split; None for any."""
        return self.served if split is None else self.served & self._is_in("split", [split])

    def texts(self, column: str) -> tuple[list[str], Int[np.ndarray, " r"]]:
        """A column of texts as the different ones and, for each row, which it is."""
        coded = self.table[column].combine_chunks().dictionary_encode()
        return coded.dictionary.to_pylist(), coded.indices.to_numpy(zero_copy_only=False)

    def _is_in(self, column: str, wanted: Sequence[str]) -> Bool[np.ndarray, " r"]:
        texts, codes = self.texts(column)
        return np.array([text in wanted for text in texts], dtype=bool)[codes]
