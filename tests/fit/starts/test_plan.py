"""A build from a learned start settles networks, steps and views before any work."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from inrgen.executors.config import ExecutorConfig
from inrgen.fit.build_config import BuildConfig
from inrgen.fit.plan import plan_build
from inrgen.fit.starts import plan as start_plan
from inrgen.fit.starts.plan import StartFile, read_start
from inrgen.fit.starts.start import load_start
from inrgen.fit.torch_engine import TorchEngine
from inrgen.fit.views import fit_block
from inrgen.fit.worker import block_tasks
from inrgen.sources.catalog import open_source
from inrgen.sources.config import SourceConfig
from tests.learned import SPEC, saved_start

DIGITS = SourceConfig(name="digits", limit=2)


@pytest.fixture
def start(tmp_path) -> Path:
    return saved_start(tmp_path / "start.safetensors")


def config(start: Path | None, **options) -> BuildConfig:
    return BuildConfig(source=DIGITS, out=Path("STORE"), start=start, **options)


def test_networks_steps_and_views_are_those_of_the_start(start):
    plan = plan_build(config(start))
    fit = plan.fit_plan
    assert (fit.spec, fit.fit.num_steps, fit.views, plan.recipe) == (SPEC, 3, 2, "learned")
    assert fit.fit.stop_psnr_db is None
    other = plan_build(config(start, views=1, num_steps=9, points_per_step=5)).fit_plan.fit
    assert (other.num_steps, other.points_per_step) == (9, 5)
    assert plan_build(config(None)).fit_plan.views == 10


def test_points_a_step_are_those_that_the_start_was_learned_with(tmp_path):
    drawn = saved_start(tmp_path / "drawn", settings={"points_per_step": 17})
    assert plan_build(config(drawn)).fit_plan.fit.points_per_step == 17


def test_the_identity_names_the_start_and_nothing_of_adam(start):
    identity = plan_build(config(start)).identity
    assert identity["start"] == {
        "sha256": load_start(start).sha256,
        "inner_steps": 3,
        "facts": load_start(start).facts,
    }
    assert identity["fit"] == {"num_steps": 3, "points_per_step": 0}
    assert "start" not in plan_build(config(None)).identity


def test_every_item_begins_at_the_start_of_its_view(start):
    """Without updates the rows are the starts; with them, the engine's plain gradient steps."""
    plan, source, learned = plan_build(config(start)), open_source(DIGITS), load_start(start)
    still = replace(plan.fit_plan, fit=replace(plan.fit_plan.fit, num_steps=0))

    def rows(fit_plan):
        signals = (source.load(index) for index in range(2))
        items = source.items[:2]
        return torch.from_numpy(
            fit_block(fit_plan, TorchEngine(), items, signals, 0, start=learned).flat
        )

    starts = learned.params.flat()
    assert torch.equal(rows(still), torch.cat([starts, starts]))
    moved = rows(plan.fit_plan)
    assert not torch.equal(moved[0], moved[2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden": (8, 8)}, "leave out hidden"),
        ({"omega": 3.0, "lr": 1e-3}, "leave out omega, lr"),
        ({"shared": True, "stop_psnr": 30.0}, "leave out shared, stop_psnr"),
        ({"recipe": "fast"}, "start needs recipe learned, or none; got fast"),
    ],
)
def test_an_option_that_the_start_settles_is_refused(start, options, message):
    with pytest.raises(ValueError, match=message):
        config(start, **options)


def test_more_views_than_starts_are_refused(start):
    with pytest.raises(ValueError, match=r"views must be at most 2, the starts in .*; got 3"):
        plan_build(config(start, views=3))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (replace(SPEC, widths=(2, 8, 8, 3)), "digits: it has d_out 3, not 1"),
        (replace(SPEC, coord_order="ij"), "coord_order 'ij', not 'xy'"),
        (replace(SPEC, value_kind="occupancy"), "value_kind 'occupancy', not 'intensity'"),
    ],
)
def test_a_start_for_other_signals_is_refused(tmp_path, spec, message):
    with pytest.raises(ValueError, match=message):
        plan_build(config(saved_start(tmp_path / "other", spec=spec)))


def test_a_missing_start_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no START file"):
        plan_build(config(tmp_path / "none"))


def test_recipe_learned_takes_the_shipped_start(start, monkeypatch):
    asked = []

    def find(source_name, architecture, views):
        asked.append((source_name, views))
        return start

    monkeypatch.setattr(start_plan, "find_shipped_start", find)
    assert plan_build(config(None, recipe="learned", views=2)).fit_plan.spec == SPEC
    assert asked == [("digits", 2)]
    monkeypatch.setattr(start_plan, "find_shipped_start", lambda *_: None)
    with pytest.raises(ValueError, match="recipe learned needs start for digits"):
        plan_build(config(None, recipe="learned"))


def test_workers_read_the_start_by_an_absolute_path_and_check_it(start, monkeypatch):
    monkeypatch.chdir(start.parent)
    plan = plan_build(config(Path(start.name)))
    (task,) = block_tasks(plan, "/store", [(0, range(1))], ExecutorConfig(workers=0))
    assert task.start == StartFile(path=str(start), sha256=load_start(start).sha256)
    assert read_start(task.start).sha256 == task.start.sha256
    saved_start(start, seed=1)
    read_start.cache_clear()
    with pytest.raises(ValueError, match="the file was replaced"):
        read_start(task.start)
