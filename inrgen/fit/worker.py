"""Fit tasks: any worker fits one block, or refits the damaged rows of one, and stages it."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from inrgen.executors.config import ExecutorConfig
from inrgen.executors.progress import Progress
from inrgen.executors.runner import run_tasks
from inrgen.fit.config import FitPlan
from inrgen.fit.engines import make_engine
from inrgen.fit.gpu_idle import BusyInterval
from inrgen.fit.manifest import ManifestSlice, open_slice
from inrgen.fit.plan import BuildPlan
from inrgen.fit.starts.plan import StartFile, read_start
from inrgen.fit.views import FittedRows, OnRows, fit_block, ignore_rows
from inrgen.sources.base import BadSignal, Signal, Source
from inrgen.sources.bounds import load_item
from inrgen.sources.config import SourceConfig
from inrgen.store.layout import Layout
from inrgen.store.verify import salvage_block
from inrgen.store.writer import StagedBlock, stage_block

# Tasks of a job at the least, and the weights of a block that the driver puts together from pieces.
_MIN_TASKS = 40
_MAX_PIECED_BYTES = 32_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockTask:
    """A block to fit. It holds only paths and plain values, so that it can travel anywhere.

    threads limits the engine; None leaves it every core. items holds the positions in the source
    of the block's items, or of some of them, and items_at says where these items are written; None
    where the source itself goes with the task. start is the START of recipe learned. growing tells
    whether the block is of an append under way.
    """

    store: str
    source: SourceConfig
    items_at: ManifestSlice | None
    fit_plan: FitPlan
    engine: str
    threads: int | None
    layout: Layout
    block: int
    items: range
    start: StartFile | None = None
    growing: bool = False

    @property
    def num_rows(self) -> int:
        """Rows that the task makes."""
        return len(self.items) * self.fit_plan.views

    @property
    def is_whole(self) -> bool:
        """Tell whether the task makes its whole block."""
        return self.num_rows == len(self.layout.block_rows(self.block))


@dataclass(frozen=True, kw_only=True, slots=True)
class DoneBlock:
    """A staged block for the driver to commit.

    rows_fitted counts the rows that were fitted for it; a repair keeps the others. busy holds the
    intervals of GPU work; it is empty on CPUs.
    """

    staged: StagedBlock
    rows_fitted: int
    busy: tuple[BusyInterval, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class FittedPiece:
    """Rows of some items of a block, for the driver to stage with the block's others."""

    block: int
    first_item: int
    fitted: FittedRows


def _absolute_paths(source: SourceConfig) -> SourceConfig:
    """The source with absolute paths: workers may run in another folder."""

    def absolute(path: str | None) -> str | None:
        return None if path is None else str(Path(path).absolute())

    shape = replace(source.shape, cache=absolute(source.shape.cache))
    return replace(source, data=absolute(source.data), shape=shape)


def block_runs(
    plan: BuildPlan, blocks: Sequence[int], most_rows: int | None = None
) -> list[tuple[int, range]]:
    """Each block with the positions of its new items in the source, cut into runs of most_rows."""
    runs, views = [], plan.layout.views
    for block in blocks:
        rows = plan.rows_to_fit(block)
        items = range(rows.start // views, rows.stop // views)
        step = len(items) if most_rows is None else max(1, most_rows // views)
        runs += [(block, items[at : at + step]) for at in range(0, len(items), step)]
    return runs


def piece_rows(plan: BuildPlan, blocks: Sequence[int]) -> int | None:
    """Most rows of a task when other processes fit these blocks; None for whole blocks.

    A small job has few blocks, which would leave cores idle and a progress bar where it was.
    """
    rows = sum(len(plan.rows_to_fit(block)) for block in blocks)
    block_bytes = 4 * plan.fit_plan.spec.num_params * plan.layout.shard_rows
    if plan.engine == "gpu" or block_bytes > _MAX_PIECED_BYTES or len(blocks) >= _MIN_TASKS:
        return None
    return max(1, rows // _MIN_TASKS)


def block_tasks(
    plan: BuildPlan,
    store: str,
    runs: Sequence[tuple[int, range]],
    executor: ExecutorConfig,
    manifest: Mapping[int, ManifestSlice] | None = None,
) -> list[BlockTask]:
    """Make a task for each run; a serial executor leaves an engine every core, others one.

    Args:
        runs: blocks and items, from block_runs.
        manifest: where each run is written, by its first item, for workers that open it.
    """
    return [
        BlockTask(
            store=store,
            source=_absolute_paths(plan.source),
            items_at=None if manifest is None else manifest[items.start],
            fit_plan=plan.fit_plan,
            engine=plan.engine,
            threads=None if executor.backend == "serial" else 1,
            layout=plan.layout,
            block=block,
            items=items,
            start=None if plan.start is None else plan.start.file,
            growing=plan.kept_rows > 0,
        )
        for block, items in runs
    ]


def _open_items(task: BlockTask, source: Source | None) -> tuple[Source, range]:
    """A source that holds the items of a task, and their positions in it."""
    if source is not None:
        return source, task.items
    assert task.items_at is not None, "a task without a source has a manifest"
    part = open_slice(task.store, task.items_at, task.source)
    return part, range(len(part.items))


def _load_signals(
    source: Source, indices: range, config: SourceConfig
) -> Iterator[Signal | BadSignal]:
    # A generator, so that only the signals of one group are in memory.
    for index in indices:
        yield load_item(source, index, config)


def _fit_items(
    task: BlockTask, source: Source, indices: range, first_item: int, on_rows: OnRows
) -> FittedRows:
    """Fit all views of a run of items, of which the first is the build's item first_item."""
    return fit_block(
        task.fit_plan,
        make_engine(task.engine, task.threads),
        source.items[indices.start : indices.stop],
        _load_signals(source, indices, task.source),
        first_row=first_item * task.fit_plan.views,
        on_rows=on_rows,
        start=None if task.start is None else read_start(task.start),
    )


def build_block(
    task: BlockTask, source: Source | None = None, on_rows: OnRows = ignore_rows
) -> DoneBlock | FittedPiece:
    """Fit one block and stage it, or fit a piece of a block.

    Args:
        source: the whole source; None opens the task's items as the manifest has them.
    """
    opened, indices = _open_items(task, source)
    fitted = _fit_items(task, opened, indices, task.items.start, on_rows)
    if not task.is_whole:
        return FittedPiece(block=task.block, first_item=task.items.start, fitted=fitted)
    return _stage(task, fitted)


def _stage(task: BlockTask, fitted: FittedRows) -> DoneBlock:
    spec_id = task.fit_plan.spec.spec_id
    staged = stage_block(
        task.store, spec_id, task.block, fitted.flat, fitted.records, growing=task.growing
    )
    return DoneBlock(staged=staged, rows_fitted=len(fitted.flat), busy=fitted.busy)


def _join(pieces: Sequence[FittedPiece]) -> FittedRows:
    """The rows of all pieces of a block, in the order of items."""
    parts = [piece.fitted for piece in sorted(pieces, key=lambda piece: piece.first_item)]
    return FittedRows(
        flat=np.concatenate([part.flat for part in parts]),
        records=tuple(record for part in parts for record in part.records),
        busy=tuple(interval for part in parts for interval in part.busy),
    )


def repair_block(
    task: BlockTask, source: Source | None = None, on_rows: OnRows = ignore_rows
) -> DoneBlock | FittedPiece:
    """Refit the items of a block that lost a row, keep all other rows, and stage the block.

    A row whose record names another item than the source has at its place is refitted, too.

    Args:
        source: as for build_block.
    """
    spec_id, views = task.fit_plan.spec.spec_id, task.fit_plan.views
    left = salvage_block(task.store, spec_id, task.block)
    if left.records is None:  # without its records a row has no name, seed or quality
        return build_block(task, source, on_rows)
    flat, records, busy = left.flat.copy(), list(left.records), list[BusyInterval]()
    opened, items = _open_items(task, source)
    wanted = [opened.items[index].item_id for index in items for _ in range(views)]
    good = left.good & np.array([r.item_id == w for r, w in zip(records, wanted, strict=True)])
    # A whole item is refitted: its views share one read of the signal.
    kept = np.all(good.reshape(len(items), views), axis=1)
    # Kept rows count as progress, which the driver measures against the whole block.
    on_rows(int(kept.sum()) * views)
    for at in np.flatnonzero(~kept).tolist():
        fitted = _fit_items(task, opened, items[at : at + 1], task.items[at], on_rows)
        rows = slice(at * views, (at + 1) * views)
        flat[rows], records[rows] = fitted.flat, fitted.records
        busy += fitted.busy
    return DoneBlock(
        staged=stage_block(task.store, spec_id, task.block, flat, records),
        rows_fitted=int((~kept).sum()) * views,
        busy=tuple(busy),
    )


def run_blocks(
    work: Callable[..., DoneBlock | FittedPiece],
    tasks: Sequence[BlockTask],
    executor: ExecutorConfig,
    progress: Progress,
    gpu_share: float = 1.0,
    source: Source | None = None,
    kept: FittedPiece | None = None,
) -> Iterator[DoneBlock]:
    """Run build_block or repair_block on every task and yield blocks as they are whole.

    Progress advances row by row when the executor is serial, else task by task.

    Args:
        gpu_share: the share of a GPU that a task of engine gpu holds; others hold none.
        source: the whole source, where tasks have no manifest.
        kept: rows that a store which grows has already of its last block.
    """
    serial = executor.backend == "serial"
    if serial:
        work = partial(work, on_rows=progress.advance)
    # Tasks of other engines must not wait for a GPU.
    share = gpu_share if any(task.engine == "gpu" for task in tasks) else 0.0
    held: defaultdict[int, list[FittedPiece]] = defaultdict(list)
    if kept is not None:
        held[kept.block].append(kept)
    for done in run_tasks(work, tasks, executor, progress.tick, gpus_per_task=share, shared=source):
        layout = tasks[0].layout
        if isinstance(done, DoneBlock):
            if not serial:
                progress.advance(len(layout.block_rows(done.staged.block)))
            yield done
            continue
        if not serial:
            progress.advance(len(done.fitted.flat))
        pieces = held[done.block]
        pieces.append(done)
        if sum(len(piece.fitted.flat) for piece in pieces) == len(layout.block_rows(done.block)):
            task = next(task for task in tasks if task.block == done.block)
            whole = _stage(task, _join(held.pop(done.block)))
            known = 0 if kept is None or kept.block != done.block else len(kept.fitted.flat)
            yield replace(whole, rows_fitted=whole.rows_fitted - known)
