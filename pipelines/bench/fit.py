"""How fast engines fit, beside the ways in which people fit today, on this machine."""

import math
import os
import statistics
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from shutil import which
from typing import Literal

from inrgen.probes.report import TableReport, columns_text
from pipelines.bench.fit_curve import curve, curve_table
from pipelines.bench.fit_growth import growth, growth_table
from pipelines.bench.fit_jobs import JOBS
from pipelines.bench.jax_contenders import JAX_CONTENDERS
from pipelines.bench.peak import measure_peak_gflop_s
from pipelines.bench.worker_process import Finish, Team, Turn, at_work

Measure = Literal["engines", "scaling", "growth", "curve"]
_COMPILED = ("compiled", *JAX_CONTENDERS)
_ENGINES = ("sequential", "torch", "compiled", *JAX_CONTENDERS, "cpu")


@dataclass(frozen=True, kw_only=True, slots=True)
class FitBench:
    """Measure engines side by side on the same fits, taking turns, so that they share the machine.

    Attributes:
        measure: engines beside each other; scaling of the cpu engine at the first job from one
            worker to one a core; growth of its time and memory with twice and four times the
            work; or the curve of PSNR over time of each recipe on images.
        jobs: networks by their widths: 2-32-32-1 (28 x 28 pixels, all of them each step), 3-32-32-1
            and 3-64-64-64-1 (2,048 points drawn each step), 2-256-256-256-3 (2,048 of 256 x 256
            pixels).
        engines: inrgen's own, torch and cpu, and what they are measured against: sequential (a
            torch module and optimiser for each image), compiled (batches through torch.compile),
            jax (vmap and scan), jax-tuned (the same with a sine by polynomials) and
            fit-a-nef-style (vmap, a call for each update, as that library does). The last three
            are left out where JAX is not installed, compiled where there is no C++ compiler.
        compiled_jobs: the jobs that compiled and JAX's take part in; each costs compiled half a
            minute first.
        workers: processes a row, with one thread on a core of its own each; 0 is one for each core.
        repeats: timed turns of each row; figures are medians over them.
        seconds: about how long a turn takes.
        data: the folder that holds Fashion-MNIST, for the curve; the digits of scikit-learn if
            None.
        items: images that the curve is measured on.
    """

    measure: Measure = "engines"
    jobs: tuple[str, ...] = tuple(JOBS)
    engines: tuple[str, ...] = _ENGINES
    compiled_jobs: tuple[str, ...] = ("2-32-32-1", "3-64-64-64-1")
    workers: int = 0
    repeats: int = 3
    seconds: float = 1.0
    data: str | None = None
    items: int = 128

    def __post_init__(self) -> None:
        for name, known in (("jobs", JOBS), ("compiled_jobs", JOBS), ("engines", _ENGINES)):
            unknown = sorted(set(getattr(self, name)) - set(known))
            if unknown:
                raise ValueError(f"{name} must be among {list(known)}; got {unknown}")
        for name in ("jobs", "engines"):
            if not getattr(self, name):
                raise ValueError(f"{name} needs at least one; got none")
        for name in ("repeats", "items"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive; got {getattr(self, name)}")
        if self.workers < 0:
            raise ValueError(f"workers must not be negative; got {self.workers}")
        if not 0 < self.seconds < math.inf:
            raise ValueError(f"seconds must be a positive number; got {self.seconds}")


@dataclass(frozen=True, kw_only=True, slots=True)
class FitRate:
    """One engine at one job.

    inr_steps_per_s: updates of one INR, over all workers; the median of the turns, and spread is
        (greatest - least) / median. times_sequential: the median of the ratios to the sequential
        loop's rate in the same turn; NaN without one.
    inr_steps_per_cpu_s: updates for each second that a processor worked, by the same median; other
        programs beside the benchmark change it less.
    gflop_s counts the layers' products only; peak_fraction is its share of what the same cores
        reached on multiply-adds alone. psnr_db: mean over the INRs that every engine fits, after a
        job's fixed number of steps. peak_memory_bytes: of one worker.
    """

    job: str
    engine: str
    workers: int
    inr_steps_per_s: float
    inr_steps_per_s_per_core: float
    inr_steps_per_cpu_s: float
    spread: float
    times_sequential: float
    gflop_s: float
    peak_fraction: float
    psnr_db: float
    peak_memory_bytes: int


def _say(line: str) -> None:
    """Report progress where it is not mixed up with results."""
    sys.stderr.write(f"{line}\n")


def _silent(line: str) -> None:
    """Say nothing of the progress."""


def _can_run(engine: str) -> bool:
    if engine in JAX_CONTENDERS:
        return find_spec("jax") is not None
    return engine != "compiled" or any(which(name) for name in ("c++", "g++", "clang++"))


def _rate(turn: Sequence[Turn]) -> float:
    """Updates a second of all workers of a team in one turn."""
    return sum(one.inr_steps / one.seconds for one in turn)


def _cpu_rate(turn: Sequence[Turn]) -> float:
    """Updates of all workers of a team in one turn for each second of a processor's work."""
    return sum(one.inr_steps for one in turn) / sum(one.cpu_seconds for one in turn)


def _row(
    team: Team,
    turns: Sequence[Sequence[Turn]],
    sequential: Sequence[float],
    ends: Sequence[Finish],
    core_gflop_s: float,
) -> FitRate:
    rates = [_rate(turn) for turn in turns]
    rate = statistics.median(rates)
    gflop_s = rate * JOBS[team.job].flop_per_step / 1e9
    ratios = [a / b for a, b in zip(rates, sequential, strict=False)]
    return FitRate(
        job=team.job,
        engine=team.engine,
        workers=team.workers,
        inr_steps_per_s=rate,
        inr_steps_per_s_per_core=rate / team.workers,
        inr_steps_per_cpu_s=statistics.median(_cpu_rate(turn) for turn in turns),
        spread=(max(rates) - min(rates)) / rate,
        times_sequential=statistics.median(ratios) if ratios else math.nan,
        gflop_s=gflop_s,
        peak_fraction=gflop_s / (core_gflop_s * team.workers),
        psnr_db=statistics.mean(end.psnr_db for end in ends),
        peak_memory_bytes=max(end.peak_memory_bytes for end in ends),
    )


def _compare(teams: Sequence[Team], repeats: int, core_gflop_s: float) -> list[FitRate]:
    """Rows of teams that take turns: in each round every team fits once."""
    with ExitStack() as stack:
        crews = [stack.enter_context(at_work(team)) for team in teams]
        rounds = [[crew.turn() for crew in crews] for _ in range(repeats)]
        ends = [crew.finish() for crew in crews]
    turns = list(zip(*rounds, strict=True))
    first = [row for team, row in zip(teams, turns, strict=True) if team.engine == "sequential"]
    sequential = [_rate(turn) for turn in first[0]] if first else []
    return [
        _row(team, row, sequential, end, core_gflop_s)
        for team, row, end in zip(teams, turns, ends, strict=True)
    ]


def run(config: FitBench, progress: Callable[[str], None] = _silent) -> list[FitRate]:
    """Every engine at every job, the engines of a job taking turns.

    Raises ValueError where an engine cannot fit a job on this machine.
    """
    workers = config.workers or os.cpu_count() or 1
    rows = []
    for job in config.jobs:
        teams = [
            Team(job=job, engine=engine, workers=workers, seconds=config.seconds)
            for engine in config.engines
            if _can_run(engine) and (engine not in _COMPILED or job in config.compiled_jobs)
        ]
        progress(f"{job}: {', '.join(team.engine for team in teams)}")
        rows += _compare(teams, config.repeats, measure_peak_gflop_s(workers) / workers)
    return rows


def scaling(config: FitBench, engine: str = "cpu") -> list[FitRate]:
    """The first job by one worker, by two, by four, up to one a core, taking turns."""
    cores = config.workers or os.cpu_count() or 1
    teams = [
        Team(job=config.jobs[0], engine=engine, workers=2**power, seconds=config.seconds)
        for power in range(cores.bit_length())
    ]
    return _compare(teams, config.repeats, measure_peak_gflop_s(1))


_COLUMNS: dict[str, Callable[[FitRate], str]] = {
    "job": lambda row: row.job,
    "engine": lambda row: row.engine,
    "workers": lambda row: str(row.workers),
    "INR-steps/s": lambda row: f"{row.inr_steps_per_s:,.0f}",
    "a core": lambda row: f"{row.inr_steps_per_s_per_core:,.0f}",
    "a CPU-s": lambda row: f"{row.inr_steps_per_cpu_s:,.0f}",
    "spread": lambda row: f"{row.spread:.0%}",
    "x sequential": lambda row: f"{row.times_sequential:.1f}",
    "GFLOP/s": lambda row: f"{row.gflop_s:.1f}",
    "of peak": lambda row: f"{row.peak_fraction:.0%}",
    "PSNR dB": lambda row: f"{row.psnr_db:.2f}",
    "peak MB": lambda row: f"{row.peak_memory_bytes / 1e6:.0f}",
}


def table(rows: Sequence[FitRate]) -> str:
    """Rows as text, a column a figure, for a terminal."""
    return columns_text(_COLUMNS, rows, 2)


def bench_fit(config: FitBench) -> TableReport:
    """The benchmark as a command, which says on stderr what it is at."""
    if config.measure == "scaling":
        found = scaling(config)
        return TableReport(rows=found, table=table(found))
    if config.measure == "growth":
        grown = growth(config.jobs[0], config.repeats)
        return TableReport(rows=grown, table=growth_table(grown))
    if config.measure == "curve":
        points = curve(config.data, config.items, config.repeats)
        return TableReport(rows=points, table=curve_table(points))
    rows = run(config, _say)
    return TableReport(rows=rows, table=table(rows))
