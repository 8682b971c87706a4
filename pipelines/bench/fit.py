"""Fitting bench: the rate of each engine beside the ways in which people fit INRs today."""

import math
import os
import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from shutil import which
from typing import TYPE_CHECKING, Literal

from inrgen.probes.report import TableReport, columns_text, ignore_progress, print_progress
from pipelines.bench.fit_jobs import JOBS

if TYPE_CHECKING:
    from pipelines.bench.worker_process import Turn, WorkerGroup, WorkerSummary

Measure = Literal["engines", "scaling", "growth", "curve"]
_JAX = ("jax", "jax-tuned", "fit-a-nef-style")
_COMPILED = ("compiled", *_JAX)
_ENGINES = ("sequential", "torch", *_COMPILED, "cpu")


@dataclass(frozen=True, kw_only=True, slots=True)
class FitBench:
    """Time engines side by side on the same fits, in turns, so that they share the machine.

    Attributes:
        measure: engines side by side; scaling of the cpu engine on the first job, from one worker
            to one per core; growth of its time and memory with two and four times the work; or
            the curve of PSNR over time of each image recipe.
        jobs: networks by their widths: 2-32-32-1 (all of 28 x 28 pixels in each step), 3-32-32-1
            and 3-64-64-64-1 (2,048 points drawn each step), 2-256-256-256-3 (2,048 of 256 x 256
            pixels).
        engines: inrgen's torch and cpu, and their contenders: sequential (a torch module and
            optimiser for each image), compiled (batches through torch.compile), jax (vmap and
            scan), jax-tuned (the same with a polynomial sine) and fit-a-nef-style (vmap, one call
            per update, as in that library). The last three are left out where JAX is not
            installed, compiled where there is no C++ compiler.
        compiled_jobs: jobs that compiled and the JAX contenders take part in; each first costs
            compiled half a minute.
        workers: processes per engine, with one thread on one core each; by default one per core.
        repeats: timed turns of each engine; figures are medians over them.
        seconds: approximate length of a turn.
        data: the folder that holds Fashion-MNIST, for the curve; None takes the digits of
            scikit-learn.
        items: images that the curve is measured on.
    """

    measure: Measure = "engines"
    jobs: tuple[str, ...] = tuple(JOBS)
    engines: tuple[str, ...] = _ENGINES
    compiled_jobs: tuple[str, ...] = ("2-32-32-1", "3-64-64-64-1")
    workers: int | None = None
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
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers must be at least 1; got {self.workers}")
        if not 0 < self.seconds < math.inf:
            raise ValueError(f"seconds must be a positive number; got {self.seconds}")


@dataclass(frozen=True, kw_only=True, slots=True)
class FitRate:
    """Rate of one engine on one job.

    Attributes:
        job, engine, workers: the job, the engine and its processes.
        inr_steps_per_s: updates of one INR per second, over all workers; median of the turns.
        inr_steps_per_s_per_core: the same per worker.
        inr_steps_per_cpu_s: updates per second of processor time; other programs disturb it less.
        spread: (greatest - least) / median of the rates.
        times_sequential: median ratio to the sequential loop in the same turn; NaN without one.
        gflop_s: rate of the layer products alone.
        peak_fraction: share of the same cores' peak on multiply-adds alone.
        psnr_db: mean over the INRs that every engine fits, after the job's number of steps.
        peak_memory_bytes: peak memory of one worker.
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


def _can_run(engine: str) -> bool:
    # Optional contenders: JAX is no dependency, and torch.compile needs a C++ compiler.
    if engine in _JAX:
        return find_spec("jax") is not None
    return engine != "compiled" or any(which(name) for name in ("c++", "g++", "clang++"))


def _rate(turn: "Sequence[Turn]") -> float:
    """Updates per second of all workers of a group in one turn."""
    return sum(one.inr_steps / one.seconds for one in turn)


def _cpu_rate(turn: "Sequence[Turn]") -> float:
    """Updates of a group in one turn per second of processor time."""
    return sum(one.inr_steps for one in turn) / sum(one.cpu_seconds for one in turn)


def _row(
    group: "WorkerGroup",
    turns: "Sequence[Sequence[Turn]]",
    sequential: Sequence[float],
    ends: "Sequence[WorkerSummary]",
    core_gflop_s: float,
) -> FitRate:
    rates = [_rate(turn) for turn in turns]
    rate = statistics.median(rates)
    gflop_s = rate * JOBS[group.job].flop_per_step / 1e9
    # Ratios within a turn: both contenders then met the same machine.
    ratios = [a / b for a, b in zip(rates, sequential, strict=False)]
    return FitRate(
        job=group.job,
        engine=group.engine,
        workers=group.workers,
        inr_steps_per_s=rate,
        inr_steps_per_s_per_core=rate / group.workers,
        inr_steps_per_cpu_s=statistics.median(_cpu_rate(turn) for turn in turns),
        spread=(max(rates) - min(rates)) / rate,
        times_sequential=statistics.median(ratios) if ratios else math.nan,
        gflop_s=gflop_s,
        peak_fraction=gflop_s / (core_gflop_s * group.workers),
        psnr_db=statistics.mean(end.psnr_db for end in ends),
        peak_memory_bytes=max(end.peak_memory_bytes for end in ends),
    )


def _compare(groups: "Sequence[WorkerGroup]", repeats: int, core_gflop_s: float) -> list[FitRate]:
    """Time groups in turns: in each round every group fits once."""
    from pipelines.bench.worker_process import start_workers

    with ExitStack() as stack:
        running = [stack.enter_context(start_workers(group)) for group in groups]
        rounds = [[group.turn() for group in running] for _ in range(repeats)]
        ends = [group.finish() for group in running]
    turns = list(zip(*rounds, strict=True))
    first = [row for group, row in zip(groups, turns, strict=True) if group.engine == "sequential"]
    sequential = [_rate(turn) for turn in first[0]] if first else []
    return [
        _row(group, row, sequential, end, core_gflop_s)
        for group, row, end in zip(groups, turns, ends, strict=True)
    ]


def run(config: FitBench, progress: Callable[[str], None] = ignore_progress) -> list[FitRate]:
    """Time every engine on every job, the engines of a job in turns.

    Raises ValueError where an engine cannot fit a job on this machine.
    """
    from pipelines.bench.peak import measure_peak_gflop_s
    from pipelines.bench.worker_process import WorkerGroup

    workers = config.workers or os.cpu_count() or 1
    rows = []
    for job in config.jobs:
        groups = [
            WorkerGroup(job=job, engine=engine, workers=workers, seconds=config.seconds)
            for engine in config.engines
            if _can_run(engine) and (engine not in _COMPILED or job in config.compiled_jobs)
        ]
        progress(f"{job}: {', '.join(group.engine for group in groups)}")
        # The peak is measured beside each job, because a shared machine's clock drifts.
        rows += _compare(groups, config.repeats, measure_peak_gflop_s(workers) / workers)
    return rows


def scaling(config: FitBench, engine: str = "cpu") -> list[FitRate]:
    """Time the first job with 1, 2, 4, ... workers, up to one per core, in turns."""
    from pipelines.bench.peak import measure_peak_gflop_s
    from pipelines.bench.worker_process import WorkerGroup

    cores = config.workers or os.cpu_count() or 1
    groups = [
        WorkerGroup(job=config.jobs[0], engine=engine, workers=2**power, seconds=config.seconds)
        for power in range(cores.bit_length())
    ]
    return _compare(groups, config.repeats, measure_peak_gflop_s(1))


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
    """Print the rates as text."""
    return columns_text(_COLUMNS, rows, 2)


def bench_fit(config: FitBench) -> TableReport:
    """Run the bench as a command, with progress on stderr."""
    if config.measure == "scaling":
        found = scaling(config)
        return TableReport(rows=found, table=table(found))
    if config.measure == "growth":
        from pipelines.bench.fit_growth import growth, growth_table

        grown = growth(config.jobs[0], config.repeats)
        return TableReport(rows=grown, table=growth_table(grown))
    if config.measure == "curve":
        from pipelines.bench.fit_curve import curve, curve_table

        points = curve(config.data, config.items, config.repeats)
        return TableReport(rows=points, table=curve_table(points))
    rows = run(config, print_progress)
    return TableReport(rows=rows, table=table(rows))
