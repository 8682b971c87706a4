"""What a worker is told, wherever it stands."""

from dataclasses import replace
from pathlib import Path

import pytest

from inrgen.commands.build import build
from inrgen.fit.plan import BuildConfig, BuildPlan, plan_build
from inrgen.fit.worker import DoneBlock, Resources, block_tasks, build_block, run_blocks
from inrgen.sources.config import SourceConfig
from inrgen.sources.shape_config import ShapeConfig
from inrgen.store.create import create_store
from inrgen.store.writer import StagedBlock


class Heard:
    """A Progress that notes what it is told."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def advance(self, count: int) -> None:
        self.rows.append(count)

    def tick(self) -> None:
        pass


@pytest.fixture(scope="module")
def plan() -> BuildPlan:
    return plan_build(
        BuildConfig(
            source=SourceConfig(name="digits", limit=2),
            out=Path("STORE"),
            views=2,
            engine="torch",
        )
    )


def test_tasks_name_no_folder_by_a_relative_path(plan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shape = ShapeConfig(cache="kept")
    source = replace(plan.source, data="there", shape=shape)
    (task,) = block_tasks(replace(plan, source=source), "/store", [0], Resources(workers=None))
    assert task.source.data == str(tmp_path / "there")
    assert task.source.shape.cache == str(tmp_path / "kept")
    assert task.source.identity() == source.identity()


def test_work_here_is_heard_of_before_its_block_is_done(plan, tmp_path, monkeypatch):
    monkeypatch.setattr("inrgen.fit.views._FLOP_AT_ONCE", 0)
    monkeypatch.setattr("inrgen.fit.views._INRS_A_THREAD", 0)
    spec, layout = plan.job.spec, plan.layout
    create_store(tmp_path, [(spec, layout)], plan.identity, {})
    job = replace(plan.job, fit=replace(plan.job.fit, num_steps=1))
    means, heard = Resources(workers=0), Heard()
    tasks = block_tasks(replace(plan, job=job), str(tmp_path), [0], means)
    (done,) = run_blocks(build_block, tasks, means, heard)
    assert done.rows_fitted == sum(heard.rows) == layout.rows
    assert heard.rows[:6] == [2] * 6  # two views of each of six items


def test_blocks_from_afar_are_heard_of_as_they_come(plan, monkeypatch):
    staged = StagedBlock(spec_id="", block=0, key="", shard_bytes=0, fragment=b"")
    monkeypatch.setattr(
        "inrgen.fit.worker.run_tasks",
        lambda *_, **__: iter([DoneBlock(staged=staged, rows_fitted=1)]),
    )
    means, heard = Resources(workers=2), Heard()
    assert list(run_blocks(build_block, block_tasks(plan, "/s", [0], means), means, heard))
    assert heard.rows == [plan.layout.rows]


@pytest.mark.parametrize(("engine", "held"), [("torch", 0.0), ("gpu", 0.5)])
def test_only_tasks_that_need_a_gpu_hold_one(plan, engine, held, monkeypatch):
    asked: list[float] = []

    def note(function, tasks, config, on_wait, gpus_per_task):
        asked.append(gpus_per_task)
        return iter(())

    monkeypatch.setattr("inrgen.fit.worker.run_tasks", note)
    means = Resources(workers=1, gpu_share=0.5)
    tasks = block_tasks(replace(plan, engine=engine), "/store", [0], means)
    assert not list(run_blocks(build_block, tasks, means, Heard()))
    assert asked == [held]


def test_a_build_on_a_gpu_says_how_long_it_waited(tmp_path, monkeypatch):
    monkeypatch.setattr("inrgen.fit.views.gpu_name", lambda device: f"box:{device}")
    source = SourceConfig(name="digits", limit=300)
    config = BuildConfig(
        source=source, out=tmp_path / "S", views=1, engine="torch", num_steps=1, workers=0
    )
    summary = build(config)
    assert list(summary.waiting) == ["box:cpu"]
    assert 0.0 < summary.waiting["box:cpu"] < 1.0
    assert f"box:cpu waited for data {summary.waiting['box:cpu']:.0%}" in summary.text()
    # Nothing was left to fit.
    assert build(config).waiting == {}


def test_a_build_on_processors_speaks_of_no_gpu(tmp_path):
    source = SourceConfig(name="digits", limit=2)
    config = BuildConfig(
        source=source, out=tmp_path / "S", views=1, engine="torch", num_steps=1, workers=0
    )
    assert build(config).waiting == {}
