"""What a job is: which store is made of which, in which blocks, and how much memory a block takes.

Nothing here touches a file.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from inrgen.core.spec import InrSpec
from inrgen.store.layout import Layout

_MB = 1_000_000
# Rows that are changed together, in numbers: enough that calls do not cost more than the work.
_NUMBERS_AT_ONCE = 2**19
# Bytes that changing a number takes at its peak, twice over: draws, weights before and after, sorts
_BYTES_A_NUMBER = 64
# Bytes that a process comes to hold besides: libraries and compiled code loaded at first use, and
# what allocators keep for later (up to 170 MB was seen).
_BYTES_LATER = 180_000_000
# Bytes of a record while it is read, repeated, and written.
_BYTES_A_RECORD = 6_000


@dataclass(frozen=True, kw_only=True, slots=True)
class DeriveTask:
    """One block of a derived store: paths and numbers alone, for whatever process it is.

    All else, operation and template included, is in the root document of out.

    rows_at_once: rows of the parent that are changed together; nothing of the result depends on it.
    """

    parent: str
    out: str
    spec_id: str
    block: int
    rows_at_once: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Concurrency:
    """How many blocks are worked on at a time, and how many rows of each together."""

    blocks: int
    rows_at_once: int


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockCost:
    """What a block takes while it is made.

    fixed_bytes: for a block as such: what is read, what is written, draws made at once, and the
        block before, which may still be on its way to the disk.
    row_bytes: for each row of the parent that is changed at a time.
    least_rows, most_rows: how many that may be; whole items.
    """

    fixed_bytes: int
    row_bytes: int
    least_rows: int
    most_rows: int

    def bytes_for(self, rows_at_once: int) -> int:
        return self.fixed_bytes + rows_at_once * self.row_bytes


def derived_layout(parent: Layout, copies: int) -> Layout:
    """The cut of a store that has so many rows for each row of another one."""
    return replace(parent, rows=parent.rows * copies, views=parent.views * copies)


def parent_rows(layout: Layout, block: int, copies: int) -> range:
    """The parent's rows that a block of the derived store is made of: whole items."""
    rows = layout.block_rows(block)
    return range(rows.start // copies, rows.stop // copies)


def _shard_bytes(layout: Layout, num_params: int) -> int:
    return min(layout.shard_rows, layout.rows) * num_params * 4


def derive_cost(spec: InrSpec, parent: Layout, copies: int) -> BlockCost:
    """The cost of a block of a derived store."""
    layout = derived_layout(parent, copies)
    rows = min(layout.shard_rows, layout.rows)
    # a block's rows are spread over as many of the parent's shards, and part of one at each end
    touched = -(-rows // copies // parent.shard_rows) + (copies > 1)
    read = touched * (_shard_bytes(parent, spec.num_params) + parent.shard_rows * _BYTES_A_RECORD)
    most = max(parent.views, _NUMBERS_AT_ONCE // (spec.num_params * copies))
    most = min(most // parent.views * parent.views, rows // copies)
    return BlockCost(
        fixed_bytes=read + 3 * _shard_bytes(layout, spec.num_params) + rows * _BYTES_A_RECORD,
        row_bytes=spec.num_params * copies * _BYTES_A_NUMBER,
        least_rows=parent.views,
        most_rows=max(parent.views, most),
    )


def read_cost(spec: InrSpec, layout: Layout) -> BlockCost:
    """The cost of a block whose rows are only read and added up in float64.

    How many are added at a time is fixed, since it shows in the last digits of a sum.
    """
    cost = derive_cost(spec, layout, copies=1)
    fixed = _shard_bytes(layout, spec.num_params) + layout.shard_rows * _BYTES_A_RECORD
    return replace(
        cost, fixed_bytes=fixed, row_bytes=spec.num_params * 40, least_rows=cost.most_rows
    )


def set_pace(
    costs: Sequence[BlockCost], workers: int, memory_mb: float | None, held_bytes: int
) -> Concurrency:
    """The most blocks at a time, then the most rows of each together, that a limit allows.

    Args:
        costs: of a block of each spec.
        workers: blocks at a time that there are processors for.
        memory_mb: the limit, in millions of bytes; None is none.
        held_bytes: what counts towards the limit before a block is begun.

    Raises ValueError for a limit under what one block needs.
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
    blocks = min(workers, int(room // needed))
    rows = most
    while rows > least and blocks * max(cost.bytes_for(rows) for cost in costs) > room:
        rows = max(least, rows // 2 // least * least)
    return Concurrency(blocks=blocks, rows_at_once=rows)
