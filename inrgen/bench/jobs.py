"""How fast offline jobs are, beside reading and writing the shards alone, in one run."""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inrgen.bench.job_ways import ALONE, WAYS, Site
from inrgen.bench.load_ways import Material, prepare
from inrgen.bench.report import BenchReport
from inrgen.core.spec import InrSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class JobsBench:
    """Runs jobs over the same made-up store, which take turns, on threads.

    "read and write shards" is what the others are held against: on as many threads, every shard is
    mapped, each checksum in it checked, its rows copied, put into a new shard with new checksums,
    and written under a name of its own; file and folders are synced to the disk. It has no
    records, digests, staging or commits, and copies nothing that it need not. The others begin with
    an empty folder and end with a finished store, as the commands do.

    Attributes:
        rows: INRs in the store.
        hidden: widths of the hidden layers of an INR from two coordinates to one value.
        workers: blocks at a time; by default as many as there are processors.
        repeats: turns of each job; figures are medians over them.
    """

    rows: int = 60_000
    hidden: tuple[int, ...] = (32, 32)
    workers: int | None = None
    repeats: int = 5

    def __post_init__(self) -> None:
        if min(self.rows, self.repeats) < 1:
            raise ValueError("rows and repeats must be positive")
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers must be at least 1; got {self.workers}")


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRate:
    """One job.

    rows_per_s, seconds: medians of the turns; spread: (greatest - least) / median of the seconds.
    times_shards: the median of the ratios to shards alone in the same turn; times_shards_cpu the
        same of processor time, which a busy machine changes less.
    """

    way: str
    job: str
    rows_per_s: float
    seconds: float
    spread: float
    times_shards: float
    times_shards_cpu: float


def _silent(line: str) -> None:
    """For those who do not watch."""


@contextmanager
def _fresh(folder: Path) -> Iterator[str]:
    """A folder to write to, and its removal, which is not part of the work."""
    with tempfile.TemporaryDirectory(dir=folder) as out:
        yield f"{out}/store"


def run(config: JobsBench, progress: Callable[[str], None] = _silent) -> list[JobRate]:
    """Every job on the same rows, taking turns, so that they share what the machine does."""
    spec = InrSpec(widths=(2, *config.hidden, 1), omega=(30.0,) * len(config.hidden))
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    worked: dict[str, list[float]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory(prefix="inrgen-bench-") as temporary:
        folder = Path(temporary)
        material = Material(
            folder=folder,
            spec=spec,
            rows=config.rows,
            num_files=1,
            batch_size=1,
            views=next(v for v in (10, 5, 2, 1) if config.rows % v == 0),
        )
        progress(f"writing {config.rows:,} rows")
        prepare(material)
        for turn in range(config.repeats):
            progress(f"turn {turn + 1} of {config.repeats}")
            for way, work in WAYS.items():
                with _fresh(folder) as out:
                    workers = config.workers or os.cpu_count() or 1
                    site = Site(parent=str(material.store), out=out, spec=spec, workers=workers)
                    began, worked_before = time.perf_counter(), time.process_time()
                    work(site)
                    seconds[way].append(time.perf_counter() - began)
                    worked[way].append(time.process_time() - worked_before)
    return [
        JobRate(
            way=way,
            job=spec.job,
            rows_per_s=config.rows / statistics.median(found),
            seconds=statistics.median(found),
            spread=(max(found) - min(found)) / statistics.median(found),
            times_shards=float(np.median(np.divide(found, seconds[ALONE]))),
            times_shards_cpu=float(np.median(np.divide(worked[way], worked[ALONE]))),
        )
        for way, found in seconds.items()
    ]


def table(rows: Sequence[JobRate]) -> str:
    """The rates as people read them."""
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


def _say(line: str) -> None:
    """Progress goes to stderr: stdout is for the table alone."""
    sys.stderr.write(line + "\n")


def bench_jobs(config: JobsBench) -> BenchReport:
    """The benchmark as a command, which says on stderr what it is at."""
    rows = run(config, _say)
    return BenchReport(rows=rows, table=table(rows))
