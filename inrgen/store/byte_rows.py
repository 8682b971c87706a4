"""Strings of bytes, one a row, in one piece of memory, as Arrow has them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import final

import numpy as np
from jaxtyping import Bool, Int64, UInt8


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ByteRows:
    """data[starts[r] : starts[r + 1]] is the string of row r; starts begins with 0."""

    data: UInt8[np.ndarray, " n"]
    starts: Int64[np.ndarray, " s"]

    @staticmethod
    def of_table(table: UInt8[np.ndarray, "r k"]) -> "ByteRows":
        """Strings of one length, a row of the table each."""
        num, size = table.shape
        starts = np.arange(num + 1, dtype=np.int64) * size
        return ByteRows(data=np.ascontiguousarray(table).reshape(-1), starts=starts)

    @staticmethod
    def of(strings: Sequence[bytes]) -> "ByteRows":
        """Strings that are there one by one."""
        starts = np.zeros(len(strings) + 1, dtype=np.int64)
        np.cumsum([len(string) for string in strings], out=starts[1:])
        return ByteRows(data=np.frombuffer(b"".join(strings), np.uint8), starts=starts)

    @staticmethod
    def join(parts: Sequence["ByteRows"]) -> "ByteRows":
        """The rows of all parts, in order."""
        if len(parts) == 1:
            return parts[0]
        lengths = [np.zeros(1, dtype=np.int64), *(np.diff(part.starts) for part in parts)]
        data = [np.zeros(0, dtype=np.uint8), *(part.data for part in parts)]
        return ByteRows(data=np.concatenate(data), starts=np.cumsum(np.concatenate(lengths)))

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __iter__(self) -> Iterator[bytes]:
        text, starts = self.data.tobytes(), self.starts.tolist()
        return (text[a:b] for a, b in pairwise(starts))

    def rows(self, some: slice) -> "ByteRows":
        """The strings of a run of rows."""
        first, stop, step = some.indices(len(self))
        assert step == 1, "rows of a run follow one another"
        starts = self.starts[first : max(first, stop) + 1]
        return ByteRows(data=self.data[starts[0] : starts[-1]], starts=starts - starts[0])

    def emptied(self, rows: Bool[np.ndarray, " r"]) -> "ByteRows":
        """The same, but for b"" in the marked rows."""
        if not rows.any():
            return self
        lengths = np.diff(self.starts)
        starts = np.concatenate([[0], np.cumsum(np.where(rows, 0, lengths))])
        return ByteRows(data=self.data[np.repeat(~rows, lengths)], starts=starts)
