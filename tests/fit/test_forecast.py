"""A forecast is measured here: reading, a fixed part and a part for every step."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from inrgen.executors.config import ExecutorConfig
from inrgen.fit import forecast as module
from inrgen.fit.build_config import BuildConfig
from inrgen.fit.forecast import Forecast, Trial, forecast, shorten, warn_of_repeats
from inrgen.fit.plan import plan_build
from inrgen.sources.base import Signal
from inrgen.sources.config import SourceConfig

DIGITS = SourceConfig(name="digits", limit=200)
TRIAL = Trial(read_s=0.5, fit_s=2.0, signal=Signal(values=torch.zeros(4, 1), grid=(2, 2)))
WORK = Forecast(
    rows=20, items=10, num_params=1000, trial=TRIAL, cores=4, in_process=True, stops_early=False
)


@pytest.fixture(scope="module")
def plan():
    return plan_build(BuildConfig(source=DIGITS, out=Path("STORE"), views=2))


def test_seconds_count_the_cores_that_read_and_fit():
    assert WORK.seconds == 10 * 0.5 + 20 * 2.0 / 4
    workers = replace(WORK, in_process=False)
    assert workers.seconds == (10 * 0.5 + 20 * 2.0) / 4
    assert workers.text() == "20 INRs of 1,000 weights, 80.0 kB, about 11 s on 4 workers"
    early = replace(WORK, stops_early=True, cores=1)
    assert early.text().endswith("at most about 45 s on 1 core")
    sampled = replace(early, trial=replace(TRIAL, stopped=True))
    assert sampled.text().endswith(", about 45 s on 1 core")
    assert replace(WORK, trial=None).text() == "20 INRs of 1,000 weights, 80.0 kB"
    assert replace(WORK, trial=None, little=True).text().endswith(", a matter of seconds")
    assert replace(WORK, items=10**4, rows=10**4).text().endswith("about 2.8 h on 4 cores")


@pytest.mark.parametrize("step_s", [1e-3, 0.1, 2.0])
def test_a_trial_tells_steps_from_all_else_and_stays_short(step_s, plan, monkeypatch):
    taken: list[float] = []

    def timed(plan, index, signal, num_steps, stop=False):
        assert not stop
        taken.append(0.01 + num_steps * step_s)
        return taken[-1], num_steps

    monkeypatch.setattr(module, "_time_fit", timed)
    fit = replace(plan.fit_plan.fit, stop_psnr_db=None)
    plan = replace(plan, fit_plan=replace(plan.fit_plan, fit=fit))
    found = forecast(plan, [0, 1], ExecutorConfig(workers=2, scheduler="ray"))
    assert found.trial is not None
    assert found.trial.fit_s == pytest.approx((0.01 + 1000 * step_s) / 2, rel=0.01)
    assert sum(taken) < 1.2 + 5 * step_s
    assert (found.rows, found.cores) == (2 * len(plan.layout.block_rows(0)), 2)


@pytest.mark.parametrize(("stops_at", "stopped"), [(3, True), (1000, True), (400, False)])
def test_fits_that_stop_early_are_timed_until_they_stop(stops_at, stopped, plan, monkeypatch):
    sampled: list[int] = []
    # The budget allows whole fits of 1,000 steps of a millisecond, and a part of slower ones.
    step_s = 0.001 if stopped else 10.0

    def timed(plan, index, signal, num_steps, stop=False):
        steps = min(num_steps, stops_at) if stop else num_steps
        sampled.extend([index] * stop)
        return steps * step_s, steps

    monkeypatch.setattr(module, "_time_fit", timed)
    # The sample is drawn from the items of these blocks alone.
    blocks = range(2, plan.layout.num_blocks)
    found = forecast(plan, blocks, ExecutorConfig(workers=0))
    assert found.trial is not None
    assert found.trial.stopped == stopped
    items = [row // plan.layout.views for at in blocks for row in plan.layout.block_rows(at)]
    assert set(sampled) <= set(items)
    assert len(set(sampled)) == len(sampled)
    # A fit that did not stop within the budget counts with all its steps.
    seconds = step_s * (stops_at if stopped else 1000)
    assert found.trial.fit_s == pytest.approx(seconds / plan.layout.views)
    assert (", about " if stopped else ", at most about ") in found.text()
    # the first and the last
    assert {min(items), max(items)} <= set(sampled)


def test_little_work_and_clusters_elsewhere_are_not_timed(plan):
    few = BuildConfig(source=DIGITS, out=Path("STORE"), views=1, num_steps=5)
    here = ExecutorConfig(workers=0)
    little = forecast(plan_build(few, plan.opened), [0], here)
    assert little.seconds is None
    assert "a matter of seconds" in little.text()
    away = ExecutorConfig(scheduler="ray", address="host:1")
    assert forecast(plan, [0], away).seconds is None
    assert "seconds" not in forecast(plan, [0], away).text()


@pytest.mark.parametrize(("points", "repeats"), [(0, False), (4, False), (5, True)])
def test_points_that_a_step_draws_twice_are_told(points, repeats, plan):
    fit = replace(plan.fit_plan.fit, points_per_step=points)
    plan = replace(plan, fit_plan=replace(plan.fit_plan, fit=fit))
    said = warn_of_repeats(plan, WORK)
    assert said.startswith("each step draws 5 of 4 points" if repeats else said or "?") == repeats


def test_what_would_shorten_a_long_build_is_what_applies_to_it(plan, tmp_path):
    Image.fromarray(np.zeros((80, 100), dtype=np.uint8)).save(tmp_path / "a.png")
    photos = SourceConfig(name="image-folder", data=str(tmp_path))
    large = replace(TRIAL, signal=Signal(values=torch.zeros(8000, 1), grid=(80, 100)))
    for made, trial, options in [
        (
            plan_build(BuildConfig(source=photos, out=Path("STORE"))),
            large,
            {"--limit", "--max-side", "--points-per-step"},
        ),
        (plan, TRIAL, {"--limit", "--recipe learned"}),
    ]:
        found = replace(WORK, rows=10**6, trial=trial)
        told = shorten(made, found)
        for option in ("--limit", "--max-side", "--points-per-step", "--recipe learned"):
            assert (option in told) == (option in options)
        assert shorten(made, replace(found, rows=100)) == ""
