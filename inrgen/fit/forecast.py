"""Forecast of a build: rows, bytes and seconds, from a short trial on this machine."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from inrgen.executors.config import ExecutorConfig
from inrgen.fit.engines import make_engine
from inrgen.fit.plan import BuildPlan
from inrgen.fit.starts.start import find_shipped_start
from inrgen.fit.views import fit_block
from inrgen.sources.base import Signal
from inrgen.sources.bounds import load_item

# A trial of a step that takes longer is not repeated.
_SLOW_STEP_S = 1.0
# Seconds that the steps of the last trial shall take.
_TRIAL_S = 0.2
# Items whose reading takes seconds are tried only where one of them is a small part.
_MANY_ITEMS = 10
# Below this work a forecast takes longer than it is worth.
_LITTLE_FLOP = 1e10
_HOUR_S = 3600.0
_LARGE_SIDE, _MANY_POINTS = 64, 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """Seconds of one core, measured here: to read an item, and to fit and measure one INR.

    signal is the signal that was fitted.
    """

    read_s: float
    fit_s: float
    signal: Signal


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """Size of the work that a build has left; trial is None where none was worth its time."""

    rows: int
    items: int
    num_params: int
    trial: Trial | None
    cores: int
    in_process: bool
    stops_early: bool

    @property
    def seconds(self) -> float | None:
        """Seconds that the work takes on the cores at hand."""
        if self.trial is None:
            return None
        reading, fitting = self.items * self.trial.read_s, self.rows * self.trial.fit_s
        # In this process one thread reads, and the engine alone has several.
        return reading / (1 if self.in_process else self.cores) + fitting / self.cores

    def text(self) -> str:
        """The forecast as half a sentence."""
        size = 4e-3 * self.rows * self.num_params
        amount = f"{size:,.1f} kB" if size < 1000 else f"{size / 1000:,.1f} MB"
        said = f"{self.rows:,} INRs of {self.num_params:,} weights, {amount}"
        if self.seconds is None:
            return said
        about = "at most about" if self.stops_early else "about"
        where = "core" if self.in_process else "worker"
        return f"{said}, {about} {_duration(self.seconds)} on {self.cores} {where}" + (
            "s" if self.cores > 1 else ""
        )


def _duration(seconds: float) -> str:
    for size, unit in ((86400.0, "days"), (_HOUR_S, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{max(1, round(seconds))} s"


def _cores(executor: ExecutorConfig, num_blocks: int) -> int:
    if executor.backend == "serial":
        return torch.get_num_threads()
    # A build without a number of workers takes all cores, here or on Ray.
    return max(1, min(executor.workers or os.cpu_count() or 1, num_blocks))


def _time_fit(plan: BuildPlan, index: int, signal: Signal, num_steps: int) -> float:
    """Seconds of one core to fit and measure all views of an item with so many steps."""
    few = replace(plan.fit_plan, fit=replace(plan.fit_plan.fit, num_steps=num_steps))
    engine = make_engine(plan.engine, threads=1)
    began = time.perf_counter()
    learned = None if plan.start is None else plan.start.start
    fit_block(few, engine, [plan.opened.items[index]], [signal], first_row=0, start=learned)
    return time.perf_counter() - began


def _try_out(plan: BuildPlan, index: int, num_items: int) -> Trial | None:
    """Read an item and fit it with a few steps; None where that would be a large part of the work.

    Fits of different lengths tell the time of a step from all else.
    """
    spec, fit, views = plan.fit_plan.spec, plan.fit_plan.fit, plan.fit_plan.views
    if plan.engine == "gpu" or (spec.d_in > 2 and num_items < _MANY_ITEMS):
        return None
    began = time.perf_counter()
    signal = load_item(plan.opened, index, plan.source)
    read_s = time.perf_counter() - began
    if not isinstance(signal, Signal):
        return None
    points = fit.points_per_step or len(signal.values)
    if 6.0 * spec.num_params * points * fit.num_steps * views * num_items < _LITTLE_FLOP:
        return None
    # The first fit of a process loads compiled code.
    _time_fit(plan, index, signal, 1)
    first = taken = _time_fit(plan, index, signal, 1)
    steps = 1
    # Each is four times as long as the last, until the steps outweigh all else.
    while steps < fit.num_steps and taken < first + _TRIAL_S and first < _SLOW_STEP_S:
        steps = min(fit.num_steps, 4 * steps)
        taken = _time_fit(plan, index, signal, steps)
    step_s = max(0.0, taken - first) / (steps - 1) if steps > 1 else first
    whole = taken + (fit.num_steps - steps) * step_s
    return Trial(read_s=read_s, fit_s=whole / views, signal=signal)


def forecast(plan: BuildPlan, blocks: Sequence[int], executor: ExecutorConfig) -> Forecast:
    """Forecast the work of some blocks of a plan, and measure what a part of it takes here.

    Work on a cluster elsewhere and on GPUs is not timed, since this machine says little of it.
    """
    views, rows = plan.fit_plan.views, [plan.rows_to_fit(block) for block in blocks]
    num_rows = sum(map(len, rows))
    trial = None
    if blocks and executor.address is None:
        trial = _try_out(plan, rows[0].start // views, num_rows // views)
    return Forecast(
        rows=num_rows,
        items=num_rows // views,
        num_params=plan.fit_plan.spec.num_params,
        trial=trial,
        cores=_cores(executor, len(blocks)),
        in_process=executor.backend == "serial",
        stops_early=plan.fit_plan.fit.stop_psnr_db is not None,
    )


def shorten(plan: BuildPlan, found: Forecast) -> str:
    """A sentence on ways to shorten a build of over an hour; "" for any other."""
    if found.seconds is None or found.seconds < _HOUR_S or found.trial is None:
        return ""
    fit, signal = plan.fit_plan.fit, found.trial.signal
    ways = ["fewer --views", "fewer --num-steps", "--limit"]
    large = max(signal.grid, default=0) > _LARGE_SIDE
    if large and plan.source.shrinks:
        ways.append("--max-side")
    if not fit.points_per_step and len(signal.values) > _MANY_POINTS:
        ways.append("--points-per-step")
    if plan.start is None and find_shipped_start(plan.source.name, plan.fit_plan.spec.architecture):
        ways.append("--recipe learned")
    ways.append("a GPU with --engine gpu")
    return f"shorter with {', '.join(ways[:-1])}, or {ways[-1]}"
