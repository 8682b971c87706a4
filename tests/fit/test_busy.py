"""How long GPUs wait is told from when fits were under way on each."""

import pytest

from inrgen.fit.busy import Busy, gpu_name, waiting_shares


def stretch(begin: float, end: float, gpu: str = "a") -> Busy:
    return Busy(gpu=gpu, begin=begin, end=end)


@pytest.mark.parametrize(
    ("stretches", "share"),
    [
        ([stretch(5, 7)], 0.0),
        ([stretch(0, 1), stretch(3, 4)], 0.5),
        ([stretch(3, 4), stretch(0, 1)], 0.5),
        ([stretch(0, 3), stretch(1, 2), stretch(3, 4)], 0.0),
        ([stretch(0, 6), stretch(1, 2), stretch(8, 10)], 0.2),
        ([stretch(2, 2)], 0.0),
    ],
)
def test_a_gpu_waits_while_nothing_is_under_way_on_it(stretches, share):
    assert waiting_shares(stretches) == {"a": pytest.approx(share)}


def test_each_gpu_waits_for_itself():
    found = waiting_shares([stretch(0, 4, "b"), stretch(100, 101), stretch(103, 104)])
    assert found == {"a": pytest.approx(0.5), "b": 0.0}
    assert list(found) == ["a", "b"]
    assert waiting_shares([]) == {}


def test_a_processor_is_no_gpu():
    assert gpu_name("cpu") == ""
