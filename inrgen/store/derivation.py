"""Derived stores: the operation that made them, and the records of their rows."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, final

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int64, UInt8

from inrgen.store.records import DERIVED_SCHEMA, FIT_SCHEMA

_KEY = "derived"

# Keys of a derived store's "about": the parent as it was, and the template that rows were aligned
# to (base64 of float32, by spec_id).
PARENT, TEMPLATE = "parent", "template"

# The most bytes that one Arrow array of binary strings holds: its offsets are int32.
_MAX_BYTES = 2**31 - 1
# Columns measured on the parent's function, which a changed row need not compute.
_MEASURED = ("psnr_db", "iou", "near_error", "chamfer")


@dataclass(frozen=True, kw_only=True, slots=True)
class Derivation:
    """Operation that made a store from another one.

    Copy c of the parent's row p is row p * copies + c. So copy c of an item's view v is its view
    v * copies + c, and an item's copies lie together as its views do.

    Attributes:
        operation: "align" or "augment"; importers of other stores may name theirs.
        copies: rows made from each row of the parent.
        parent_sha256: content_sha256 of the parent; the parent's path does not matter.
        parameters: plain JSON that decides the operation.
    """

    operation: str
    copies: int
    parent_sha256: str
    parameters: dict[str, Any]

    @property
    def identity(self) -> dict[str, Any]:
        """Identity of the derived store."""
        return {_KEY: asdict(self)}


def read_derivation(identity: dict[str, Any]) -> Derivation | None:
    """Return the derivation that a store's identity notes, or None for a store that was built."""
    return Derivation(**identity[_KEY]) if _KEY in identity else None


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ByteRows:
    """Byte strings, one a row, in one piece of memory as Arrow keeps them.

    Attributes:
        data: all strings, one after the other.
        starts: (r + 1,), beginning with 0; row r is data[starts[r] : starts[r + 1]].
    """

    data: UInt8[np.ndarray, " n"]
    starts: Int64[np.ndarray, " s"]

    @staticmethod
    def from_table(table: UInt8[np.ndarray, "r k"]) -> "ByteRows":
        """Make strings of equal length, one from each row of a table."""
        num, size = table.shape
        starts = np.arange(num + 1, dtype=np.int64) * size
        return ByteRows(data=np.ascontiguousarray(table).reshape(-1), starts=starts)

    @staticmethod
    def from_strings(strings: Sequence[bytes]) -> "ByteRows":
        """Join separate strings."""
        starts = np.zeros(len(strings) + 1, dtype=np.int64)
        np.cumsum([len(string) for string in strings], out=starts[1:])
        return ByteRows(data=np.frombuffer(b"".join(strings), np.uint8), starts=starts)

    @staticmethod
    def join(parts: Sequence["ByteRows"]) -> "ByteRows":
        """Return the rows of all parts, in order."""
        if len(parts) == 1:
            return parts[0]
        lengths = [np.zeros(1, dtype=np.int64), *(np.diff(part.starts) for part in parts)]
        data = [np.zeros(0, dtype=np.uint8), *(part.data for part in parts)]
        return ByteRows(data=np.concatenate(data), starts=np.cumsum(np.concatenate(lengths)))

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __iter__(self) -> Iterator[bytes]:
        # bytes slice far faster than arrays do
        text, starts = self.data.tobytes(), self.starts.tolist()
        return (text[a:b] for a, b in pairwise(starts))

    def rows(self, some: slice) -> "ByteRows":
        """Return a run of rows, without a copy of their bytes."""
        first, stop, step = some.indices(len(self))
        assert step == 1, "rows of a run follow one another"
        starts = self.starts[first : max(first, stop) + 1]
        return ByteRows(data=self.data[starts[0] : starts[-1]], starts=starts - starts[0])

    def clear(self, rows: Bool[np.ndarray, " r"]) -> "ByteRows":
        """Return the same strings with b"" in the marked rows."""
        if not rows.any():
            return self
        lengths = np.diff(self.starts)
        starts = np.concatenate([[0], np.cumsum(np.where(rows, 0, lengths))])
        return ByteRows(data=self.data[np.repeat(~rows, lengths)], starts=starts)

    def to_arrow(self) -> pa.Array | pa.ChunkedArray:
        """Convert to Arrow, in several arrays where one cannot hold so many bytes."""
        if self.starts[-1] > _MAX_BYTES:
            return pa.array(list(self), pa.binary())
        starts = pa.py_buffer(self.starts.astype(np.int32))
        data = pa.py_buffer(np.ascontiguousarray(self.data))
        return pa.Array.from_buffers(pa.binary(), len(self), [None, starts, data])


@dataclass(frozen=True, kw_only=True, slots=True)
class DerivedRecords:
    """Facts that the records of derived rows add to those of their parents.

    All other columns repeat the parent's, so item, label, split, seed and engine describe the
    original fit. duration_s is 0, since nothing was fitted.

    Attributes:
        copies: rows of each parent row, one after the other.
        draws: one string a row, which replays the draw on the parent's row; b"" for a NaN parent.
        failed: (r,), rows that the operation made infinite or NaN.
        keeps_function: whether rows compute the same function as their parents. If not, PSNR and
            the other measured columns become NaN.
    """

    operation: str
    copies: int
    draws: ByteRows
    failed: Bool[np.ndarray, " r"]
    keeps_function: bool


def derived_table(parents: pa.Table, added: DerivedRecords) -> pa.Table:
    """Make the records of derived rows, as a table of DERIVED_SCHEMA.

    Args:
        parents: records of a run of parent rows.
    """
    copies = added.copies
    repeated = parents.select(FIT_SCHEMA.names)
    # taking rows costs a copy of every column, which aligned stores can spare
    if copies > 1:
        repeated = repeated.take(np.repeat(np.arange(parents.num_rows), copies))
    columns: dict[str, Any] = {name: repeated[name] for name in FIT_SCHEMA.names}
    parent_row, num = columns["row"].to_numpy(), repeated.num_rows
    copy = np.arange(num) % copies
    columns["row"] = parent_row * copies + copy
    columns["view"] = columns["view"].to_numpy() * copies + copy
    columns["duration_s"] = np.zeros(num)
    if not added.keeps_function:
        columns |= {name: np.full(num, np.nan) for name in _MEASURED}
    if added.failed.any():
        reason = f"{added.operation} turned it into something that is not finite"
        for name, text in (("status", "non_finite"), ("reason", reason)):
            old = np.array(columns[name].to_pylist(), dtype=object)
            columns[name] = np.where(added.failed, text, old)
    # lineage goes one step at a time: the parent's own parent_row does not carry over
    columns["parent_row"] = parent_row
    columns["operation"] = pa.repeat(added.operation, num)
    columns["draw"] = added.draws.to_arrow()
    arrays = {
        field.name: pa.array(columns[field.name], field.type)
        if isinstance(columns[field.name], np.ndarray)
        else columns[field.name]
        for field in DERIVED_SCHEMA
    }
    return pa.table(arrays, schema=DERIVED_SCHEMA)
