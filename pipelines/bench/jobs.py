"""Jobs bench: the rate of offline jobs beside reading and writing the shards alone."""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from inrgen.core.spec import InrSpec
from inrgen.probes.report import TableReport, ignore_progress, print_progress

if TYPE_CHECKING:
    from pipelines.bench.job_workloads import JobPaths

ALONE = "read and write shards"


@dataclass(frozen=True, kw_only=True, slots=True)
class JobsBench:
    """Run jobs over the same random store on threads, in turns.

    "read and write shards" is the baseline, on as many threads. It maps every shard, checks the
    checksum of each chunk, copies its rows under a new checksum, writes the shard under a new name
    and syncs file and folders to disk. It has no records, digests, staging or commits. The jobs
    begin with an empty folder and end with a finished store, as the commands do.

    Each turn of a job directly follows a turn of the baseline, which it is compared with. So both
    meet the same machine, and both write to memory that was just in use. (Memory that a host must
    first hand out takes several times as long as the work, and would make all jobs look alike.)
    Figures are of the quickest turn, because other programs only add time; the spread says how
    much.

    Attributes:
        rows: INRs in the store.
        hidden: widths of the hidden layers of an INR from two coordinates to one value.
        workers: blocks at a time; by default one per processor.
        repeats: turns of each job.
    """

    rows: int = 60_000
    hidden: tuple[int, ...] = (32, 32)
    workers: int | None = None
    repeats: int = 7

    def __post_init__(self) -> None:
        for name in ("rows", "repeats"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive; got {getattr(self, name)}")
        if not self.hidden or min(self.hidden) < 1:
            raise ValueError(f"hidden needs at least one positive width; got {self.hidden}")
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers must be at least 1; got {self.workers}")


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRate:
    """Rate of one job.

    Attributes:
        way: the job by name.
        job: the networks by their widths.
        rows_per_s, seconds: rate and time of the quickest turn.
        spread: (greatest - least) / least of the times.
        times_shards: least time over the least time of the baseline turns just before.
        times_shards_cpu: the same ratio of processor time, which a busy machine disturbs less.
    """

    way: str
    job: str
    rows_per_s: float
    seconds: float
    spread: float
    times_shards: float
    times_shards_cpu: float


@dataclass(frozen=True, kw_only=True, slots=True)
class _Turn:
    """Wall time and processor time of one turn."""

    seconds: float
    cpu_seconds: float


def _timed(work: "Callable[[JobPaths], None]", paths: "JobPaths") -> _Turn:
    # Removing the folder afterwards is not timed.
    with tempfile.TemporaryDirectory(dir=paths.out) as folder:
        began, worked = time.perf_counter(), time.process_time()
        work(replace(paths, out=f"{folder}/store"))
        return _Turn(seconds=time.perf_counter() - began, cpu_seconds=time.process_time() - worked)


def _rate(config: JobsBench, job: str, way: str, turns: list[_Turn], alone: list[_Turn]) -> JobRate:
    least = min(turn.seconds for turn in turns)
    cpu, cpu_alone = (min(turn.cpu_seconds for turn in some) for some in (turns, alone))
    return JobRate(
        way=way,
        job=job,
        rows_per_s=config.rows / least,
        seconds=least,
        spread=max(turn.seconds for turn in turns) / least - 1.0,
        times_shards=least / min(turn.seconds for turn in alone),
        times_shards_cpu=cpu / cpu_alone,
    )


def run(config: JobsBench, progress: Callable[[str], None] = ignore_progress) -> list[JobRate]:
    """Time every job on the same rows, in turns, each right after the baseline."""
    from pipelines.bench.job_workloads import WORKLOADS, JobPaths, shards_alone
    from pipelines.bench.load_readers import RowFiles, write_rows

    spec = InrSpec(widths=(2, *config.hidden, 1), omega=(30.0,) * len(config.hidden))
    alone: dict[str, list[_Turn]] = {way: [] for way in WORKLOADS}
    turns: dict[str, list[_Turn]] = {way: [] for way in WORKLOADS}
    with tempfile.TemporaryDirectory(prefix="inrgen-bench-") as temporary:
        folder = Path(temporary)
        files = RowFiles(
            folder=folder,
            spec=spec,
            rows=config.rows,
            num_files=1,
            batch_size=1,
            views=next(v for v in (10, 5, 2, 1) if config.rows % v == 0),
        )
        progress(f"writing {config.rows:,} rows")
        write_rows(files)
        workers = config.workers or os.cpu_count() or 1
        paths = JobPaths(parent=str(files.store), out=temporary, spec=spec, workers=workers)
        # Untimed: loads code and fills the page cache.
        _timed(shards_alone, paths)
        for turn in range(config.repeats):
            progress(f"turn {turn + 1} of {config.repeats}")
            for way, work in WORKLOADS.items():
                # The baseline runs first, so that both write to memory that was just in use.
                alone[way].append(_timed(shards_alone, paths))
                turns[way].append(_timed(work, paths))
    every = [turn for some in alone.values() for turn in some]
    rates = [_rate(config, spec.architecture, way, turns[way], alone[way]) for way in WORKLOADS]
    return [_rate(config, spec.architecture, ALONE, every, every), *rates]


def table(rows: Sequence[JobRate]) -> str:
    """Print the rates as text."""
    head = f"{'what':<26}{'job':<12}{'rows/s':>11}{'seconds':>10}{'spread':>9}"
    head += f"{'x shards':>10}{'x CPU':>8}"
    return "\n".join(
        [
            head,
            *(
                f"{row.way:<26}{row.job:<12}{row.rows_per_s:>11,.0f}{row.seconds:>10.3g}"
                f"{row.spread:>9.0%}{row.times_shards:>10.2f}"
                f"{row.times_shards_cpu:>8.2f}"
                for row in rows
            ),
        ]
    )


def bench_jobs(config: JobsBench) -> TableReport:
    """Run the bench as a command, with progress on stderr."""
    rows = run(config, print_progress)
    return TableReport(rows=rows, table=table(rows))
