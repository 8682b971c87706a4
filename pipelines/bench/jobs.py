"""How fast offline jobs are, beside reading and writing the shards alone, in one run."""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from inrgen.core.spec import InrSpec
from inrgen.probes.report import TableReport
from pipelines.bench.job_ways import WAYS, Site, shards_alone
from pipelines.bench.load_ways import Material, prepare

ALONE = "read and write shards"


@dataclass(frozen=True, kw_only=True, slots=True)
class JobsBench:
    """Runs jobs over the same made-up store, which take turns, on threads.

    "read and write shards" is what the others are held against: on as many threads, every shard is
    mapped, and chunk by chunk its checksum is looked at and its rows are copied and get another;
    then it is written under a name of its own, and file and folders are synced to the disk. It
    has no records, digests, staging or commits. The others begin with an empty folder and end with
    a finished store, as the commands do.

    Right before each turn of a job comes one of shards alone, which it is compared with: so both
    meet the same machine, and both write to memory that was written to a moment ago. (Where memory
    has to be had from a host first, that takes several times as long as the work, and makes all
    jobs look alike.) Figures are of the quickest of the turns: whatever else goes on in a machine
    only ever adds time. The spread says how much it added.

    Attributes:
        rows: INRs in the store.
        hidden: widths of the hidden layers of an INR from two coordinates to one value.
        workers: blocks at a time; by default as many as there are processors.
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
            raise ValueError(f"hidden needs one positive width or more; got {self.hidden}")
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers must be at least 1; got {self.workers}")


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRate:
    """One job.

    rows_per_s, seconds: of the quickest turn; spread: (greatest - least) / least of the seconds.
    times_shards: the least seconds by the least of the turns of shards alone right before;
        times_shards_cpu the same of processor time, which a busy machine changes less.
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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Turn:
    """How long something took, and how long processors worked on it."""

    seconds: float
    cpu_seconds: float


def _timed(work: Callable[[Site], None], site: Site) -> _Turn:
    with _fresh(Path(site.out)) as out:
        began, worked = time.perf_counter(), time.process_time()
        work(replace(site, out=out))
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


def run(config: JobsBench, progress: Callable[[str], None] = _silent) -> list[JobRate]:
    """Every job on the same rows, taking turns, each right after shards alone."""
    spec = InrSpec(widths=(2, *config.hidden, 1), omega=(30.0,) * len(config.hidden))
    alone: dict[str, list[_Turn]] = {way: [] for way in WAYS}
    turns: dict[str, list[_Turn]] = {way: [] for way in WAYS}
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
        workers = config.workers or os.cpu_count() or 1
        site = Site(parent=str(material.store), out=temporary, spec=spec, workers=workers)
        _timed(shards_alone, site)
        for turn in range(config.repeats):
            progress(f"turn {turn + 1} of {config.repeats}")
            for way, work in WAYS.items():
                alone[way].append(_timed(shards_alone, site))
                turns[way].append(_timed(work, site))
    every = [turn for some in alone.values() for turn in some]
    rates = [_rate(config, spec.architecture, way, turns[way], alone[way]) for way in WAYS]
    return [_rate(config, spec.architecture, ALONE, every, every), *rates]


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


def bench_jobs(config: JobsBench) -> TableReport:
    """The benchmark as a command, which says on stderr what it is at."""
    rows = run(config, _say)
    return TableReport(rows=rows, table=table(rows))
