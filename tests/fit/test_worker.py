"""Block tasks travel to any worker, and progress and GPU idle time come back."""

from dataclasses import replace
from pathlib import Path

import pytest

from inrgen.executors.config import ExecutorConfig
from inrgen.fit.build import build_store
from inrgen.fit.build_config import BuildConfig
from inrgen.fit.plan import BuildPlan, plan_build
from inrgen.fit.worker import (
    DoneBlock,
    block_runs,
    block_tasks,
    build_block,
    piece_rows,
    run_blocks,
)
from inrgen.sources.config import SourceConfig
from inrgen.sources.shape_config import ShapeConfig
from inrgen.store.create import create_store
from inrgen.store.layout import Layout
from inrgen.store.writer import StagedBlock

HERE = ExecutorConfig(workers=0)
# the plan below has one block
RUNS = [(0, range(6))]


def on_ray(workers: int | None = None) -> ExecutorConfig:
    return ExecutorConfig(scheduler="ray", workers=workers)


class SpyProgress:
    """A Progress that records the counts it receives."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def advance(self, count: int) -> None:
        self.rows.append(count)

    def tick(self, num_tasks: int = 0, num_nodes: int = 1) -> None:
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


def test_tasks_hold_absolute_paths(plan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shape = ShapeConfig(cache="kept")
    # digits take no folder
    source = SourceConfig(name="mesh-folder", data="there", shape=shape)
    (task,) = block_tasks(replace(plan, source=source), "/store", RUNS, on_ray())
    assert task.source.data == str(tmp_path / "there")
    assert task.source.shape.cache == str(tmp_path / "kept")
    assert task.source.identity() == source.identity()


def test_serial_work_reports_rows_before_its_block_is_done(plan, tmp_path, monkeypatch):
    monkeypatch.setattr("inrgen.fit.views._FLOP_AT_ONCE", 0)
    monkeypatch.setattr("inrgen.fit.views._INRS_A_THREAD", 0)
    spec, layout = plan.fit_plan.spec, plan.layout
    create_store(tmp_path, [(spec, layout)], plan.identity, {})
    brief = replace(plan.fit_plan, fit=replace(plan.fit_plan.fit, num_steps=1))
    heard = SpyProgress()
    tasks = block_tasks(replace(plan, fit_plan=brief), str(tmp_path), RUNS, HERE)
    (done,) = run_blocks(build_block, tasks, HERE, heard, source=plan.opened)
    assert done.rows_fitted == sum(heard.rows) == layout.rows
    assert heard.rows[:6] == [2] * 6  # two views of each of six items


def test_other_processes_report_whole_blocks(plan, monkeypatch):
    staged = StagedBlock(spec_id="", block=0, key="", shard_bytes=0, fragment=b"")
    monkeypatch.setattr(
        "inrgen.fit.worker.run_tasks",
        lambda *_, **__: iter([DoneBlock(staged=staged, rows_fitted=1)]),
    )
    heard, executor = SpyProgress(), on_ray(2)
    tasks = block_tasks(plan, "/s", RUNS, executor)
    assert list(run_blocks(build_block, tasks, executor, heard))
    assert heard.rows == [plan.layout.rows]


def test_pieces_of_a_block_make_the_same_block_in_any_order(plan, tmp_path, monkeypatch):
    brief = replace(plan.fit_plan, fit=replace(plan.fit_plan.fit, num_steps=1))
    plan = replace(plan, fit_plan=brief)
    create_store(tmp_path, [(brief.spec, plan.layout)], plan.identity, {})
    monkeypatch.setattr(
        "inrgen.fit.worker.run_tasks",
        lambda work, tasks, *_, shared, **__: (work(task, shared) for task in reversed(tasks)),
    )
    made = []
    for most_rows in (None, 5):
        runs, heard = block_runs(plan, [0], most_rows), SpyProgress()
        assert [len(items) for _, items in runs] == ([6] if most_rows is None else [2, 2, 2])
        tasks = block_tasks(plan, str(tmp_path), runs, on_ray())
        (done,) = run_blocks(build_block, tasks, on_ray(), heard, source=plan.opened)
        assert (done.rows_fitted, sum(heard.rows), len(heard.rows)) == (12, 12, len(runs))
        made.append((tmp_path / done.staged.key).read_bytes())
    assert made[0] == made[1]


@pytest.mark.parametrize(("rows", "tasks"), [(129, 43), (900, 46), (180_000, None)])
def test_a_small_job_has_forty_tasks_and_a_large_one_whole_blocks(plan, rows, tasks):
    plan = replace(plan, layout=Layout(rows=rows, views=3))
    blocks = range(plan.layout.num_blocks)
    most = piece_rows(plan, blocks)
    runs = block_runs(plan, blocks, most)
    assert sum(len(items) for _, items in runs) * 3 == rows
    assert len(runs) == (tasks or len(blocks))
    assert most is None or most <= rows / 40
    assert piece_rows(replace(plan, engine="gpu"), blocks) is None


@pytest.mark.parametrize(("engine", "held"), [("torch", 0.0), ("gpu", 0.5)])
def test_only_tasks_that_need_a_gpu_hold_one(plan, engine, held, monkeypatch):
    shares: list[float] = []

    def note(function, tasks, config, on_wait, gpus_per_task, shared):
        assert shared is None
        shares.append(gpus_per_task)
        return iter(())

    monkeypatch.setattr("inrgen.fit.worker.run_tasks", note)
    tasks = block_tasks(replace(plan, engine=engine), "/store", RUNS, on_ray(1))
    assert not list(run_blocks(build_block, tasks, on_ray(1), SpyProgress(), gpu_share=0.5))
    assert shares == [held]


def test_a_build_on_a_gpu_reports_its_idle_share(tmp_path, monkeypatch):
    monkeypatch.setattr("inrgen.fit.views.gpu_name", lambda device: f"box:{device}")
    source = SourceConfig(name="digits", limit=300)
    config = BuildConfig(
        source=source, out=tmp_path / "S", views=1, engine="torch", num_steps=1, workers=0
    )
    summary = build_store(config)
    assert list(summary.waiting) == ["box:cpu"]
    assert 0.0 < summary.waiting["box:cpu"] < 1.0
    assert f"box:cpu waited for data {summary.waiting['box:cpu']:.0%}" in summary.text()
    # nothing was left to fit
    assert build_store(config).waiting == {}


def test_a_build_on_cpus_reports_no_gpu(tmp_path):
    source = SourceConfig(name="digits", limit=2)
    config = BuildConfig(
        source=source, out=tmp_path / "S", views=1, engine="torch", num_steps=1, workers=0
    )
    assert build_store(config).waiting == {}
