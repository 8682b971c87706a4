"""Blocks as tasks: fitted whole, or refitted where they are damaged, by any worker."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np

from inrgen.executors.config import ExecutorConfig
from inrgen.executors.progress import Progress
from inrgen.executors.runner import run_tasks
from inrgen.fit.busy import Busy
from inrgen.fit.engines import make_engine
from inrgen.fit.plan import BuildPlan
from inrgen.fit.views import FitPlan, FittedRows, fit_block
from inrgen.sources.base import BadSignal, Signal, Source
from inrgen.sources.catalog import open_source
from inrgen.sources.config import SourceConfig
from inrgen.sources.items import items_digest
from inrgen.store.layout import Layout
from inrgen.store.salvage import salvage_block
from inrgen.store.writer import StagedBlock, stage_block

OnRows = Callable[[int], None]


def _nobody(num_rows: int) -> None:
    """Who is told of rows where nobody asks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockTask:
    """One block for a worker, wherever it runs: paths and plain values alone."""

    store: str
    source: SourceConfig
    items_sha256: str
    job: FitPlan
    engine: str
    threads: int | None
    layout: Layout
    block: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """How work is carried out, which nothing of its result depends on.

    workers: tasks at a time, one core each; 0 is this process, None every core that Ray has.
    address: a running Ray cluster; None starts one here.
    gpu_share: the share of a GPU that a task of engine gpu holds; others hold none.
    """

    workers: int | None
    address: str | None = None
    gpu_share: float = 1.0


def _from_anywhere(source: SourceConfig) -> SourceConfig:
    """The source with absolute paths: workers may stand in another folder."""

    def absolute(path: str | None) -> str | None:
        return None if path is None else str(Path(path).absolute())

    shape = replace(source.shape, cache=absolute(source.shape.cache))
    return replace(source, data=absolute(source.data), shape=shape)


def block_tasks(
    plan: BuildPlan, store: str, blocks: Sequence[int], means: Resources
) -> list[BlockTask]:
    """A task a block; alone in its process it may use every core, among workers one."""
    return [
        BlockTask(
            store=store,
            source=_from_anywhere(plan.source),
            items_sha256=plan.items_sha256,
            job=plan.job,
            engine=plan.engine,
            threads=None if means.workers == 0 else 1,
            layout=plan.layout,
            block=block,
        )
        for block in blocks
    ]


@lru_cache(maxsize=1)
def _same_source(config: SourceConfig, items_sha256: str) -> Source:
    """A worker's own view of the source, which must list the items that the plan was made of.

    Kept, so that a worker reads files once however many blocks it gets.
    """
    source = open_source(config)
    if items_digest(source.items) != items_sha256:
        raise ValueError(
            f"the items of {config.name} at {config.data} are not those that the build began with: "
            "files came or went meanwhile, or workers see another folder"
        )
    return source


def _signals(source: Source, indices: range) -> Iterator[Signal | BadSignal]:
    for index in indices:
        try:
            yield source.load(index)
        except BadSignal as error:
            yield error


def _fit_items(task: BlockTask, indices: range, on_rows: OnRows) -> FittedRows:
    """All views of a run of items."""
    source = _same_source(task.source, task.items_sha256)
    return fit_block(
        task.job,
        make_engine(task.engine, task.threads),
        [source.items[index] for index in indices],
        _signals(source, indices),
        first_row=indices.start * task.job.views,
        on_rows=on_rows,
    )


def _item_range(task: BlockTask) -> range:
    rows = task.layout.block_rows(task.block)
    return range(rows.start // task.job.views, rows.stop // task.job.views)


@dataclass(frozen=True, kw_only=True, slots=True)
class DoneBlock:
    """A block that is staged for the driver, how many of its rows were fitted for it, and when.

    busy: when a GPU was at work on them; () on processors.
    """

    staged: StagedBlock
    rows_fitted: int
    busy: tuple[Busy, ...] = ()


class BlockWork(Protocol):
    """What is done to a block, by any worker; in this process it tells of rows as they are done."""

    def __call__(self, task: BlockTask, on_rows: OnRows = _nobody) -> DoneBlock:
        """Stage one block."""
        ...


def build_block(task: BlockTask, on_rows: OnRows = _nobody) -> DoneBlock:
    """Fit one block and stage it; what it returns is for the driver to commit."""
    fitted = _fit_items(task, _item_range(task), on_rows)
    spec_id = task.job.spec.spec_id
    staged = stage_block(task.store, spec_id, task.block, fitted.flat, fitted.records)
    return DoneBlock(staged=staged, rows_fitted=len(fitted.flat), busy=fitted.busy)


def repair_block(task: BlockTask, on_rows: OnRows = _nobody) -> DoneBlock:
    """Refit the items of a block that lost a row, keep every other row, and stage the whole.

    Rows whose records are of another item than the source has there are refitted, too.
    """
    spec_id, items, views = task.job.spec.spec_id, _item_range(task), task.job.views
    left = salvage_block(task.store, spec_id, task.block)
    if left.records is None:
        return build_block(task, on_rows)
    flat, records, busy = left.flat.copy(), list(left.records), list[Busy]()
    source = _same_source(task.source, task.items_sha256)
    wanted = [source.items[index].item_id for index in items for _ in range(views)]
    good = left.good & np.array([r.item_id == w for r, w in zip(records, wanted, strict=True)])
    kept = np.all(good.reshape(len(items), views), axis=1)
    on_rows(int(kept.sum()) * views)
    for place in np.flatnonzero(~kept).tolist():
        fitted = _fit_items(task, items[place : place + 1], on_rows)
        rows = slice(place * views, (place + 1) * views)
        flat[rows], records[rows] = fitted.flat, fitted.records
        busy += fitted.busy
    return DoneBlock(
        staged=stage_block(task.store, spec_id, task.block, flat, records),
        rows_fitted=int((~kept).sum()) * views,
        busy=tuple(busy),
    )


def run_blocks(
    work: BlockWork, tasks: Sequence[BlockTask], means: Resources, progress: Progress
) -> Iterator[DoneBlock]:
    """Blocks as they are done: in this process for workers=0, through Ray otherwise.

    progress hears of rows as they are fitted here, and of whole blocks that come from afar.
    """
    if means.workers == 0 or not tasks:
        yield from (work(task, progress.advance) for task in tasks)
        return
    needs_gpu = any(task.engine == "gpu" for task in tasks)
    executor = ExecutorConfig(scheduler="ray", workers=means.workers, address=means.address)
    share = means.gpu_share if needs_gpu else 0.0
    for done in run_tasks(work, tasks, executor, progress.tick, gpus_per_task=share):
        progress.advance(len(tasks[0].layout.block_rows(done.staged.block)))
        yield done
