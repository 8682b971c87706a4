"""Tables of measured rows: as text for people, as plain values for programs."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class TableReport:
    """Report of a measurement that cannot fail: a table, and the rows behind it.

    Attributes:
        rows: dataclasses of figures.
        table: the same as text.
    """

    rows: Sequence[Any]
    table: str

    @property
    def failed(self) -> bool:
        return False

    @property
    def fault(self) -> str:
        return ""

    def text(self) -> str:
        """The table."""
        return self.table

    def document(self) -> list[dict[str, Any]]:
        """The rows as plain values."""
        return [asdict(row) for row in self.rows]


def columns_text(
    columns: Mapping[str, Callable[[Any], str]], rows: Sequence[Any], num_names: int
) -> str:
    """Aligned text table: the first num_names columns to the left, the figures to the right.

    Args:
        columns: each heading with the function that prints a row's cell.
        rows: what the cells are printed from, a line each.
    """
    padded = []
    for at, (head, cell) in enumerate(columns.items()):
        column = [head, *map(cell, rows)]
        size = max(map(len, column))
        padded.append([t.ljust(size) if at < num_names else t.rjust(size) for t in column])
    return "\n".join("  ".join(line).rstrip() for line in zip(*padded, strict=True))


def print_progress(line: str) -> None:
    """Print a line of progress on stderr; stdout is for the table alone."""
    sys.stderr.write(f"{line}\n")


def ignore_progress(line: str) -> None:
    """No-op progress callback."""
