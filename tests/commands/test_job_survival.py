"""Killed jobs end in the same store as others, and jobs keep to their memory limit."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from inrgen.store.verify import verify_store

INRGEN = str(Path(sys.executable).with_name("inrgen"))
NUM_KILLS = int(os.environ.get("INRGEN_KILLS", "6"))
JOBS = {
    "augment": ("augment", "--augment", "rotation,gaussian-noise:chance=0.5", "--copies", "3"),
    "align": ("align", "--template", "21"),
}


@pytest.fixture(scope="module")
def long_parent(made_up, tmp_path_factory) -> Path:
    """A store of twenty blocks."""
    sample = type(made_up)(rows=20 * 256)
    return sample.build(tmp_path_factory.mktemp("survival") / "parent")


def start(job: str, parent: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    verb, *rest = JOBS[job]
    command = [INRGEN, verb, str(parent), "--out", str(out), *rest, "--workers", "2", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return out


def wait_for_first_commit(out: Path, process: subprocess.Popen[str]) -> None:
    while not list(out.glob("records/*.parquet")) and process.poll() is None:
        time.sleep(0.005)


@pytest.mark.slow
@pytest.mark.parametrize("job", JOBS)
def test_a_job_killed_at_random_moments_loses_nothing(job, made_up, long_parent):
    seed = random.SystemRandom().randrange(10**6)
    moments = random.Random(seed)
    print(f"seed of the moments: {seed}")  # noqa: T201 - shown when the test fails
    reference, out = (long_parent.parent / f"{job}-{name}" for name in ("whole", "killed"))
    finish(start(job, long_parent, reference))
    kills = 0
    for _ in range(NUM_KILLS // 2):
        process = start(job, long_parent, out)
        if kills:
            # Importing takes longer than working, so only later kills can lose something.
            time.sleep(moments.uniform(0.0, 3.0))
        else:
            wait_for_first_commit(out, process)
        time.sleep(moments.uniform(0.0, 0.2))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
    assert kills, "none was killed before it was done"
    finish(start(job, long_parent, out))
    assert made_up.content(out) == made_up.content(reference)
    assert verify_store(out).ok


def test_a_second_driver_is_refused_and_a_stopped_one_says_how_to_go_on(long_parent, tmp_path):
    out = tmp_path / "store"
    first = start("augment", long_parent, out, "--workers", "1")
    wait_for_first_commit(out, first)
    os.kill(first.pid, signal.SIGSTOP)
    second = start("augment", long_parent, out)
    _, errors = second.communicate(timeout=120)
    os.kill(first.pid, signal.SIGCONT)
    first.send_signal(signal.SIGTERM)
    _, said = first.communicate(timeout=120)
    assert second.returncode == 1
    assert "another process is writing to" in errors
    assert "Traceback" not in errors + said
    if first.returncode:
        assert first.returncode == 130
        assert "run the same command again to go on" in said


SHOW_PEAK = """
import sys
from inrgen.cli import main
code = main(sys.argv[1:])
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(status["VmHWM"].split()[0])
sys.exit(code)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")
def test_a_limit_on_memory_is_kept(made_up, tmp_path):
    """A job that reads 108 MB and writes 216 MB holds a small part at a time."""
    sample = type(made_up)(rows=1600, widths=(2, 128, 128, 1))
    parent = sample.build(tmp_path / "parent")
    chain = ("--augment", "gaussian-noise", "--copies", "2", "--memory-mb")

    def run(out: str, memory_mb: int) -> subprocess.CompletedProcess[str]:
        options = ("augment", str(parent), "--out", str(tmp_path / out), *chain, str(memory_mb))
        command = [sys.executable, "-c", SHOW_PEAK, *options, "--json"]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    refused = run("none", 100)
    assert refused.returncode == 1
    least = float(refused.stderr.split("must be at least ")[1].split(":")[0].replace(",", ""))
    # Memory held before the first block differs a little from run to run.
    limit = round(least) + 20
    kept = run("kept", limit)
    assert kept.returncode == 0, kept.stderr
    peak_mb = int(kept.stdout.split()[-1]) * 1024 / 1e6
    assert peak_mb <= limit
    assert verify_store(tmp_path / "kept").ok
