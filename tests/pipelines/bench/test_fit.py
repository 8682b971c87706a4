"""The fitting bench: fair contenders and complete rows. No times are asserted."""

import math
from dataclasses import asdict, replace

import pytest
import torch

from pipelines.bench import contenders, worker_process
from pipelines.bench.contenders import contender
from pipelines.bench.fit import FitBench, FitRate, bench_fit, run, scaling, table
from pipelines.bench.fit_curve import curve, curve_table
from pipelines.bench.fit_growth import growth, growth_table
from pipelines.bench.fit_jobs import JOBS, FitJob, make_batch
from pipelines.bench.jax_contenders import JAX_CONTENDERS

SMALL = FitJob(widths=(2, 16, 16, 1), grid=(8, 8), points_per_step=0, num_steps=5, num_compared=3)


@pytest.mark.parametrize("name", ["sequential", "compiled", *JAX_CONTENDERS, "torch", "cpu"])
def test_all_contenders_do_the_same_work(name, monkeypatch):
    if name in JAX_CONTENDERS:
        pytest.importorskip("jax")
    monkeypatch.setattr(torch, "compile", lambda function, dynamic: function)
    contenders._compiled_update.cache_clear()
    batch = make_batch(SMALL, 3)
    expected = contender("torch")(SMALL.spec, SMALL.config, batch).flat()
    found = contender(name)(SMALL.spec, SMALL.config, batch).flat()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
def test_batches_have_no_copies_to_fill_them_up(job):
    """Copies would be uncounted work and make their contender look slow."""
    num_points = math.prod(job.grid)
    assert job.num_compared % contenders.batch_size(job.spec, job.config, num_points) == 0


@pytest.mark.parametrize("name", ["sequential", "compiled", *JAX_CONTENDERS])
def test_contenders_that_draw_points_still_fit(name, monkeypatch):
    if name in JAX_CONTENDERS:
        pytest.importorskip("jax")
    monkeypatch.setattr(torch, "compile", lambda function, dynamic: function)
    contenders._compiled_update.cache_clear()
    job = replace(SMALL, points_per_step=7)
    found = contender(name)(job.spec, job.config, make_batch(job, 2)).flat()
    assert found.isfinite().all()
    assert not torch.equal(found, make_batch(job, 2).start.flat())


def test_fits_are_the_same_whichever_group_they_are_made_in():
    few, many, last = make_batch(SMALL, 2), make_batch(SMALL, 5), make_batch(SMALL, 3, 2)
    assert torch.equal(last.values, many.values[2:])
    assert torch.equal(last.keys, many.keys[2:])
    assert torch.equal(last.start.flat(), many.start.flat()[2:])
    assert last.signal_of.tolist() == [0, 1, 2]
    assert torch.equal(few.values, many.values[:2])
    assert torch.equal(few.start.flat(), many.start.flat()[:2])
    assert 0.0 <= float(many.values.min()) <= float(many.values.max()) <= 1.0


def test_operations_are_counted_by_hand():
    # 64 points; forward and weight gradient of 2x16, 16x16, 16x1; input gradient of the last two.
    assert SMALL.flop_per_step == 2 * 64 * (2 * (32 + 256 + 16) + 256 + 16)


@pytest.mark.slow
def test_a_run_gives_a_whole_row_for_each_engine():
    config = FitBench(jobs=("2-32-32-1",), engines=("cpu",), workers=1, repeats=2, seconds=0.05)
    said: list[str] = []
    (row,) = run(config, said.append)
    assert (row.job, row.engine, row.workers) == ("2-32-32-1", "cpu", 1)
    assert row.inr_steps_per_s == row.inr_steps_per_s_per_core > 0
    assert row.inr_steps_per_cpu_s > 0
    assert 0 < row.peak_fraction <= 1.5
    assert row.gflop_s > 0
    assert row.psnr_db > 15
    assert row.peak_memory_bytes > 50e6
    assert math.isnan(row.times_sequential)
    assert said == ["2-32-32-1: cpu"]


def test_a_turn_counts_every_group_and_keeps_the_compared_ones(monkeypatch):
    monkeypatch.setattr(worker_process, "_FITS_AT_ONCE", 4)
    groups: list[int] = []

    def fit(spec, config, batch):
        groups.append(len(batch.start))
        return batch.start

    turn, compared = worker_process._turn(fit, SMALL, 11)
    assert groups == [4, 4, 3]
    assert turn.inr_steps == 11 * SMALL.num_steps
    assert torch.equal(compared.flat(), make_batch(SMALL, 3).start.flat())


@pytest.mark.slow
def test_scaling_and_growth_have_a_row_for_each_size():
    config = FitBench(jobs=("2-32-32-1",), workers=1, repeats=1, seconds=0.05)
    assert [row.workers for row in scaling(config)] == [1]
    grown = growth("2-32-32-1", 1, num_inrs=16)
    assert [row.num_inrs for row in grown] == [16, 32, 64]
    assert (grown[0].times_time, grown[0].times_memory) == (1.0, 1.0)
    assert len(growth_table(grown).splitlines()) == 4


def test_a_curve_says_what_more_updates_bring():
    points = curve(None, 8, 1, shares=(0.05, 0.2))
    by_recipe = {name: [p for p in points if p.recipe == name] for name in ("published", "fast")}
    for few, more in by_recipe.values():
        assert few.num_steps < more.num_steps
        assert few.psnr_db < more.psnr_db
        assert few.ms_an_inr > 0
    assert len(curve_table(points).splitlines()) == len(points) + 1


def test_the_command_gives_the_table_that_was_asked_for(monkeypatch):
    monkeypatch.setattr("pipelines.bench.fit_curve.curve", lambda data, items, repeats: [])
    report = bench_fit(FitBench(measure="curve"))
    assert report.document() == []
    assert report.text().startswith("recipe")


def test_a_table_has_a_line_for_each_row():
    row = FitRate(
        job="2-32-32-1",
        engine="cpu",
        workers=2,
        inr_steps_per_s=30000.0,
        inr_steps_per_s_per_core=15000.0,
        inr_steps_per_cpu_s=15200.0,
        spread=0.02,
        times_sequential=math.nan,
        gflop_s=150.0,
        peak_fraction=0.66,
        psnr_db=39.72,
        peak_memory_bytes=400_000_000,
    )
    lines = table([row, replace(row, engine="torch")]).splitlines()
    assert len(lines) == 3
    assert all(text in lines[1] for text in ("cpu", "30,000", "15,200", "66%", "39.72", "400"))
    assert len(asdict(row)) == 12


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("jobs", ("2-2",)),
        ("jobs", ()),
        ("items", 0),
        ("engines", ("abacus",)),
        ("engines", ()),
        ("compiled_jobs", ("x",)),
        ("repeats", 0),
        ("workers", -1),
        ("seconds", 0.0),
        ("seconds", math.inf),
        ("seconds", math.nan),
    ],
)
def test_a_wrong_benchmark_is_refused(field, value):
    with pytest.raises(ValueError, match=f"^{field} "):
        FitBench(**{field: value})
