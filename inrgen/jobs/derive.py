"""Make a store of another one: what align and augment share, and the repair of their results."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from inrgen.executors.config import ExecutorConfig, process_bytes
from inrgen.executors.progress import show_progress
from inrgen.jobs.derive_run import derive_blocks
from inrgen.jobs.plan import (
    BlockCost,
    Concurrency,
    DeriveTask,
    derive_cost,
    derived_layout,
    set_pace,
)
from inrgen.store.content import content_sha256
from inrgen.store.create import create_store
from inrgen.store.derivation import PARENT, Derivation
from inrgen.store.files.location import Location, absolute, seen_from
from inrgen.store.files.protocol import open_files
from inrgen.store.layout import ROOT_DOCUMENT
from inrgen.store.quality import Quality, measure_quality
from inrgen.store.reader import Store, open_store
from inrgen.store.writer import StoreWriter


@dataclass(frozen=True, kw_only=True, slots=True)
class DerivePlan:
    """All that decides a derived store, and where its parent and itself lie, as absolute paths."""

    parent: Store
    out: str
    derivation: Derivation

    def cost(self) -> list[BlockCost]:
        """What a block of each spec takes."""
        copies = self.derivation.copies
        return [
            derive_cost(spec, self.parent.layouts[spec_id], copies)
            for spec_id, spec in self.parent.specs.items()
        ]


@dataclass(frozen=True, kw_only=True, slots=True)
class DeriveSummary:
    """What a run did; rows_made and seconds are this run's, quality is the whole store's.

    before, after: the mean squared distance of rows from what they were aligned to; None for
        operations that have no such objective.
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

    @property
    def failed(self) -> bool:
        return False

    def text(self) -> str:
        """What was done and what is there now."""
        found = f" ({self.rows_found:,} were there already)" if self.rows_found else ""
        rate = f", {self.rows_per_s:,.0f} INRs/s" if self.rows_made else ""
        lines = [
            f"{self.store}: made {self.rows_made:,} INRs in {self.seconds:.1f} s{found}{rate}",
        ]
        if self.before is not None and self.after is not None:
            share = f" ({self.after / self.before - 1:+.1%})" if self.before else ""
            lines.append(
                f"mean squared distance from what rows were aligned to: {self.before:.6g} before, "
                f"{self.after:.6g} after{share}"
            )
        return "\n".join([*lines, *self.quality.lines()])

    def document(self) -> dict[str, Any]:
        """The same as plain values."""
        return asdict(self)


def plan_derivation(
    parent: Location, out: Location, operation: str, copies: int, parameters: dict[str, Any]
) -> DerivePlan:
    """Settle what decides the result. Raises ValueError for a parent that is not finished."""
    if absolute(out) == absolute(parent):
        raise ValueError(f"out must be another folder than the store; got {out} for both")
    store = open_store(parent)
    derivation = Derivation(
        operation=operation,
        copies=copies,
        parent_sha256=content_sha256(parent),
        parameters=parameters,
    )
    return DerivePlan(parent=store, out=absolute(out), derivation=derivation)


def _about(plan: DerivePlan) -> dict[str, Any]:
    """What is noted of the parent: enough to walk back to the source even where it is lost."""
    parent = plan.parent
    about = parent.about
    if parent.parent_metadata is not None:
        about |= {PARENT: parent.parent_metadata}
    path = seen_from(plan.out, parent.path)
    return {
        "inrgen_version": version("inrgen"),
        PARENT: {"path": path, "identity": parent.identity, "about": about},
    }


def ensure_store(plan: DerivePlan, first_time: Callable[[], dict[str, Any]]) -> None:
    """Create the derived store, or check that the one there is it.

    first_time: makes what else the store notes, where there is none yet.
    """
    copies = plan.derivation.copies
    arrays = [
        (spec, derived_layout(plan.parent.layouts[spec_id], copies))
        for spec_id, spec in plan.parent.specs.items()
    ]
    there = open_files(plan.out).size_bytes(ROOT_DOCUMENT) is not None
    about = _about(plan) if there else _about(plan) | first_time()
    create_store(plan.out, arrays, identity=plan.derivation.identity, about=about)


def pace_of(
    costs: Sequence[BlockCost], executor: ExecutorConfig
) -> tuple[Concurrency, ExecutorConfig]:
    """The concurrency that a memory limit allows, and the executor limited to it.

    A job calls this once, before it begins: memory that it takes later is part of the estimate and
    must not count twice.
    """
    most = executor.max_tasks
    held = process_bytes() if executor.in_process else 0
    pace = set_pace(costs, most or 1_000_000, executor.memory_mb, held)
    if most is None and executor.memory_mb is None:
        return pace, executor
    return pace, executor.limited_to(pace.blocks)


def tasks_of(plan: DerivePlan, blocks: dict[str, list[int]], pace: Concurrency) -> list[DeriveTask]:
    """A task a block."""
    return [
        DeriveTask(
            parent=plan.parent.path,
            out=plan.out,
            spec_id=spec_id,
            block=block,
            rows_at_once=pace.rows_at_once,
        )
        for spec_id, some in blocks.items()
        for block in some
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class Filled:
    """What a run of filling did."""

    rows_made: int
    rows_found: int
    seconds: float
    pace: Concurrency


def fill(
    plan: DerivePlan,
    executor: ExecutorConfig,
    paced: tuple[Concurrency, ExecutorConfig] | None = None,
) -> Filled:
    """Make and commit the blocks that are missing.

    paced: what pace_of gave before other work of the same job; by default it is asked now.
    """
    pace, executor = paced or pace_of(plan.cost(), executor)
    began, made = time.perf_counter(), 0
    with StoreWriter(plan.out) as writer:
        layouts = open_store(plan.out).layouts
        blocks = {spec_id: writer.pending(spec_id) for spec_id in layouts}
        total = sum(layout.rows for layout in layouts.values())
        missing = sum(len(layouts[s].block_rows(b)) for s, some in blocks.items() for b in some)
        tasks, name = tasks_of(plan, blocks, pace), plan.derivation.operation
        with show_progress(name, total, total - missing, "INRs") as progress:
            for staged in derive_blocks(tasks, executor, progress.tick):
                writer.commit(staged)
                done = len(layouts[staged.spec_id].block_rows(staged.block))
                made += done
                progress.advance(done)
        writer.finish()
    return Filled(
        rows_made=made,
        rows_found=total - missing,
        seconds=time.perf_counter() - began,
        pace=pace,
    )


def summarise(
    plan: DerivePlan, out: Location, filled: Filled, distances: tuple[float, float] | None
) -> DeriveSummary:
    """The summary of a store that is finished."""
    return DeriveSummary(
        store=str(out),
        operation=plan.derivation.operation,
        rows_made=filled.rows_made,
        rows_found=filled.rows_found,
        seconds=filled.seconds,
        rows_per_s=filled.rows_made / filled.seconds,
        blocks_at_once=filled.pace.blocks,
        rows_at_once=filled.pace.rows_at_once,
        before=distances[0] if distances else None,
        after=distances[1] if distances else None,
        quality=measure_quality(open_store(plan.out)),
    )
