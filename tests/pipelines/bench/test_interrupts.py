"""Every resumable command that is interrupted says so, and its next run ends as if it never was."""

from pathlib import Path

from inrgen.cli import VERBS
from pipelines.bench import interrupts
from pipelines.bench.interrupts import InterruptBench, bench_interrupts


def test_every_resumable_command_goes_on_after_an_interrupt():
    report = bench_interrupts(InterruptBench(moments=1))
    assert report.failures == ()
    assert set(report.counts) == {verb.name for verb in VERBS if verb.resumable}
    for counts in report.counts.values():
        assert counts["130"] + counts["0"] == 1


def test_a_command_that_ends_otherwise_or_gives_something_else_is_a_fault(monkeypatch):
    def give_up(argv):
        for out in (word for word in argv if word.endswith(".safetensors")):
            with Path(out).open("ab") as file:
                file.write(b"x" * len(given))
        given.append(argv)
        return 0

    given = []
    monkeypatch.setattr(interrupts, "main", give_up)
    report = bench_interrupts(InterruptBench(moments=1, only=("learn-start",)))
    assert "gives another result" in report.failures[0]
    monkeypatch.setattr(interrupts, "_interrupt", lambda *of: (1, "Traceback"))
    report = bench_interrupts(InterruptBench(moments=1, only=("learn-start",)))
    assert "ended with 1" in report.failures[0]
    assert report.failed
