"""Every executor runs each task once, in a bounded queue, and raises what a task raises."""

import sys
import traceback
from collections.abc import Iterator

import cloudpickle
import pytest
import ray
from distributed import LocalCluster
from ray import cloudpickle as ray_cloudpickle

from inrgen.executors.config import ExecutorConfig
from inrgen.executors.runner import run_tasks

# Workers cannot import a test module by name, so its functions travel by value. Ray has a copy
# of cloudpickle.
for pickler in (cloudpickle, ray_cloudpickle):
    pickler.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture(scope="module")
def dask_address() -> Iterator[str]:
    with LocalCluster(
        n_workers=1, threads_per_worker=2, processes=True, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        yield cluster.scheduler_address


@pytest.fixture(scope="module")
def two_ray_cores() -> Iterator[None]:
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(params=["serial", "threads", "distributed", "ray"])
def config(request) -> ExecutorConfig:
    """Two tasks at a time on each executor, or one if it is serial."""
    if request.param == "distributed":
        address = request.getfixturevalue("dask_address")
        return ExecutorConfig(scheduler="distributed", address=address, workers=2)
    if request.param == "ray":
        request.getfixturevalue("two_ray_cores")
        return ExecutorConfig(scheduler="ray", workers=2)
    return ExecutorConfig(workers=0 if request.param == "serial" else 2)


def square(number: int) -> int:
    return number * number


def refuse(number: int) -> int:
    raise ValueError(f"number must be even; got {number}")


def test_every_task_comes_back_once(config):
    # equal tasks are tasks of their own
    tasks = [*range(20), 3, 3]
    assert sorted(run_tasks(square, tasks, config)) == sorted(map(square, tasks))


def test_no_tasks_give_no_results(config):
    assert list(run_tasks(square, [], config)) == []


def test_submission_is_bounded(config):
    taken = []

    def tasks():
        for number in range(1000):
            taken.append(number)
            yield number

    results = run_tasks(square, tasks(), config)
    next(results)
    assert len(taken) <= 6
    results.close()


def test_a_tasks_error_reaches_the_caller_as_it_was_raised(config):
    with pytest.raises(ValueError, match="number must be even; got 1") as caught:
        list(run_tasks(refuse, [1], config))
    assert "in refuse" in "".join(traceback.format_exception(caught.value))


def refuse_odd(number: int) -> int:
    return refuse(number) if number % 2 else number


def test_short_tasks_that_run_together_end_one_by_one(config):
    assert sorted(run_tasks(square, range(300), config)) == [n * n for n in range(300)]
    with pytest.raises(ValueError, match=r"number must be even; got \d+"):
        list(run_tasks(refuse_odd, range(0, 301, 3), config))
