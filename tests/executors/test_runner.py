"""No executor runs more tasks at a time than allowed, and each result is yielded once."""

import mmap
import threading
import time

import pytest

from inrgen.executors.config import ExecutorConfig, process_bytes
from inrgen.executors.runner import run_tasks
from inrgen.executors.threads import ThreadsExecutor


class Counter:
    """Counts the calls in progress; the call for task fails_at raises."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.now = self.most = 0
        self.began = threading.Semaphore(0)
        self._lock, self._fails_at = threading.Lock(), fails_at

    def __call__(self, task: int) -> int:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        self.began.release()
        time.sleep(0.01)
        with self._lock:
            self.now -= 1
        if task == self._fails_at:
            raise ValueError(f"task {task} is wrong")
        return task


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_each_task_once_and_no_more_at_a_time_than_allowed(workers):
    work, config = Counter(), ExecutorConfig(workers=workers)
    assert sorted(run_tasks(work, range(12), config)) == list(range(12))
    assert work.most <= max(1, workers)
    assert list(run_tasks(work, [], config)) == []


def test_workers_0_runs_in_the_callers_thread_one_task_a_result():
    names = []

    def note(task: int) -> int:
        names.append(threading.current_thread().name)
        return task

    results = run_tasks(note, range(3), ExecutorConfig(scheduler="ray", workers=0))
    assert next(results) == 0
    assert names == [threading.current_thread().name]
    assert list(results) == [1, 2]


def test_workers_go_on_while_the_driver_is_busy():
    work = Counter()
    results = run_tasks(work, range(3), ExecutorConfig(workers=1))
    next(results)
    assert all(work.began.acquire(timeout=30) for _ in range(2))
    assert len(list(results)) == 2


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_of_a_task_ends_the_run(workers):
    with pytest.raises(ValueError, match="task 2 is wrong"):
        list(run_tasks(Counter(fails_at=2), range(50), ExecutorConfig(workers=workers)))


def test_a_smaller_cluster_finishes_the_tasks_submitted_before(monkeypatch):
    """A cluster may shrink below the tasks that were submitted already."""
    capacities = iter([4, 1, 1])
    monkeypatch.setattr(ThreadsExecutor, "capacity", lambda executor: next(capacities, 2))
    assert sorted(run_tasks(Counter(), range(9), ExecutorConfig(workers=1))) == list(range(9))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"workers": -1}, r"workers must be 0 \(this process alone\) or more"),
        ({"memory_mb": 0.0}, "memory_mb must be positive"),
        ({"scheduler": "threads", "address": "a:1"}, "but threads need none"),
        ({"scheduler": "distributed"}, "needs the address of a Dask cluster"),
    ],
)
def test_a_config_that_contradicts_itself_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        ExecutorConfig(**wrong)


@pytest.mark.parametrize(
    ("config", "backend", "max_tasks", "limited"),
    [
        (ExecutorConfig(workers=3), "threads", 3, 2),
        (ExecutorConfig(workers=0, scheduler="ray"), "serial", 1, 0),
        (ExecutorConfig(address="a:1"), "distributed", None, 2),
        (ExecutorConfig(scheduler="ray", workers=4), "ray", 4, 2),
    ],
)
def test_workers_mean_tasks_at_a_time_on_every_backend(config, backend, max_tasks, limited):
    assert (config.backend, config.max_tasks) == (backend, max_tasks)
    assert config.limited_to(2).workers == limited
    assert config.in_process == (backend in ("serial", "threads"))


def test_process_memory_counts_what_this_process_holds():
    before = process_bytes()
    # New pages: a large bytearray may reuse memory that the process holds already.
    with mmap.mmap(-1, 50_000_000) as block:
        block.write(b"x" * len(block))
        assert process_bytes() - before > len(block) // 2
