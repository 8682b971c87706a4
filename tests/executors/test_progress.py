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
