"""Blocks are worked on side by side, never more than allowed, and each result is had once."""

import threading
import time

import pytest

from inrgen.executors import dask_run
from inrgen.executors.config import RunConfig
from inrgen.executors.dask_run import run_graphs


class Counter:
    """Counts how many calls are going on at a time; call number that_fails raises."""

    def __init__(self, that_fails: int | None = None) -> None:
        self.now = self.most = 0
        self.began = threading.Semaphore(0)
        self._lock, self._fails = threading.Lock(), that_fails

    def __call__(self, task: int) -> int:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        self.began.release()
        time.sleep(0.01)
        with self._lock:
            self.now -= 1
        if task == self._fails:
            raise ValueError(f"task {task} is wrong")
        return task


@pytest.mark.parametrize("at_once", [1, 3])
def test_each_task_once_and_no_more_at_a_time_than_allowed(at_once):
    work = Counter()
    assert sorted(run_graphs(work, range(12), RunConfig(), at_once)) == list(range(12))
    assert work.most <= at_once
    assert list(run_graphs(work, [], RunConfig(), at_once)) == []


def test_workers_go_on_while_the_driver_is_busy():
    work = Counter()
    results = run_graphs(work, range(3), RunConfig(), 1)
    next(results)
    assert all(work.began.acquire(timeout=30) for _ in range(2))
    assert len(list(results)) == 2


def test_an_error_of_a_task_ends_the_run():
    with pytest.raises(ValueError, match="task 2 is wrong"):
        list(run_graphs(Counter(that_fails=2), range(50), RunConfig(), 2))


def test_fewer_workers_than_before_are_waited_for(monkeypatch):
    """A cluster may shrink below what was handed over already."""
    rooms = iter([4, 1, 1])
    monkeypatch.setattr(dask_run._Threads, "room", lambda crew, at_once: next(rooms, 2))
    assert sorted(run_graphs(Counter(), range(9), RunConfig(), 1)) == list(range(9))
