"""What a worker is told, wherever it stands."""

from dataclasses import replace
from pathlib import Path

import pytest

from inrgen.fit.ray_pool import PoolConfig
from inrgen.journeys.blocks import Means, block_tasks, build_block, run_blocks
from inrgen.journeys.plan import BuildConfig, BuildPlan, plan_build
from inrgen.sources.config import SourceConfig
from inrgen.sources.shape_config import ShapeConfig


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
    (task,) = block_tasks(replace(plan, source=source), "/store", [0], Means(workers=None))
    assert task.source.data == str(tmp_path / "there")
    assert task.source.shape.cache == str(tmp_path / "kept")
    assert task.source.identity() == source.identity()


@pytest.mark.parametrize(("engine", "held"), [("torch", 0.0), ("gpu", 0.5)])
def test_only_tasks_that_need_a_gpu_hold_one(plan, engine, held, monkeypatch):
    asked: list[PoolConfig] = []

    def note(function, tasks, config, on_wait):
        asked.append(config)
        return iter(())

    monkeypatch.setattr("inrgen.journeys.blocks.run_tasks", note)
    means = Means(workers=1, gpu_share=0.5)
    tasks = block_tasks(replace(plan, engine=engine), "/store", [0], means)
    assert not list(run_blocks(build_block, tasks, means, lambda: None))
    assert [config.gpus_per_task for config in asked] == [held]
