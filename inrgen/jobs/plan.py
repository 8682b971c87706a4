"""Plans of jobs: the rows that a block is made of, its cost in memory, and how many run at once.

Nothing here touches a file, and nothing imports torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from inrgen.core.spec import InrSpec
from inrgen.store.layout import Layout

PAIRS = "pairs"
_SAMPLED = ("mean", "medoid")

_MB = 1_000_000
# Numbers that are changed together: enough that calls cost less than the work in them.
_NUMBERS_AT_ONCE = 2**19
# Peak bytes for each number that is changed: draws, weights before and after, sorts; doubled.
_BYTES_A_NUMBER = 64
# Bytes that a process takes on later: libraries and compiled code loaded at first use, and memory
# that allocators keep. Up to 170 MB was measured.
_BYTES_LATER = 180_000_000
# Bytes of a record while it is read, repeated and written.
_BYTES_A_RECORD = 6_000


@dataclass(frozen=True, kw_only=True, slots=True)
class TemplateChoice:
    """Reference that an alignment carries rows to.

    Attributes:
        kind: "mean", "medoid", "pairs", the number of a row, or another store's location: that of
            an aligned store takes its template, and STORE:ROW that row.
        sample: most rows that a mean or a medoid is made from.
        seed: names the sample.
    """

    kind: str = "mean"
    sample: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.sample <= 2000:
            raise ValueError(f"sample must be in 1..2000; got {self.sample}")

    @property
    def row(self) -> int | None:
        """The row that is the template, or None."""
        return int(self.kind) if self.kind.isdecimal() else None

    @property
    def elsewhere(self) -> tuple[str, int | None] | None:
        """The location of another store that has the template, and the row if it is one."""
        if self.kind in (*_SAMPLED, PAIRS) or self.kind.isdecimal():
            return None
        store, colon, row = self.kind.rpartition(":")
        return (store, int(row)) if colon and store and row.isdecimal() else (self.kind, None)

    @property
    def sampling(self) -> dict[str, int]:
        """Sample and seed as a store records them; empty if there is no sample."""
        return {"sample": self.sample, "seed": self.seed} if self.kind in _SAMPLED else {}


@dataclass(frozen=True, kw_only=True, slots=True)
class DeriveTask:
    """A block of a derived store to make, in paths and numbers that any process can use.

    The root document of out holds the rest, operation and template included.

    Attributes:
        rows_at_once: rows of the parent that are changed together; the result never depends on it.
        own_code: names of the user's own transforms, which the worker may import.
    """

    parent: str
    out: str
    spec_id: str
    block: int
    rows_at_once: int
    own_code: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Concurrency:
    """Blocks that are worked on at a time, and rows of each that are changed together."""

    blocks: int
    rows_at_once: int


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockCost:
    """Memory that a block takes while it is made.

    Attributes:
        fixed_bytes: for the block itself: rows read and written, draws, and the block before it,
            which may still be on its way to the disk.
        row_bytes: for each row of the parent that is changed at a time.
        least_rows: fewest rows that can be changed together: one whole item.
        most_rows: most rows that are worth changing together; whole items.
    """

    fixed_bytes: int
    row_bytes: int
    least_rows: int
    most_rows: int

    def bytes_for(self, rows_at_once: int) -> int:
        """Memory of a block whose rows are changed so many at a time."""
        return self.fixed_bytes + rows_at_once * self.row_bytes


def derived_layout(parent: Layout, copies: int) -> Layout:
    """Layout of a store with so many rows for each row of its parent."""
    # A parent that has grown keeps its blocks; a new store has those that suit its rows.
    rows, views = parent.rows * copies, parent.views * copies
    return replace(parent, rows=rows, views=views, kept_shard_rows=None)


def parent_rows(layout: Layout, block: int, copies: int) -> range:
    """Rows of the parent that a block of the derived store is made of; whole items."""
    rows = layout.block_rows(block)
    return range(rows.start // copies, rows.stop // copies)


def _shard_bytes(layout: Layout, num_params: int) -> int:
    return min(layout.shard_rows, layout.rows) * num_params * 4


def derive_cost(spec: InrSpec, parent: Layout, copies: int) -> BlockCost:
    """Memory of a block of a derived store."""
    layout = derived_layout(parent, copies)
    rows = min(layout.shard_rows, layout.rows)
    # A block's rows spread over this many shards of the parent, and part of one at each end.
    touched = -(-rows // copies // parent.shard_rows) + (copies > 1)
    read = touched * (_shard_bytes(parent, spec.num_params) + parent.shard_rows * _BYTES_A_RECORD)
    # Items stay whole, since alignment compares the views of an item.
    most = max(parent.views, _NUMBERS_AT_ONCE // (spec.num_params * copies))
    most = min(most // parent.views * parent.views, rows // copies)
    return BlockCost(
        fixed_bytes=read + 3 * _shard_bytes(layout, spec.num_params) + rows * _BYTES_A_RECORD,
        row_bytes=spec.num_params * copies * _BYTES_A_NUMBER,
        least_rows=parent.views,
        most_rows=max(parent.views, most),
    )


def read_cost(spec: InrSpec, layout: Layout) -> BlockCost:
    """Memory of a block whose rows are only read and summed in float64.

    The number of rows summed at a time is fixed, because it shows in the last digits of a sum.
    """
    cost = derive_cost(spec, layout, copies=1)
    fixed = _shard_bytes(layout, spec.num_params) + layout.shard_rows * _BYTES_A_RECORD
    return replace(
        cost, fixed_bytes=fixed, row_bytes=spec.num_params * 40, least_rows=cost.most_rows
    )


def plan_concurrency(
    costs: Sequence[BlockCost], workers: int, memory_mb: float | None, held_bytes: int
) -> Concurrency:
    """Allow the most blocks at a time, then the most rows of each, that a memory limit permits.

    Args:
        costs: cost of a block of each architecture.
        workers: most blocks at a time.
        memory_mb: the limit, in millions of bytes; None for no limit.
        held_bytes: memory that counts towards the limit before a block begins.

    Raises ValueError for a limit below the needs of one block.
    """
    most = min(cost.most_rows for cost in costs)
    least = max(cost.least_rows for cost in costs)
    most = max(most, least)
    if memory_mb is None:
        return Concurrency(blocks=workers, rows_at_once=most)
    held_bytes += _BYTES_LATER
    room = memory_mb * _MB - held_bytes
    needed = max(cost.bytes_for(least) for cost in costs)
    if room < needed:
        raise ValueError(
            f"memory_mb must be at least {-(-(held_bytes + needed) // _MB):,.0f}: a block takes "
            f"{needed / _MB:,.0f} MB beside the {held_bytes / _MB:,.0f} MB held before it; "
            f"got {memory_mb:g}"
        )
    # More blocks at a time gain more than larger parts: they use more cores.
    blocks = min(workers, int(room // needed))
    rows = most
    # Halving keeps parts equal; rows stay a multiple of the least, which is whole items.
    while rows > least and blocks * max(cost.bytes_for(rows) for cost in costs) > room:
        rows = max(least, rows // 2 // least * least)
    return Concurrency(blocks=blocks, rows_at_once=rows)
