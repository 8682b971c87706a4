"""Build a store, or repair one: commit the blocks that workers fit."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

from inrgen.core.summary import Summary, count
from inrgen.executors.config import ExecutorConfig
from inrgen.executors.progress import Progress, show_counts, show_progress
from inrgen.fit.append import plan_append
from inrgen.fit.build_config import BuildConfig
from inrgen.fit.forecast import forecast, shorten, warn_of_repeats
from inrgen.fit.gpu_idle import BusyInterval, idle_shares
from inrgen.fit.manifest import write_manifest
from inrgen.fit.plan import BuildPlan, OwnRecipe, plan_build, plan_of_store
from inrgen.fit.views import FittedRows
from inrgen.fit.worker import (
    DoneBlock,
    FittedPiece,
    block_runs,
    block_tasks,
    build_block,
    piece_rows,
    repair_block,
    run_blocks,
)
from inrgen.sources.base import Source
from inrgen.sources.listing import watch_listing
from inrgen.store.append_writer import AppendWriter
from inrgen.store.create import create_store
from inrgen.store.files.location import Location, make_absolute
from inrgen.store.quality import Quality, measure_quality
from inrgen.store.reader import Store, open_store
from inrgen.store.records import table_to_records
from inrgen.store.rows import RowRun
from inrgen.store.writer import StoreWriter

# Ray takes 5 to 20 s to start on a machine of a few cores, and its workers import torch again.
_RAY_STARTS_S = 20.0


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildSummary(Summary):
    """Summary of a build. Quality is the whole store's; all else counts this run alone.

    waiting maps each GPU to its idle share between its first fit and its last; it is empty on
    CPUs. notes are sentences about the fits.
    """

    store: str
    rows_fitted: int
    rows_found: int
    seconds: float
    rows_per_s: float
    quality: Quality
    waiting: dict[str, float]
    notes: tuple[str, ...] = ()

    @property
    def fault(self) -> str:
        return self.quality.fault(self.store)

    def text(self) -> str:
        """A short summary for people."""
        found = f" ({self.rows_found:,} were there already)" if self.rows_found else ""
        done = f"fitted {count(self.rows_fitted, 'INR')} in {self.seconds:.1f} s{found}"
        rate = f", {self.rows_per_s:.1f} INRs/s" if self.rows_fitted else ""
        waits = [
            f"{gpu} waited for data {share:.0%} of the time (less with a smaller --gpu-share)"
            for gpu, share in self.waiting.items()
        ]
        return "\n".join(
            [f"{self.store}: {done}{rate}", *self.notes, *waits, *self.quality.lines()]
        )


def build_store(
    config: BuildConfig, given: Source | None = None, own: OwnRecipe | None = None
) -> BuildSummary:
    """Build a store, or resume one that an earlier run of the same build left unfinished.

    Args:
        given: the source itself, where it is an object that config.source only names. It is sent
            to each worker once.
        own: networks and fit in place of the recipe's.

    Raises:
        ValueError: the source, the recipe or the store on disk does not fit this build.
        OSError: the store cannot be written.
    """
    if config.append:
        return _append(config, given, own)
    with show_counts(config.source.name) as report, watch_listing(report):
        plan = plan_build(config, given, own)
    for note in plan.notes:
        sys.stderr.write(f"{plan.source.name}: {note}\n")
    # Workers may run in another folder.
    store, spec = make_absolute(config.out), plan.fit_plan.spec
    about = {"inrgen_version": version("inrgen")}
    # create_store checks that a store already there has this identity.
    create_store(store, [(spec, plan.layout)], identity=plan.identity, about=about)
    began, fitted, busy = time.perf_counter(), 0, list[BusyInterval]()
    with StoreWriter(store) as writer, writer.removed_if_refused():
        blocks = writer.pending(spec.spec_id)
        found = plan.layout.rows - sum(len(plan.layout.block_rows(block)) for block in blocks)
        _say_forecast(plan, blocks, config)
        with show_progress("build", plan.layout.rows, found, "INRs") as progress:
            for done in _fit_blocks(config, plan, store, writer, blocks, progress):
                # Only the driver commits, so a killed worker leaves nothing half done.
                writer.begin_commit(done.staged)
                fitted += done.rows_fitted
                busy += done.busy
        writer.finish()
    return _summarize(config, plan, began, found, fitted, busy)


def _summarize(
    config: BuildConfig,
    plan: BuildPlan,
    began: float,
    found: int,
    fitted: int,
    busy: Sequence[BusyInterval],
) -> BuildSummary:
    seconds = time.perf_counter() - began
    return BuildSummary(
        store=str(config.out),
        rows_fitted=fitted,
        rows_found=found,
        seconds=seconds,
        rows_per_s=fitted / seconds,
        quality=measure_quality(open_store(config.out)),
        waiting=idle_shares(busy),
        notes=() if plan.start is None else plan.start.notes(plan.fit_plan.fit),
    )


def _append(config: BuildConfig, given: Source | None, own: OwnRecipe | None) -> BuildSummary:
    """Add the new items of a source to a finished store, or go on with that."""
    began, fitted, busy = time.perf_counter(), 0, list[BusyInterval]()
    with show_counts(config.source.name) as report, watch_listing(report):
        grown = plan_append(config, given, own)
    plan, store, kept = grown.plan, grown.store.path, grown.plan.kept_rows
    num_kept, num_new = kept // plan.layout.views, (plan.layout.rows - kept) // plan.layout.views
    sys.stderr.write(
        f"{plan.source.name}: {num_kept:,} items are in the store and have not changed; "
        f"{num_new:,} new\n"
    )
    if not grown.root:
        return _summarize(config, plan, began, kept, 0, busy)
    with AppendWriter(store, grown.root, grown.items) as writer:
        blocks = writer.pending(plan.fit_plan.spec.spec_id)
        _say_forecast(plan, blocks, config)
        left = sum(len(plan.rows_to_fit(block)) for block in blocks)
        found = plan.layout.rows - left
        with show_progress("append", plan.layout.rows - kept, found - kept, "INRs") as progress:
            for done in _fit_blocks(config, plan, store, writer, blocks, progress):
                writer.begin_commit(done.staged)
                fitted += done.rows_fitted
                busy += done.busy
        writer.finish()
    return _summarize(config, plan, began, found, fitted, busy)


def _kept_piece(plan: BuildPlan, store: str, blocks: Sequence[int]) -> FittedPiece | None:
    """Rows that a store which grows has of a block that is filled up; None if it has none."""
    block, num_kept = divmod(plan.kept_rows, plan.layout.shard_rows)
    if block not in blocks or not num_kept:
        return None
    rows = range(plan.kept_rows - num_kept, plan.kept_rows)
    run = RowRun(store, plan.fit_plan.spec.spec_id, rows)
    fitted = FittedRows(flat=run.read(rows), records=tuple(table_to_records(run.table)))
    return FittedPiece(block=block, first_item=rows.start // plan.layout.views, fitted=fitted)


def _say_forecast(plan: BuildPlan, blocks: Sequence[int], config: BuildConfig) -> None:
    if not blocks:
        return
    found = forecast(plan, blocks, config.executor)
    # A recipe that suits signals of any size may draw more points than a small one has.
    repeats = warn_of_repeats(plan, found) if config.points_per_step else ""
    for said in (found.text(), repeats, shorten(plan, found)):
        if said:
            sys.stderr.write(f"build: {said}\n")
    sys.stderr.flush()


def _fit_blocks(
    config: BuildConfig,
    plan: BuildPlan,
    store: str,
    writer: StoreWriter | AppendWriter,
    blocks: Sequence[int],
    progress: Progress,
) -> Iterator[DoneBlock]:
    """Fit blocks, in this process where that is sooner done than Ray has started."""
    executor, left = config.executor, list(blocks)
    if executor.workers is None and executor.address is None and plan.engine != "gpu":
        here, began = replace(executor, workers=0), time.perf_counter()
        # One block has no use for workers. The first block of images tells how long the others
        # take; a block of shapes may take minutes, in which other cores would idle.
        may_wait = len(left) == 1 or plan.fit_plan.spec.d_in == 2
        while left and may_wait:
            yield from _run_plan(build_block, plan, writer, store, left[:1], here, progress)
            seconds, left = time.perf_counter() - began, left[1:]
            may_wait = seconds / (len(blocks) - len(left)) * len(left) < _RAY_STARTS_S
    share = config.gpu_share
    yield from _run_plan(build_block, plan, writer, store, left, executor, progress, share)


def _run_plan(
    work: Callable[..., DoneBlock | FittedPiece],
    plan: BuildPlan,
    writer: StoreWriter | AppendWriter,
    store: str,
    blocks: Sequence[int],
    executor: ExecutorConfig,
    progress: Progress,
    gpu_share: float = 1.0,
) -> Iterator[DoneBlock]:
    """Run blocks of a plan: here with its source, elsewhere with a manifest of its items."""
    source, manifest, elsewhere = plan.opened, None, executor.backend != "serial"
    cut = piece_rows(plan, blocks) if elsewhere and work is build_block else None
    runs, kept = block_runs(plan, blocks, cut), _kept_piece(plan, store, blocks)
    if elsewhere and runs and not plan.is_given:
        items = (items for _, items in runs)
        source, manifest = None, write_manifest(writer, plan.opened, plan.source, items)
    tasks = block_tasks(plan, store, runs, executor, manifest)
    yield from run_blocks(work, tasks, executor, progress, gpu_share, source, kept)


def misnamed_blocks(plan: BuildPlan, store: Store, bad_blocks: Sequence[int]) -> list[int]:
    """The blocks whose records name another item than the plan has at their rows.

    When two rows bear one name, only the plan can tell which of them is right.

    Args:
        bad_blocks: blocks whose records cannot be read, and are made again in any case.
    """
    wanted = np.array([item.item_id for item in plan.opened.items], dtype=object)
    spec_id, misnamed = plan.fit_plan.spec.spec_id, []
    for block in set(store.committed(spec_id)) - set(bad_blocks):
        rows = plan.layout.block_rows(block)
        table = RowRun(store.path, spec_id, rows).table
        found = np.array(table["item_id"].to_pylist(), dtype=object)
        # Rows follow the order of the source's items, all views of an item together.
        if (found != wanted[np.arange(rows.start, rows.stop) // plan.layout.views]).any():
            misnamed.append(block)
    return sorted(misnamed)


def repair_store(
    location: Location,
    data: str | None,
    bad_blocks: dict[str, list[int]],
    find_misnamed: bool,
    executor: ExecutorConfig,
    start: str | Path | None = None,
    own: str | None = None,
) -> int:
    """Write the damaged blocks of a built store again; returns the number of rows refitted.

    Args:
        data: the folder of the source's files.
        bad_blocks: the damaged blocks of each spec.
        find_misnamed: also repair blocks whose records name other items than the source has.
        start: the START file of a store that was built from one; by default the shipped one.
        own: MODULE:FUNCTION of the user's own source of a store that was built from it.

    Raises ValueError when the source now has other items than the store was built from, or when
    its START is not at hand.
    """
    opened = open_store(location)
    plan = plan_of_store(opened, data, start, own)
    blocks = bad_blocks.get(plan.fit_plan.spec.spec_id, [])
    # Such a block has sound checksums, so only its names betray it.
    if find_misnamed:
        blocks = sorted({*blocks, *misnamed_blocks(plan, opened, blocks)})
    store = make_absolute(location)
    num_rows, refitted = sum(len(plan.layout.block_rows(block)) for block in blocks), 0
    with (
        StoreWriter(store) as writer,
        show_progress("repair", num_rows, 0, "INRs") as progress,
    ):
        for repaired in _run_plan(repair_block, plan, writer, store, blocks, executor, progress):
            writer.replace(repaired.staged)
            refitted += repaired.rows_fitted
        writer.finish()
    return refitted
