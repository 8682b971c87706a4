"""Forecast of a build: rows, bytes and seconds, from a short trial on this machine."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from inrgen.core.summary import count
from inrgen.executors.config import ExecutorConfig
from inrgen.fit.engines import make_engine
from inrgen.fit.plan import BuildPlan
from inrgen.fit.starts.start import find_shipped_start
from inrgen.fit.views import fit_block, max_items
from inrgen.sources.base import Signal
from inrgen.sources.bounds import load_item

# A trial of a step that takes longer is not repeated.
_SLOW_STEP_S = 1.0
# Seconds that the steps of the last trial shall take.
_TRIAL_S = 0.2
# Items whose reading takes seconds are tried only where one of them is a small part.
_MANY_ITEMS = 10
# Below this work, which takes seconds, a forecast takes longer than it is worth.
_LITTLE_FLOP = 1e10
_LITTLE_READING_S = 1.0
# Most items of a sample that is fitted until it stops, where fits may stop early.
_SAMPLED_ITEMS = 16
# Share of the work, and seconds, that the sample may take; of long work a smaller share.
_SAMPLE_SHARE, _SAMPLE_S, _LONG_SHARE, _LONGEST_S = 0.05, 2.0, 0.005, 10.0
_HOUR_S = 3600.0
# A PSNR that no fit reaches.
_NEVER_DB = 1e4
_LARGE_SIDE, _MANY_POINTS = 64, 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """Seconds of one core, measured here: to read an item, and to fit and measure one INR.

    signal is the signal that was fitted. stopped tells whether fit_s is the mean of fits that ran
    until they stopped; otherwise it is that of a fit that takes all its steps.
    """

    read_s: float
    fit_s: float
    signal: Signal
    stopped: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """Size of the work that a build has left.

    trial is None where none was worth its time; little then tells whether seconds are enough.
    """

    rows: int
    items: int
    num_params: int
    trial: Trial | None
    cores: int
    in_process: bool
    stops_early: bool
    little: bool = False

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
        said = f"{count(self.rows, 'INR')} of {self.num_params:,} weights, {amount}"
        if self.trial is None or self.seconds is None:
            return f"{said}, a matter of seconds" if self.little else said
        # Fits that were not sampled may stop long before their last step.
        about = "at most about" if self.stops_early and not self.trial.stopped else "about"
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


def _time_fit(
    plan: BuildPlan, index: int, signal: Signal, num_steps: int, stop: bool = False
) -> tuple[float, int]:
    """Seconds of one core to fit and measure all views of an item, and the steps of the longest.

    An engine that takes no longer for several items gets as many as in a build; their time is
    divided by their number.

    Args:
        stop: stop early where the plan says so; otherwise its stop is checked and never reached.
    """
    fit = replace(plan.fit_plan.fit, num_steps=num_steps)
    if fit.stop_psnr_db is not None and not stop:
        fit = replace(fit, stop_psnr_db=_NEVER_DB)
    engine = make_engine(plan.engine, threads=1)
    began = time.perf_counter()
    learned = None if plan.start is None else plan.start.start
    count = max_items(plan.fit_plan, engine, signal) if plan.engine == "torch" else 1
    items, few = plan.opened.items[index : index + count], replace(plan.fit_plan, fit=fit)
    # One signal for all: their names alone make their fits differ.
    rows = fit_block(few, engine, items, [signal] * len(items), first_row=0, start=learned)
    steps = max(record.num_steps for record in rows.records)
    return (time.perf_counter() - began) / len(items), steps


def _try_out(plan: BuildPlan, items: Sequence[range], cores: int) -> tuple[Trial | None, bool]:
    """Read an item and fit it with a few steps; None where that would be a large part of the work.

    Fits of different lengths tell the time of a step from all else. The second value tells whether
    the work is little.
    """
    spec, fit, views = plan.fit_plan.spec, plan.fit_plan.fit, plan.fit_plan.views
    num_items, index = sum(map(len, items)), items[0].start
    if plan.engine == "gpu" or (spec.d_in > 2 and num_items < _MANY_ITEMS):
        return None, False
    began = time.perf_counter()
    signal = load_item(plan.opened, index, plan.source)
    read_s = time.perf_counter() - began
    if read_s * num_items > _LITTLE_READING_S:
        # The first reading of a process loads code, too.
        began = time.perf_counter()
        signal = load_item(plan.opened, index, plan.source)
        read_s = time.perf_counter() - began
    if not isinstance(signal, Signal):
        return None, False
    points = fit.points_per_step or len(signal.values)
    flop = 6.0 * spec.num_params * points * fit.num_steps * views * num_items
    if flop < _LITTLE_FLOP and read_s * num_items < _LITTLE_READING_S:
        return None, True
    # The first fit of a process loads compiled code.
    _time_fit(plan, index, signal, 1)
    first, _ = _time_fit(plan, index, signal, 1)
    taken = first
    steps = 1
    # Each is four times as long as the last, until the steps outweigh all else.
    while steps < fit.num_steps and taken < first + _TRIAL_S and first < _SLOW_STEP_S:
        steps = min(fit.num_steps, 4 * steps)
        taken, _ = _time_fit(plan, index, signal, steps)
    step_s = max(0.0, taken - first) / (steps - 1) if steps > 1 else first
    whole = taken + (fit.num_steps - steps) * step_s
    trial = Trial(read_s=read_s, fit_s=whole / views, signal=signal)
    most = whole * num_items / cores
    budget = min(_SAMPLE_SHARE * most, max(_SAMPLE_S, _LONG_SHARE * most), _LONGEST_S)
    # The rate of a schedule depends on the number of steps, so such a fit cannot be cut short.
    if fit.stop_psnr_db is not None and (whole < budget or fit.schedule == "constant"):
        trial = _sample_stops(plan, items, trial, budget, step_s)
    return trial, False


def _sample_stops(
    plan: BuildPlan, items: Sequence[range], trial: Trial, budget_s: float, step_s: float
) -> Trial:
    """The trial with the mean time of fits that run until they stop, of items spread over all.

    A fit that stops takes anything from a step to all steps, so no shorter fit can tell its time.
    One that has not stopped when the budget is spent counts with all its steps.
    """
    num_steps, stopped = plan.fit_plan.fit.num_steps, True
    most = num_steps if step_s == 0 else min(num_steps, max(1, int(budget_s / step_s)))
    num_items, began = sum(map(len, items)), time.perf_counter()
    places = np.linspace(0, num_items - 1, min(num_items, _SAMPLED_ITEMS)).astype(int)
    # In an order that is spread over all items wherever the time is up.
    starts, taken = np.cumsum([0, *map(len, items)]), list[float]()
    for place in np.random.default_rng(0).permutation(places):
        block = int(np.searchsorted(starts, place, side="right")) - 1
        index = items[block][int(place - starts[block])]
        signal = load_item(plan.opened, index, plan.source)
        if isinstance(signal, Signal):
            seconds, steps = _time_fit(plan, index, signal, most, stop=True)
            left = num_steps - most if steps >= most else 0
            taken.append(seconds + left * step_s)
            stopped = stopped and left == 0
        if time.perf_counter() - began > budget_s:
            break
    if not taken:
        return trial
    return replace(trial, fit_s=sum(taken) / len(taken) / plan.fit_plan.views, stopped=stopped)


def forecast(plan: BuildPlan, blocks: Sequence[int], executor: ExecutorConfig) -> Forecast:
    """Forecast the work of some blocks of a plan, and measure what a part of it takes here.

    Work on a cluster elsewhere and on GPUs is not timed, since this machine says little of it.
    """
    views, rows = plan.fit_plan.views, [plan.rows_to_fit(block) for block in blocks]
    num_rows, cores = sum(map(len, rows)), _cores(executor, len(blocks))
    trial, little = None, False
    if num_rows and executor.address is None:
        items = [range(run.start // views, run.stop // views) for run in rows if run]
        trial, little = _try_out(plan, items, cores)
    return Forecast(
        rows=num_rows,
        items=num_rows // views,
        num_params=plan.fit_plan.spec.num_params,
        trial=trial,
        cores=cores,
        in_process=executor.backend == "serial",
        stops_early=plan.fit_plan.fit.stop_psnr_db is not None,
        little=little,
    )


def warn_of_repeats(plan: BuildPlan, found: Forecast) -> str:
    """A sentence where each step draws more points than a signal has, with repeats; or ""."""
    drawn = plan.fit_plan.fit.points_per_step
    held = drawn if found.trial is None else len(found.trial.signal.values)
    if drawn <= held:
        return ""
    return (
        f"each step draws {drawn:,} of {held:,} points, so with repeats; --points-per-step 0 takes "
        "each once"
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
