"""A build that is killed at random moments ends in the same store as one that never was."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from inrgen.store.reader import Store, open_store
from inrgen.store.verify import verify_store

INRGEN = str(Path(sys.executable).with_name("inrgen"))
# Fifteen blocks that take a few seconds in all, after about three for Python to start.
RECIPE = ("--views", "2", "--recipe", "fast", "--num-steps", "400", "--engine", "cpu")
VOLATILE = {"duration_s"}
NUM_KILLS = int(os.environ.get("INRGEN_KILLS", "12"))


def start_build(out: Path, *options: str) -> subprocess.Popen[str]:
    command = [INRGEN, "build", "digits", "--out", str(out), *RECIPE, *options]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def finish_build(out: Path, *options: str) -> None:
    process = start_build(out, *options)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors


def wait_for_work(out: Path, process: subprocess.Popen[str]) -> None:
    """Wait until the build holds its store; without a touch of the lock, which would refuse it."""
    lock = out / "_inrgen.lock"
    while process.poll() is None:
        held = Path("/proc/locks").read_text()
        if lock.exists() and f":{lock.stat().st_ino} " in held:
            return
        time.sleep(0.01)


def assert_same_store(there: Path, reference: Store) -> None:
    """Compare every row bit for bit, and every record except for the time it took."""
    store = open_store(there)
    rows = range(reference.layouts[reference.spec.spec_id].rows)
    found, expected = store.read(rows).flat(), reference.read(rows).flat()
    assert torch.equal(found.view(torch.int32), expected.view(torch.int32))
    records = store.records.to_table().sort_by("row")
    wanted = reference.records.to_table().sort_by("row")
    for column in set(wanted.column_names) - VOLATILE:
        found, expected = (table[column].to_pylist() for table in (records, wanted))
        np.testing.assert_equal(found, expected, err_msg=column)  # where NaN equals NaN
    names = list(zip(records["item_id"].to_pylist(), records["view"].to_pylist(), strict=True))
    assert len(set(names)) == len(names) == len(rows)
    assert verify_store(there).ok


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Store:
    out = tmp_path_factory.mktemp("reference") / "store"
    finish_build(out, "--workers", "0")
    return open_store(out)


def test_the_result_does_not_depend_on_the_workers(reference, tmp_path):
    for workers in ("1", "2"):
        finish_build(tmp_path / workers, "--workers", workers)
        assert_same_store(tmp_path / workers, reference)


@pytest.mark.slow
def test_a_driver_killed_at_random_moments_loses_nothing(reference, tmp_path):
    seed = random.SystemRandom().randrange(10**6)
    moments = random.Random(seed)
    print(f"seed of the moments: {seed}")  # noqa: T201 - shown when the test fails
    kills, round_ = 0, 0
    while kills < NUM_KILLS:
        out = tmp_path / str(round_)
        # Every fifth store is built through Ray, whose workers must die with their driver.
        options = ("--workers", "2" if round_ % 5 == 4 else "0")
        process = start_build(out, *options)
        # a kill while Python starts shows nothing
        wait_for_work(out, process)
        try:
            process.communicate(timeout=moments.uniform(0.0, 3.0))
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            kills += 1
        if process.returncode == 0:
            assert_same_store(out, reference)
            round_ += 1
    finish_build(out, *options)
    assert_same_store(out, reference)


def ray_workers(driver: int) -> list[psutil.Process]:
    family = psutil.Process(driver).children(recursive=True)
    return [p for p in family if is_at_work(p)]


def is_at_work(process: psutil.Process) -> bool:
    try:
        is_dead = process.status() == psutil.STATUS_ZOMBIE
        return not is_dead and any("ray::build_block" in part for part in process.cmdline())
    except psutil.NoSuchProcess:
        return False


def test_a_killed_worker_costs_only_its_block(reference, tmp_path):
    process = start_build(tmp_path / "store", "--workers", "2")
    killed, deadline = 0, time.monotonic() + 120
    while process.poll() is None and killed < 3 and time.monotonic() < deadline:
        for worker in ray_workers(process.pid)[:1]:
            worker.kill()
            killed += 1
        time.sleep(0.5)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert killed > 0
    assert_same_store(tmp_path / "store", reference)


@pytest.mark.parametrize("request_to_stop", [signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
def test_a_stopped_build_says_how_to_resume(reference, tmp_path, request_to_stop):
    out = tmp_path / "store"
    process = start_build(out, "--workers", "0")
    while not list(out.glob("records/*.parquet")) and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(request_to_stop)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command again to go on" in errors
    assert "Traceback" not in errors
    finish_build(out, "--workers", "0")
    assert_same_store(out, reference)


def test_a_second_driver_is_refused(tmp_path):
    out = tmp_path / "store"
    first = start_build(out, "--workers", "0")
    while not list(out.glob("records/*.parquet")) and first.poll() is None:
        time.sleep(0.05)
    second = start_build(out, "--workers", "0")
    _, errors = second.communicate(timeout=60)
    first.kill()
    first.communicate()
    assert second.returncode == 1
    assert str(out) in errors
    assert "Traceback" not in errors


def test_another_recipe_on_the_same_store_is_refused_by_name(reference):
    process = start_build(Path(reference.path), "--workers", "0", "--seed", "5")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "seed (there 0, here 5)" in errors


def test_a_finished_build_run_again_changes_nothing(reference):
    def content() -> dict[str, bytes]:
        files = Path(reference.path).rglob("*")
        return {str(p): p.read_bytes() for p in files if p.is_file()}

    before = content()
    finish_build(Path(reference.path), "--workers", "0")
    assert content() == before


def test_a_full_disk_ends_in_a_sentence_and_a_store_that_resumes(reference, tmp_path):
    """A limit of 64 KiB a file acts as a full disk; without it the build resumes."""
    out = tmp_path / "store"
    command = [INRGEN, "build", "digits", "--out", str(out), *RECIPE, "--workers", "0"]
    limited = ["prlimit", f"--fsize={64 * 1024}", *command]
    process = subprocess.run(limited, capture_output=True, text=True, timeout=120, check=False)
    assert process.returncode == 1
    assert "Traceback" not in process.stderr
    assert str(out) in process.stderr
    finish_build(out, "--workers", "0")
    assert_same_store(out, reference)
