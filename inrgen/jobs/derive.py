"""The runner behind align and augment: plan a derived store, create it, fill it, sum it up."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any

from inrgen.core.summary import Summary, count
from inrgen.executors.config import ExecutorConfig, process_bytes
from inrgen.executors.progress import show_progress
from inrgen.executors.runner import run_tasks
from inrgen.jobs.block import begin_block, derive_block
from inrgen.jobs.plan import (
    BlockCost,
    Concurrency,
    DeriveTask,
    derive_cost,
    derived_layout,
    plan_concurrency,
)
from inrgen.store.content import content_sha256
from inrgen.store.create import create_store
from inrgen.store.derivation import PARENT, Derivation
from inrgen.store.files.location import Location, make_absolute, make_relative
from inrgen.store.files.opening import open_files
from inrgen.store.layout import ROOT_DOCUMENT
from inrgen.store.quality import Quality, measure_quality
from inrgen.store.reader import Store, open_store
from inrgen.store.writer import StagedBlock, StoreWriter


@dataclass(frozen=True, kw_only=True, slots=True)
class DerivePlan:
    """The facts that decide a derived store: its parent, its absolute path and its derivation.

    own_code names the user's own transforms, which workers may import.
    """

    parent: Store
    out: str
    derivation: Derivation
    own_code: tuple[str, ...] = ()

    def block_costs(self) -> list[BlockCost]:
        """Memory of a block of each architecture."""
        copies = self.derivation.copies
        return [
            derive_cost(spec, self.parent.layouts[spec_id], copies)
            for spec_id, spec in self.parent.specs.items()
        ]

    def tasks(self, blocks: dict[str, list[int]], rows_at_once: int) -> list[DeriveTask]:
        """Make a task for each block, given by spec_id and number."""
        return [
            DeriveTask(
                parent=self.parent.path,
                out=self.out,
                spec_id=spec_id,
                block=block,
                rows_at_once=rows_at_once,
                own_code=self.own_code,
            )
            for spec_id, some in blocks.items()
            for block in some
        ]


@dataclass(frozen=True, kw_only=True, slots=True)
class DeriveSummary(Summary):
    """Summary of a run that derived a store.

    Attributes:
        rows_made: rows that this run made, in seconds.
        rows_found: rows that earlier runs made.
        before: mean squared distance of rows from their reference before alignment; None for an
            operation without that objective.
        after: the same after alignment.
        quality: counts and PSNR of the whole store.
        notes: sentences about the parent that a reader of the distances needs.
    """

    store: str
    operation: str
    rows_made: int
    rows_found: int
    seconds: float
    rows_per_s: float
    blocks_at_once: int
    rows_at_once: int
    before: float | None
    after: float | None
    quality: Quality
    notes: tuple[str, ...] = ()

    @property
    def fault(self) -> str:
        return self.quality.fault(self.store)

    def text(self) -> str:
        """The summary in a few lines for people."""
        found = f" ({self.rows_found:,} were there already)" if self.rows_found else ""
        rate = f", {self.rows_per_s:,.0f} INRs/s" if self.rows_made else ""
        made = count(self.rows_made, "INR")
        lines = [f"{self.store}: made {made} in {self.seconds:.1f} s{found}{rate}"]
        if self.before is not None and self.after is not None:
            share = f" ({self.after / self.before - 1:+.1%})" if self.before else ""
            lines.append(
                f"mean squared distance from the reference: {self.before:.6g} before, "
                f"{self.after:.6g} after{share}"
            )
        return "\n".join([*lines, *self.notes, *self.quality.lines()])


def plan_derivation(
    parent: Location, out: Location, operation: str, copies: int, parameters: dict[str, Any]
) -> DerivePlan:
    """Plan a derived store. Raises ValueError for a parent that is not finished."""
    if make_absolute(out) == make_absolute(parent):
        raise ValueError(f"out must be another folder than the store; got {out} for both")
    store = open_store(parent)
    derivation = Derivation(
        operation=operation,
        copies=copies,
        parent_sha256=content_sha256(parent),
        parameters=parameters,
    )
    return DerivePlan(parent=store, out=make_absolute(out), derivation=derivation)


def _about(plan: DerivePlan) -> dict[str, Any]:
    """Record enough of all ancestors to trace the source after their stores are lost."""
    parent = plan.parent
    about = parent.about
    if parent.parent_metadata is not None:
        about |= {PARENT: parent.parent_metadata}
    path = make_relative(plan.out, parent.path)
    return {
        "inrgen_version": version("inrgen"),
        PARENT: {"path": path, "identity": parent.identity, "about": about},
    }


def ensure_store(plan: DerivePlan, make_facts: Callable[[], dict[str, Any]]) -> None:
    """Create the derived store, or check that the existing one has the same plan.

    Args:
        make_facts: makes further facts to record; called only for a new store.
    """
    copies = plan.derivation.copies
    arrays = [
        (spec, derived_layout(plan.parent.layouts[spec_id], copies))
        for spec_id, spec in plan.parent.specs.items()
    ]
    # Facts such as a template are made once: another machine might sum in another order.
    exists = open_files(plan.out).size_bytes(ROOT_DOCUMENT) is not None
    about = _about(plan) if exists else _about(plan) | make_facts()
    create_store(plan.out, arrays, identity=plan.derivation.identity, about=about)


def limit_executor(
    costs: Sequence[BlockCost], executor: ExecutorConfig
) -> tuple[Concurrency, ExecutorConfig]:
    """The concurrency that a memory limit allows, and the executor limited to it.

    A job calls this once, before it begins. The estimate includes memory that the job takes later,
    which must not count twice.
    """
    most = executor.max_tasks
    held = process_bytes() if executor.in_process else 0
    # Workers elsewhere hold their own memory, so only tasks in this process count what is held.
    concurrency = plan_concurrency(costs, most or 1_000_000, executor.memory_mb, held)
    if most is None and executor.memory_mb is None:
        return concurrency, executor
    return concurrency, executor.limited_to(concurrency.blocks)


def derive_blocks(
    tasks: Sequence[DeriveTask],
    executor: ExecutorConfig,
    on_wait: Callable[[int, int], None] = lambda num_tasks, num_nodes: None,
) -> Iterator[StagedBlock]:
    """Yield blocks as they are staged; arguments and errors are those of run_tasks.

    In this process, a thread begins its next block while the last one is written. No block is
    still being written when the iterator ends.
    """
    if not executor.in_process:
        yield from run_tasks(derive_block, tasks, executor, on_wait)
        return
    with ThreadPoolExecutor(executor.max_tasks or 1, "inrgen-stage") as aside:
        begin = partial(begin_block, aside=aside)
        for staging in run_tasks(begin, tasks, executor, on_wait):
            yield staging.wait()


def fill(
    plan: DerivePlan,
    executor: ExecutorConfig,
    limited: tuple[Concurrency, ExecutorConfig] | None = None,
) -> DeriveSummary:
    """Make and commit the blocks that are missing, and sum up the finished store.

    Args:
        limited: the result of limit_executor from before other work of the same job; by default
            it is computed now.
    """
    concurrency, executor = limited or limit_executor(plan.block_costs(), executor)
    began, made = time.perf_counter(), 0
    with StoreWriter(plan.out) as writer, writer.removed_if_refused():
        layouts = open_store(plan.out).layouts
        blocks = {spec_id: writer.pending(spec_id) for spec_id in layouts}
        total = sum(layout.rows for layout in layouts.values())
        missing = sum(len(layouts[s].block_rows(b)) for s, some in blocks.items() for b in some)
        tasks, name = plan.tasks(blocks, concurrency.rows_at_once), plan.derivation.operation
        with show_progress(name, total, total - missing, "INRs") as progress:
            for staged in derive_blocks(tasks, executor, progress.tick):
                # One process commits, so that a store has one writer of fragments.
                writer.begin_commit(staged)
                done = len(layouts[staged.spec_id].block_rows(staged.block))
                made += done
                progress.advance(done)
        writer.finish()
    seconds = time.perf_counter() - began
    return DeriveSummary(
        store=plan.out,
        operation=name,
        rows_made=made,
        rows_found=total - missing,
        seconds=seconds,
        rows_per_s=made / seconds,
        blocks_at_once=concurrency.blocks,
        rows_at_once=concurrency.rows_at_once,
        before=None,
        after=None,
        quality=measure_quality(open_store(plan.out)),
    )
