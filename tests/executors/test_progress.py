"""Progress lines, written when output is no terminal; even slow work has a rate."""

import pytest

from inrgen.executors import progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves only when a test moves it."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("seconds", "rate"), [(0.001, "5,000.0"), (2.0, "2.5"), (100.0, "0.05"), (4000.0, "0.0013")]
)
def test_the_last_line_says_all_and_a_rate_that_is_not_rounded_away(clock, capsys, seconds, rate):
    with progress.show_progress("train", total=6, done=1, unit="epochs") as shown:
        clock[0] += seconds
        shown.advance(5)
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"train: 6 of 6 epochs, {rate} epochs/s")


def test_lines_come_at_most_every_ten_seconds(clock, capsys):
    with progress.show_progress("build", total=100, done=0, unit="INRs") as shown:
        for _ in range(99):
            clock[0] += 1.0
            shown.advance(1)
    assert len(capsys.readouterr().err.splitlines()) == 9


def test_time_left_never_grows_while_nothing_is_done_and_lines_say_what_runs(clock, capsys):
    with progress.show_progress("build", total=100, done=0, unit="INRs") as shown:
        clock[0] += 10.0
        shown.advance(50)
        for seconds in (5, 5, 10, 10):
            clock[0] += seconds
            shown.tick(4, 2)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "build: 50 of 100 INRs, 5.0 INRs/s, 10 s left"
    assert lines[1] == "build: 50 of 100 INRs, 2.5 INRs/s, 0 s left, 4 tasks in flight on 2 nodes"
    assert lines[2] == "build: 50 of 100 INRs, 1.7 INRs/s, 4 tasks in flight on 2 nodes"
    assert len(lines) == 4


def test_a_count_is_said_after_a_second_and_then_every_ten(clock, capsys):
    with progress.show_counts("image-folder") as report:
        for seconds in (0.5, 1.0, 5.0, 10.0):
            clock[0] += seconds
            report("files listed", int(clock[0] * 1000))
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["image-folder: 1,500 files listed", "image-folder: 16,500 files listed"]
