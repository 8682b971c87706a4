"""What a verification can find, and its report."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool

FindingKind = Literal[
    "document",
    "foreign_file",
    "unfinished",
    "lost_shard",
    "damaged_shard",
    "lost_records",
    "damaged_records",
    "wrong_records",
    "wrong_weights",
    "duplicate",
    "index",
    "statistics",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that is wrong with a store.

    key: the file, by its name within the store.
    message: what is wrong with it, to follow the file's name.
    spec_id, block: the block to replace; "" and None where it is none.
    rows: the rows that cannot be trusted, as (first, stop) of the spec's array; none where only
        what surrounds them is wrong.
    """

    kind: FindingKind
    key: str
    message: str
    spec_id: str = ""
    block: int | None = None
    rows: tuple[tuple[int, int], ...] = ()

    def text(self) -> str:
        """The finding as a line."""
        spans = [f"{a}" if b - a == 1 else f"{a}..{b - 1}" for a, b in self.rows]
        rows = f" (rows {', '.join(spans)})" if spans else ""
        return f"{self.key}: {self.message}{rows}"


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyReport:
    """What was checked and what was found; nothing found means that every byte is as written.

    num_blocks, num_rows, num_bytes count what was looked at.
    """

    num_blocks: int
    num_rows: int
    num_bytes: int
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        return not self.findings

    @property
    def bad_blocks(self) -> dict[str, list[int]]:
        """The blocks that must be written again, by spec_id, in order."""
        found = sorted({(f.spec_id, f.block) for f in self.findings if f.block is not None})
        return {spec: [b for s, b in found if s == spec] for spec in {s: 0 for s, _ in found}}


def row_spans(bad: Bool[np.ndarray, " r"], first: int) -> tuple[tuple[int, int], ...]:
    """The runs of marked rows as (first, stop), where the first entry stands for row first."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], bad, [False]]).astype(np.int8)))
    return tuple((first + int(a), first + int(b)) for a, b in edges.reshape(-1, 2))
