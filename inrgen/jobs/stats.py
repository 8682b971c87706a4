"""Mean and deviation of every parameter over a split, block by block, in float64."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from inrgen.core.moments import Moments
from inrgen.core.summary import Summary
from inrgen.executors.config import ExecutorConfig
from inrgen.executors.progress import show_progress
from inrgen.executors.runner import run_tasks
from inrgen.jobs.derive import limit_executor
from inrgen.jobs.plan import read_cost
from inrgen.store.content import content_sha256
from inrgen.store.files.location import Location
from inrgen.store.reader import Store, open_store
from inrgen.store.rows import RowRun
from inrgen.store.statistics import Statistics, encode_statistics, write_statistics

StatsSplit = Literal["train", "val", "test", "all"]


@dataclass(frozen=True, kw_only=True, slots=True)
class StatsTask:
    """A block of a store to sum. split None takes all splits."""

    store: str
    spec_id: str
    block: int
    rows: range
    split: str | None
    rows_at_once: int


def measure_moments(task: StatsTask) -> tuple[int, Moments[np.ndarray]]:
    """Sum the rows of a block that hold weights and belong to the split; returns its number too."""
    run = RowRun(task.store, task.spec_id, task.rows)
    wanted = run.usable_in(task.split)
    total = None
    for start in range(0, len(task.rows), task.rows_at_once):
        part = task.rows[start : start + task.rows_at_once]
        # Parts bound the memory of the float64 copy.
        rows = run.read(part)
        kept = rows[wanted[start : start + len(part)]]
        moments = Moments.from_rows(kept) if len(kept) else Moments.empty(rows.shape[1])
        total = moments if total is None else total + moments
    assert total is not None, "blocks hold rows"
    return task.block, total


@dataclass(frozen=True, kw_only=True, slots=True)
class SpecStatistics:
    """Statistics of one architecture, averaged over its parameters.

    Attributes:
        count: rows that were summed.
        constant: parameters with zero deviation, by which a loader cannot divide.
        written: the file that holds the statistics.
    """

    spec_id: str
    count: int
    mean_of_means: float
    mean_of_std: float
    constant: int
    written: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StatsSummary(Summary):
    """Summary of the statistics of a store."""

    store: str
    split: str
    specs: list[SpecStatistics]

    def text(self) -> str:
        """The summary with a line for each architecture."""
        lines = []
        for one in self.specs:
            flat = f"; {one.constant:,} do not vary" if one.constant else ""
            lines.append(
                f"{one.written}: {one.count:,} rows of {self.split}, means {one.mean_of_means:.4g} "
                f"and deviations {one.mean_of_std:.4g} on average{flat}"
            )
        return "\n".join(lines)


def measure_statistics(
    store: Location,
    split: StatsSplit = "train",
    out: Path | None = None,
    executor: ExecutorConfig | None = None,
) -> StatsSummary:
    """Measure mean and unbiased deviation of every parameter, and write them.

    Args:
        out: a JSON file to write; None keeps the statistics in the store.
        executor: settings for running blocks; the result never depends on them.

    Raises ValueError for a store that is not finished, a split of fewer than two rows, or an out
    that is a folder.
    """
    opened, content = open_store(store), content_sha256(store)
    if out is not None:
        # Refused before a pass over the whole store, not after it.
        if out.is_dir():
            raise ValueError(f"out must be a file; got the folder {out}")
        out.parent.mkdir(parents=True, exist_ok=True)
    specs = []
    for spec_id in opened.specs:
        moments = _sum_store(opened, spec_id, split, executor or ExecutorConfig())
        if moments.count < 2:
            raise ValueError(
                f"split must have at least 2 rows of {spec_id} that hold weights; "
                f"{split} has {moments.count}"
            )
        std = moments.std()
        found = Statistics(
            spec_id=spec_id,
            split=split,
            count=moments.count,
            mean=moments.mean.tolist(),
            std=std.tolist(),
            store_seal=opened.self_checksum,
            content_sha256=content,
        )
        specs.append(
            SpecStatistics(
                spec_id=spec_id,
                count=moments.count,
                mean_of_means=float(moments.mean.mean()),
                mean_of_std=float(std.mean()),
                constant=int((std == 0).sum()),
                written=_write(opened, store, out, found),
            )
        )
    return StatsSummary(store=str(store), split=split, specs=specs)


def _sum_store(
    store: Store, spec_id: str, split: StatsSplit, executor: ExecutorConfig
) -> Moments[np.ndarray]:
    """Add the moments of all blocks in their order, in which they need not finish."""
    spec, layout = store.specs[spec_id], store.layouts[spec_id]
    concurrency, executor = limit_executor([read_cost(spec, layout)], executor)
    tasks = [
        StatsTask(
            store=store.path,
            spec_id=spec_id,
            block=block,
            rows=layout.block_rows(block),
            split=None if split == "all" else split,
            rows_at_once=concurrency.rows_at_once,
        )
        for block in range(layout.num_blocks)
    ]
    total, following = Moments.empty(spec.num_params), 0
    early: dict[int, Moments[np.ndarray]] = {}
    with show_progress("stats", layout.rows, 0, "INRs") as progress:
        for block, moments in run_tasks(measure_moments, tasks, executor, progress.tick):
            early[block] = moments
            progress.advance(len(layout.block_rows(block)))
            # A sum in another order would differ in its last digits.
            while following in early:
                total, following = total + early.pop(following), following + 1
    return total


def _write(store: Store, path: Location, out: Path | None, found: Statistics) -> str:
    if out is None:
        return f"{path}/{write_statistics(store.path, found)}"
    if len(store.specs) > 1:
        out = out.with_name(f"{out.stem}.{found.spec_id}{out.suffix}")
    out.write_bytes(encode_statistics(found))
    return str(out)
