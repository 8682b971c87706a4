"""What more fits cost: time and memory of one worker with one, two and four times the work."""

import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from inrgen.probes.report import columns_text
from pipelines.bench.worker_process import Team, at_work


@dataclass(frozen=True, kw_only=True, slots=True)
class FitGrowth:
    """What so many fits cost one worker: the median of the turns, and the most memory it held.

    times_time, times_memory: over those of the fewest fits; the former is the median of the
    ratios within a turn.
    """

    job: str
    engine: str
    num_inrs: int
    seconds: float
    times_time: float
    peak_memory_bytes: int
    times_memory: float


def growth(job: str, repeats: int, engine: str = "cpu", num_inrs: int = 1024) -> list[FitGrowth]:
    """A job with num_inrs INRs, twice and four times as many, taking turns."""
    teams = [
        Team(job=job, engine=engine, workers=1, seconds=1.0, fits=num_inrs * times)
        for times in (1, 2, 4)
    ]
    with ExitStack() as stack:
        crews = [stack.enter_context(at_work(team)) for team in teams]
        rounds = [[crew.turn()[0].seconds for crew in crews] for _ in range(repeats)]
        ends = [crew.finish()[0] for crew in crews]
    return [
        FitGrowth(
            job=job,
            engine=engine,
            num_inrs=team.fits,
            seconds=statistics.median(turn[at] for turn in rounds),
            times_time=statistics.median(turn[at] / turn[0] for turn in rounds),
            peak_memory_bytes=end.peak_memory_bytes,
            times_memory=end.peak_memory_bytes / ends[0].peak_memory_bytes,
        )
        for at, (team, end) in enumerate(zip(teams, ends, strict=True))
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
    """Rows as text, a column a figure."""
    return columns_text(_COLUMNS, rows, 2)
