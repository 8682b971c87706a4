"""Fit tasks: any worker fits one block, or refits the damaged rows of one, and stages it."""

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


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockTask:
    """A block to fit. It holds only paths and plain values, so that it can travel anywhere.

    threads limits the engine; None leaves it every core. items_at says where the block's items are
    written; None where the source itself goes with the task. start is the START of recipe learned.
    """

    store: str
    source: SourceConfig
    items_at: ManifestSlice | None
    fit_plan: FitPlan
    engine: str
    threads: int | None
    layout: Layout
    block: int
    start: StartFile | None = None

    @property
    def items(self) -> range:
        """The positions of the block's items in the source."""
        rows, views = self.layout.block_rows(self.block), self.fit_plan.views
        return range(rows.start // views, rows.stop // views)


@dataclass(frozen=True, kw_only=True, slots=True)
class DoneBlock:
    """A staged block for the driver to commit.

    rows_fitted counts the rows that were fitted for it; a repair keeps the others. busy holds the
    intervals of GPU work; it is empty on CPUs.
    """

    staged: StagedBlock
    rows_fitted: int
    busy: tuple[BusyInterval, ...] = ()


def _absolute_paths(source: SourceConfig) -> SourceConfig:
    """The source with absolute paths: workers may run in another folder."""

    def absolute(path: str | None) -> str | None:
        return None if path is None else str(Path(path).absolute())

    shape = replace(source.shape, cache=absolute(source.shape.cache))
    return replace(source, data=absolute(source.data), shape=shape)


def block_tasks(
    plan: BuildPlan,
    store: str,
    blocks: Sequence[int],
    executor: ExecutorConfig,
    manifest: Mapping[int, ManifestSlice] | None = None,
) -> list[BlockTask]:
    """Make a task for each block; a serial executor leaves an engine every core, others one.

    Args:
        manifest: where the items of each block are written, for workers that open them.
    """
    return [
        BlockTask(
            store=store,
            source=_absolute_paths(plan.source),
            items_at=None if manifest is None else manifest[block],
            fit_plan=plan.fit_plan,
            engine=plan.engine,
            threads=None if executor.backend == "serial" else 1,
            layout=plan.layout,
            block=block,
            start=None if plan.start is None else plan.start.file,
        )
        for block in blocks
    ]


def _open_items(task: BlockTask, source: Source | None) -> tuple[Source, range]:
    """A source that holds the items of a block, and their positions in it."""
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
) -> DoneBlock:
    """Fit one block and stage it.

    Args:
        source: the whole source; None opens the block's items as the manifest has them.
    """
    opened, indices = _open_items(task, source)
    fitted = _fit_items(task, opened, indices, task.items.start, on_rows)
    spec_id = task.fit_plan.spec.spec_id
    staged = stage_block(task.store, spec_id, task.block, fitted.flat, fitted.records)
    return DoneBlock(staged=staged, rows_fitted=len(fitted.flat), busy=fitted.busy)


def repair_block(
    task: BlockTask, source: Source | None = None, on_rows: OnRows = ignore_rows
) -> DoneBlock:
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
    work: Callable[..., DoneBlock],
    tasks: Sequence[BlockTask],
    executor: ExecutorConfig,
    progress: Progress,
    gpu_share: float = 1.0,
    source: Source | None = None,
) -> Iterator[DoneBlock]:
    """Run build_block or repair_block on every task and yield blocks as they finish.

    Progress advances row by row when the executor is serial, else block by block.

    Args:
        gpu_share: the share of a GPU that a task of engine gpu holds; others hold none.
        source: the whole source, where tasks have no manifest.
    """
    if executor.backend == "serial":
        here = partial(work, on_rows=progress.advance)
        yield from run_tasks(here, tasks, executor, progress.tick, shared=source)
        return
    # Tasks of other engines must not wait for a GPU.
    share = gpu_share if any(task.engine == "gpu" for task in tasks) else 0.0
    for done in run_tasks(work, tasks, executor, progress.tick, gpus_per_task=share, shared=source):
        progress.advance(len(tasks[0].layout.block_rows(done.staged.block)))
        yield done
