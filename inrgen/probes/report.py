"""What a benchmark gives back: one table."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchReport:
    """Rows, each a dataclass of figures, and the table that people read."""

    rows: Sequence[Any]
    table: str

    @property
    def failed(self) -> bool:
        return False

    def text(self) -> str:
        """The table."""
        return self.table

    def document(self) -> list[dict[str, Any]]:
        """The rows as plain values."""
        return [asdict(row) for row in self.rows]


def columns_text(
    columns: Mapping[str, Callable[[Any], str]], rows: Sequence[Any], num_names: int
) -> str:
    """Rows as text below their heads; the first num_names columns are words, the others figures."""
    padded = []
    for at, (head, cell) in enumerate(columns.items()):
        column = [head, *map(cell, rows)]
        size = max(map(len, column))
        padded.append([t.ljust(size) if at < num_names else t.rjust(size) for t in column])
    return "\n".join("  ".join(line).rstrip() for line in zip(*padded, strict=True))
