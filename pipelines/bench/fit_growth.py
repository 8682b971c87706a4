"""Growth of the cost of fitting: time and memory of one worker with 1, 2 and 4 times the work."""

import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from inrgen.probes.report import columns_text
from pipelines.bench.worker_process import WorkerGroup, start_workers


@dataclass(frozen=True, kw_only=True, slots=True)
class FitGrowth:
    """Cost of some number of fits for one worker.

    Attributes:
        job, engine: what was fitted, and by which engine.
        num_inrs: INRs fitted.
        seconds: median over the turns.
        times_time: median ratio to the time of the fewest fits in the same turn.
        peak_memory_bytes: peak memory of the worker.
        times_memory: ratio to the peak memory of the fewest fits.
    """

    job: str
    engine: str
    num_inrs: int
    seconds: float
    times_time: float
    peak_memory_bytes: int
    times_memory: float


def growth(job: str, repeats: int, engine: str = "cpu", num_inrs: int = 1024) -> list[FitGrowth]:
    """Time a job with num_inrs INRs, twice and four times as many, in turns."""
    groups = [
        WorkerGroup(job=job, engine=engine, workers=1, seconds=1.0, fits=num_inrs * times)
        for times in (1, 2, 4)
    ]
    # All three groups are alive at once and take turns, so a slow moment hits all of them.
    with ExitStack() as stack:
        running = [stack.enter_context(start_workers(group)) for group in groups]
        rounds = [[group.turn()[0].seconds for group in running] for _ in range(repeats)]
        ends = [group.finish()[0] for group in running]
    return [
        FitGrowth(
            job=job,
            engine=engine,
            num_inrs=group.fits,
            seconds=statistics.median(turn[at] for turn in rounds),
            times_time=statistics.median(turn[at] / turn[0] for turn in rounds),
            peak_memory_bytes=end.peak_memory_bytes,
            times_memory=end.peak_memory_bytes / ends[0].peak_memory_bytes,
        )
        for at, (group, end) in enumerate(zip(groups, ends, strict=True))
    ]


_COLUMNS: dict[str, Callable[[FitGrowth], str]] = {
    "job": lambda row: row.job,
    "engine": lambda row: row.engine,
    "INRs": lambda row: f"{row.num_inrs:,}",
    "seconds": lambda row: f"{row.seconds:.2f}",
    "x time": lambda row: f"{row.times_time:.2f}",
    "peak MB": lambda row: f"{row.peak_memory_bytes / 1e6:.0f}",
    "x memory": lambda row: f"{row.times_memory:.2f}",
}


def growth_table(rows: Sequence[FitGrowth]) -> str:
    """Print the rows as text."""
    return columns_text(_COLUMNS, rows, 2)
