"""A run of rows of a finished store with their records, for whoever makes new rows of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float32, Int, UInt8

from inrgen.store.errors import DamagedStore
from inrgen.store.files.protocol import Files, open_files
from inrgen.store.fragment import decode_fragment
from inrgen.store.layout import fragment_key, shard_key
from inrgen.store.metadata import StoreFacts, read_facts
from inrgen.store.records import USABLE_STATUSES
from inrgen.store.shard import ShardShape, good_chunks, shard_shape, view_chunk
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


def _in_one_piece(index: Int[np.ndarray, " r"]) -> slice | Int[np.ndarray, " r"]:
    """The same places as a slice where one follows the other, which is copied far faster."""
    follow = (np.diff(index) == 1).all()
    return slice(int(index[0]), int(index[-1]) + 1) if follow else index


class RowRun:
    """Rows of one spec, read without listing the store or opening any other of its blocks.

    Every chunk is checked against its checksum when it is first read; shards stay mapped only as
    long as the run is used.

    Raises DamagedStore where a shard or its records are lost or altered.
    """

    def __init__(self, path: str | Path, spec_id: str, rows: range) -> None:
        files = open_files(path)
        facts = read_facts(files, path)
        self._path, self._spec_id = path, spec_id
        self.rows, self._layout = rows, facts.layouts[spec_id]
        self._num_params = facts.specs[spec_id].num_params
        self._shards: dict[int, tuple[ShardShape, UInt8[np.ndarray, " n"]]] = {}
        self._checked: set[int] = set()
        tables = []
        for block in range(
            rows.start // self._layout.shard_rows, (rows.stop - 1) // self._layout.shard_rows + 1
        ):
            span = self._layout.block_rows(block)
            low, high = max(rows.start, span.start), min(rows.stop, span.stop)
            table = _read_table(files, facts, path, (spec_id, block))
            tables.append(table.slice(low - span.start, high - low))
            shape = shard_shape(self._layout, self._num_params, block)
            self._shards[block] = shape, map_shard(files, path, shard_key(spec_id, block), shape)
        self.table = pa.concat_tables(tables).combine_chunks()

    def view(self, rows: range) -> Float32[np.ndarray, "r p"]:
        """The weights of a run of rows, which nobody may write to.

        Where one chunk holds them all they are not copied, but lie where the file is mapped.
        """
        number, first = divmod(rows.start, self._layout.chunk_rows)
        if rows.step != 1 or first + len(rows) > self._layout.chunk_rows:
            return self.read(rows)
        return self._chunk(number)[first : first + len(rows)]

    def read(self, rows: range | Int[np.ndarray, " r"]) -> Float32[np.ndarray, "r p"]:
        """The weights of some of the run's rows, in order."""
        wanted = np.asarray(rows)
        found = np.empty((len(wanted), self._num_params), dtype=np.float32)
        chunk_rows = self._layout.chunk_rows
        chunks = wanted // chunk_rows
        for chunk in np.unique(chunks).tolist():
            places = np.flatnonzero(chunks == chunk)
            within = wanted[places] - chunk * chunk_rows
            found[_in_one_piece(places)] = self._chunk(chunk)[_in_one_piece(within)]
        return found

    def _chunk(self, number: int) -> Float32[np.ndarray, "c p"]:
        """A chunk of the array as it lies in its shard, once it has been checked."""
        block, chunk = divmod(number, self._layout.shard_rows // self._layout.chunk_rows)
        shape, data = self._shards[block]
        if number not in self._checked:
            if not good_chunks(shape, data, np.array([chunk])).all():
                key = shard_key(self._spec_id, block)
                first = self._layout.block_rows(block).start
                raise bad_chunk(self._path, key, shape, chunk, first)
            self._checked.add(number)
        return view_chunk(shape, data, chunk)

    @property
    def served(self) -> Bool[np.ndarray, " r"]:
        """Which rows of the run hold weights."""
        return self._is_in("status", USABLE_STATUSES)

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
