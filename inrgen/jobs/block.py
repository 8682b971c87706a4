"""One block of a derived store: rows of the parent in, a staged block out."""

import base64
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float64

from inrgen.core.params import Params
from inrgen.core.rng import hash_items
from inrgen.core.spec import InrSpec
from inrgen.jobs import align, augment
from inrgen.jobs.align import Align
from inrgen.jobs.augment import Augment
from inrgen.jobs.change import BoundOperation, Change, Names
from inrgen.jobs.plan import DeriveTask, parent_rows
from inrgen.store.derivation import TEMPLATE, ByteRows, Derivation, DerivedRecords, derived_table
from inrgen.store.files.protocol import open_files
from inrgen.store.metadata import StoreFacts, read_facts
from inrgen.store.parent import RowRun
from inrgen.store.shard import ShardDraft
from inrgen.store.writer import StagedBlock, StagingBlock, block_shape, stage_shard
from inrgen.transforms.rows import finite_rows


def note_template(templates: dict[str, Params]) -> dict[str, Any]:
    """Templates as a store notes them, by spec_id: made once, so that no resumption can differ."""
    texts = {
        spec_id: base64.b64encode(template.flat().numpy().astype("<f4").tobytes()).decode()
        for spec_id, template in templates.items()
    }
    return {TEMPLATE: texts} if texts else {}


def noted_template(about: dict[str, Any], spec: InrSpec) -> Params | None:
    """The template of one spec; None where a store has none."""
    text = about.get(TEMPLATE, {}).get(spec.spec_id)
    if text is None:
        return None
    numbers = np.frombuffer(base64.b64decode(text), "<f4").astype(np.float32)
    return Params.from_flat(spec, torch.from_numpy(numbers)[None])


def make_change(facts: StoreFacts, spec_id: str) -> tuple[Change, Derivation]:
    """The change that a derived store notes for the rows of one spec."""
    done, spec = facts.derivation, facts.specs[spec_id]
    assert done is not None, "tasks are of derived stores"
    if done.operation == augment.OPERATION:
        return Augment.of(spec, done.parameters, done.copies), done
    if done.operation == align.OPERATION:
        views = facts.layouts[spec_id].views
        template = noted_template(facts.about, spec)
        return Align.of(spec, done.parameters, views, template), done
    raise ValueError(
        f"operation must be align or augment; what {done.operation!r} made can only be made again "
        "by whatever made it"
    )


def _names(run: RowRun) -> Names:
    items, codes = run.texts("item_id")
    views = torch.from_numpy(run.table["view"].to_numpy().astype(np.int64))
    return Names(items=hash_items(items)[torch.tensor(codes).long()], views=views)


def _cut(rows: range, rows_at_once: int, views: int) -> Iterator[range]:
    """Runs of whole items, of about so many rows each."""
    step = max(views, rows_at_once // views * views)
    return (rows[start : start + step] for start in range(0, len(rows), step))


def _fill(
    draft: ShardDraft, run: RowRun, ready: BoundOperation, *, copies: int, views: int, at_once: int
) -> tuple[ByteRows, Bool[np.ndarray, " d"]]:
    """Make the rows of a block, chunk by chunk; NaN where there are none to serve.

    Returns the draw of each, and which turned into something that is not finite.

    Args:
        views: of the parent's items, which are never parted.
        at_once: rows of the parent that are changed together, at most.
    """
    shape, draws = draft.shape, list[ByteRows]()
    served = np.repeat(run.served, copies)
    finite = np.empty(shape.rows, dtype=bool)
    for chunk in range(shape.num_chunks):
        made, place = shape.chunk_range(chunk), draft.rows(chunk)
        first = run.rows.start + made.start // copies
        for part in _cut(range(first, first + len(made) // copies), at_once, views):
            new = slice((part.start - first) * copies, (part.stop - first) * copies)
            of = slice(part.start - run.rows.start, part.stop - run.rows.start)
            draws.append(ready(run.view(part), of, place[new]))
            finite[made.start + new.start : made.start + new.stop] = finite_rows(place[new])
        good = (served & finite)[made.start : made.stop]
        if not good.all():
            place[~good] = np.nan
        draft.close(chunk)
    return ByteRows.join(draws).clear(~served), served & ~finite


def begin_block(task: DeriveTask, aside: Executor) -> StagingBlock:
    """Make one block and have it on its way to the disk; committing it is the driver's.

    A row that its parent had as NaN stays one, with the parent's status and reason; one that the
    change turned into something that is not finite becomes one, as non_finite.
    """
    facts = read_facts(open_files(task.out), task.out)
    change, done = make_change(facts, task.spec_id)
    layout, copies = facts.layouts[task.spec_id], done.copies
    run = RowRun(task.parent, task.spec_id, parent_rows(layout, task.block, copies))
    draft = ShardDraft(block_shape(facts, task.spec_id, task.block))
    draws, failed = _fill(
        draft,
        run,
        change.over(_names(run)),
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
            keeps_function=change.keeps_function,
        ),
    )
    return stage_shard(task.out, task.spec_id, task.block, draft, table, aside)


def derive_block(task: DeriveTask) -> StagedBlock:
    """begin_block, with the block staged when it returns."""
    with ThreadPoolExecutor(1, "inrgen-stage") as aside:
        return begin_block(task, aside).wait()


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockDistance:
    """How far the rows of an aligned block are from their references.

    sums: of squared distances before and after, over count rows that hold weights.
    """

    spec_id: str
    block: int
    count: int
    sums: Float64[np.ndarray, "2"]


def measure_block(task: DeriveTask) -> BlockDistance:
    """Read a committed block of an aligned store beside its parent and measure both."""
    facts = read_facts(open_files(task.out), task.out)
    change, _ = make_change(facts, task.spec_id)
    assert isinstance(change, Align), "only alignment has an objective"
    spec, layout = facts.specs[task.spec_id], facts.layouts[task.spec_id]
    rows, views = layout.block_rows(task.block), layout.views
    before, after = (RowRun(path, task.spec_id, rows) for path in (task.parent, task.out))
    sums, count = np.zeros(2), 0
    for part in _cut(rows, task.rows_at_once, views):
        pair = [Params.from_flat(spec, torch.from_numpy(r.read(part))) for r in (before, after)]
        distances = change.distances(pair[0], pair[1]).numpy()
        good = np.isfinite(distances).all(axis=0)
        sums, count = sums + distances[:, good].sum(axis=1), count + int(good.sum())
    return BlockDistance(spec_id=task.spec_id, block=task.block, count=count, sums=sums)
