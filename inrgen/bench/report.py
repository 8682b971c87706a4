"""What a benchmark gives back: one table."""

from collections.abc import Sequence
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
