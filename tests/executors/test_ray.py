"""On Ray, tasks survive lost workers and nodes, and every result comes back once."""

import importlib
import os
import signal
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
import ray
from ray import cloudpickle
from ray.cluster_utils import Cluster

from inrgen.executors.config import ExecutorConfig
from inrgen.executors.runner import run_tasks

# Workers cannot import a test module by name, so its functions travel by value.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture(scope="module")
def two_cores():
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def ray_config(workers: int | None = None, address: str | None = None) -> ExecutorConfig:
    return ExecutorConfig(scheduler="ray", workers=workers, address=address)


def square(number: int) -> int:
    return number * number


def die_once(mark: str) -> int:
    """Kill the worker that runs this, the first time."""
    path = Path(mark)
    if not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return 1


def die_always(_: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def slow(mark: str) -> int:
    with Path(mark).open("a") as runs:
        runs.write("x")
    time.sleep(1.0)
    return 1


def add(task: int, shared: list[int]) -> int:
    return task + shared[0]


@pytest.mark.usefixtures("two_cores")
def test_an_object_for_all_tasks_is_sent_once_or_refused():
    assert sorted(run_tasks(add, range(3), ray_config(), shared=[10])) == [10, 11, 12]
    with pytest.raises(ValueError, match=r"lock cannot be sent to workers .*workers=0"):
        list(run_tasks(add, range(3), ray_config(), shared=threading.Lock()))


@pytest.mark.usefixtures("two_cores")
@pytest.mark.parametrize("workers", [None, 1, 2])
def test_every_task_comes_back_once(workers):
    results = run_tasks(square, range(20), ray_config(workers))
    assert sorted(results) == [n * n for n in range(20)]


@pytest.mark.usefixtures("two_cores")
def test_a_task_is_told_to_take_one_thread():
    # libigl and OpenMP look there
    names = ["IGL_NUM_THREADS", "OMP_NUM_THREADS"]
    assert list(run_tasks(os.getenv, names, ray_config())) == ["1", "1"]


def process_title(_: int) -> str:
    return psutil.Process().cmdline()[0]


@pytest.mark.usefixtures("two_cores")
def test_a_process_is_titled_by_the_function_that_it_runs():
    (title,) = run_tasks(process_title, [0], ray_config())
    assert title.startswith("ray::process_title")


@pytest.mark.usefixtures("two_cores")
def test_a_killed_worker_costs_a_retry(tmp_path):
    marks = [str(tmp_path / str(n)) for n in range(4)]
    assert list(run_tasks(die_once, marks, ray_config())) == [1, 1, 1, 1]


@pytest.mark.usefixtures("two_cores")
def test_a_task_that_always_loses_its_worker_ends_in_an_error(monkeypatch):
    monkeypatch.setattr("inrgen.executors.ray_cluster._RETRIES", 1)
    with pytest.raises(ChildProcessError, match="more than 1 times; the last time WorkerCrashed"):
        list(run_tasks(die_always, [0], ray_config()))


def interval(seconds: float) -> tuple[float, float]:
    began = time.monotonic()
    time.sleep(seconds)
    return began, time.monotonic()


@pytest.mark.usefixtures("two_cores")
def test_workers_limit_the_tasks_of_a_ray_that_was_begun_before():
    spans = sorted(run_tasks(interval, [0.1] * 4, ray_config(workers=1)))
    assert all(end <= begin for (_, end), (begin, _) in pairwise(spans))


@pytest.mark.usefixtures("two_cores")
def test_a_cluster_without_cpus_is_refused(monkeypatch):
    # Ray itself would let the tasks wait for ever.
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"memory": 1e9})
    with pytest.raises(ValueError, match="need a Ray cluster with CPUs; this one has none"):
        list(run_tasks(square, [1], ray_config()))


@pytest.mark.usefixtures("two_cores")
def test_a_share_of_a_gpu_needs_a_gpu():
    with pytest.raises(ValueError, match="the Ray cluster has none"):
        list(run_tasks(square, [1], ray_config(), gpus_per_task=0.5))


class Unloadable:
    """A task of a module that the worker's node lacks."""

    def __reduce__(self) -> tuple:
        return importlib.import_module, ("no_such_package",)


@pytest.mark.usefixtures("two_cores")
def test_a_node_that_lacks_a_module_is_named_in_a_sentence():
    message = "a node cannot load a task: No module named 'no_such_package'; every node needs"
    with pytest.raises(ValueError, match=message):
        list(run_tasks(str, [Unloadable()], ray_config()))


@pytest.mark.parametrize("error", [ConnectionError, ray.exceptions.AuthenticationError])
def test_a_cluster_that_refuses_this_process_is_met_with_the_token_s_variables(error, monkeypatch):
    ray.shutdown()

    def refuse(**_: object) -> None:
        raise error("refused")

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(ValueError, match=r"none at 'auto' that takes .* RAY_AUTH_MODE=token"):
        list(run_tasks(square, [1], ray_config(address="auto")))


@pytest.mark.parametrize(
    ("address", "said"),
    [("127.0.0.1:1", "'127.0.0.1:1', where nothing answers"), ("foo", "HOST:PORT; got 'foo'$")],
)
def test_an_address_where_nothing_answers_is_named(address, said):
    ray.shutdown()
    with pytest.raises(ValueError, match=said):
        list(run_tasks(square, [1], ray_config(address=address)))


def test_a_local_ray_leaves_a_cluster_on_the_same_machine_alone():
    ray.shutdown()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        assert sorted(run_tasks(square, range(3), ray_config(2))) == [0, 1, 4]
    finally:
        ray.shutdown()
        cluster.shutdown()


def test_a_lost_node_costs_only_its_tasks_time(tmp_path):
    ray.shutdown()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        doomed = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        # two processors have room for four tasks; when the first is done, three are in line, and
        # one processor has room for two
        marks = [str(tmp_path / str(n)) for n in range(6)]
        nodes: list[int] = []
        address = ray_config(address=cluster.address)
        results = run_tasks(slow, marks, address, lambda _, num_nodes: nodes.append(num_nodes))
        count = next(results)
        cluster.remove_node(doomed, allow_graceful=False)
        deadline = time.monotonic() + 30.0
        while ray.cluster_resources()["CPU"] > 1 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert ray.cluster_resources()["CPU"] == 1
        count += sum(results)
        assert count == len(marks)
        assert nodes[-1] == 1
        assert all(Path(m).exists() for m in marks)
    finally:
        ray.shutdown()
        cluster.shutdown()
