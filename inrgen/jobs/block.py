"""Workers of derived stores: rows of the parent in, a staged block or its distances out."""

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float64

from inrgen.core.own_code import import_own
from inrgen.core.params import Params
from inrgen.core.rng import hash_items
from inrgen.jobs.operations import Align, BoundOperation, RowNames, read_operation
from inrgen.jobs.plan import DeriveTask, parent_rows
from inrgen.store.derivation import ByteRows, DerivedRecords, derived_table
from inrgen.store.files.opening import open_files
from inrgen.store.metadata import read_facts
from inrgen.store.rows import RowRun
from inrgen.store.shard import ShardDraft
from inrgen.store.writer import StagedBlock, StagingBlock, block_shape, stage_shard
from inrgen.transforms.rows import finite_rows


def _read_names(run: RowRun) -> RowNames:
    items, codes = run.texts("item_id")
    views = torch.from_numpy(run.table["view"].to_numpy().astype(np.int64))
    return RowNames(items=hash_items(items)[torch.tensor(codes).long()], views=views)


def _split_rows(rows: range, rows_at_once: int, views: int) -> Iterator[range]:
    """Split a run into parts of whole items with about so many rows each."""
    # Alignment to a first view needs all views of an item together.
    step = max(views, rows_at_once // views * views)
    return (rows[start : start + step] for start in range(0, len(rows), step))


def _fill(
    draft: ShardDraft,
    run: RowRun,
    operation: BoundOperation,
    *,
    copies: int,
    views: int,
    at_once: int,
) -> tuple[ByteRows, Bool[np.ndarray, " d"]]:
    """Make the rows of a block, chunk by chunk; rows without usable weights become NaN.

    Args:
        views: views of the parent's items, which stay together.
        at_once: most rows of the parent that are changed together.

    Returns:
        The draw of each row, and a mask of the rows that the operation made not finite.
    """
    shape, draws = draft.shape, list[ByteRows]()
    usable = np.repeat(run.usable, copies)
    finite = np.empty(shape.rows, dtype=bool)
    for chunk in range(shape.num_chunks):
        made, out = shape.chunk_range(chunk), draft.rows(chunk)
        first = run.rows.start + made.start // copies
        for part in _split_rows(range(first, first + len(made) // copies), at_once, views):
            new = slice((part.start - first) * copies, (part.stop - first) * copies)
            old = slice(part.start - run.rows.start, part.stop - run.rows.start)
            # The new rows go straight into the shard's memory; nothing copies them again.
            draws.append(operation(run.view(part), old, out[new]))
            finite[made.start + new.start : made.start + new.stop] = finite_rows(out[new])
        # NaN is the fill value, so no reader can take such a row for weights.
        good = (usable & finite)[made.start : made.stop]
        if not good.all():
            out[~good] = np.nan
        draft.close(chunk)
    return ByteRows.join(draws).clear(~usable), usable & ~finite


def begin_block(task: DeriveTask, aside: Executor) -> StagingBlock:
    """Make one block and start to write it to staging; the driver commits it.

    A NaN row of the parent stays NaN, with the parent's status and reason. A row that the
    operation makes not finite becomes NaN with the status non_finite.

    Args:
        aside: the executor that writes, so that this thread may begin the next block.
    """
    for name in task.own_code:
        import_own(name, "transform")
    # A task holds paths alone, because Ray rebuilds what it ships and so breaks zarr's metadata.
    facts = read_facts(open_files(task.out))
    operation, done = read_operation(facts, task.spec_id)
    layout, copies = facts.layouts[task.spec_id], done.copies
    run = RowRun(task.parent, task.spec_id, parent_rows(layout, task.block, copies))
    draft = ShardDraft(block_shape(facts, task.spec_id, task.block))
    draws, failed = _fill(
        draft,
        run,
        operation.bind(_read_names(run)),
        copies=copies,
        views=layout.views // copies,
        at_once=task.rows_at_once,
    )
    table = derived_table(
        run.table,
        DerivedRecords(
            operation=done.operation,
            copies=copies,
            draws=draws,
            failed=failed,
            keeps_function=operation.keeps_function,
        ),
    )
    return stage_shard(task.out, task.spec_id, task.block, draft, table, aside)


def derive_block(task: DeriveTask) -> StagedBlock:
    """Make one block and return once it is staged."""
    with ThreadPoolExecutor(1, "inrgen-stage") as aside:
        return begin_block(task, aside).wait()


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockDistance:
    """Distance of the rows of an aligned block from their references.

    Attributes:
        count: rows that hold weights.
        sums: (2,) sums over these rows of squared distances before and after alignment.
    """

    spec_id: str
    block: int
    count: int
    sums: Float64[np.ndarray, "2"]


def measure_distance(task: DeriveTask) -> BlockDistance:
    """Read a committed block of an aligned store and its parent's, and measure both."""
    facts = read_facts(open_files(task.out))
    operation, _ = read_operation(facts, task.spec_id)
    assert isinstance(operation, Align), "only alignment has an objective"
    spec, layout = facts.specs[task.spec_id], facts.layouts[task.spec_id]
    rows, views = layout.block_rows(task.block), layout.views
    before, after = (RowRun(path, task.spec_id, rows) for path in (task.parent, task.out))
    sums, count = np.zeros(2), 0
    for part in _split_rows(rows, task.rows_at_once, views):
        pair = [Params.from_flat(spec, torch.from_numpy(r.read(part))) for r in (before, after)]
        distances = operation.distances(pair[0], pair[1]).numpy()
        # NaN rows have NaN distances, so they drop out of the means.
        good = np.isfinite(distances).all(axis=0)
        sums, count = sums + distances[:, good].sum(axis=1), count + int(good.sum())
    return BlockDistance(spec_id=task.spec_id, block=task.block, count=count, sums=sums)
