"""The idle share of a GPU follows from the intervals of its fits."""

import pytest

from inrgen.fit.gpu_idle import BusyInterval, gpu_name, idle_shares


def interval(begin: float, end: float, gpu: str = "a") -> BusyInterval:
    return BusyInterval(gpu=gpu, begin_s=begin, end_s=end)


@pytest.mark.parametrize(
    ("intervals", "share"),
    [
        ([interval(5, 7)], 0.0),
        ([interval(0, 1), interval(3, 4)], 0.5),
        ([interval(3, 4), interval(0, 1)], 0.5),
        ([interval(0, 3), interval(1, 2), interval(3, 4)], 0.0),
        ([interval(0, 6), interval(1, 2), interval(8, 10)], 0.2),
        ([interval(2, 2)], 0.0),
    ],
)
def test_a_gpu_is_idle_while_no_fit_is_in_progress(intervals, share):
    assert idle_shares(intervals) == {"a": pytest.approx(share)}


def test_gpus_are_idle_independently():
    found = idle_shares([interval(0, 4, "b"), interval(100, 101), interval(103, 104)])
    assert found == {"a": pytest.approx(0.5), "b": 0.0}
    assert list(found) == ["a", "b"]
    assert idle_shares([]) == {}


def test_a_cpu_has_no_gpu_name():
    assert gpu_name("cpu") == ""
