"""A store killed at any moment resumes, and ends equal to one that was never interrupted.

Each run is a forked process that is really killed: at every file operation in turn, and by SIGKILL
at random moments.
"""

import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inrgen.store.layout import ROOT_DOCUMENT
from inrgen.store.reader import open_store
from inrgen.store.verify import verify_store
from inrgen.store.writer import StoreWriter, stage_block
from tests.killing import FORK, count_operations, die_at, run

pytestmark = pytest.mark.usefixtures("quickly")


def _contents(path: Path) -> dict[str, bytes]:
    return {
        file.relative_to(path).as_posix(): file.read_bytes()
        for file in path.rglob("*")
        if file.is_file()
    }


def _check_what_readers_see(sample, path: Path) -> None:
    """Check that readers see no store, or one whose committed blocks are whole."""
    if not (path / ROOT_DOCUMENT).exists():
        return
    store = open_store(path)
    for block in store.committed():
        rows = sample.layout.block_rows(block)
        read = store.read(rows).flat().numpy()
        np.testing.assert_array_equal(read, sample.flat[rows.start : rows.stop])
    committed = sum(len(sample.layout.block_rows(block)) for block in store.committed())
    assert store.records.count_rows() == committed


def test_killed_at_every_file_operation(small_sample, tmp_path):
    whole = _contents(small_sample.build(tmp_path / "whole"))
    total = count_operations(lambda: small_sample.build(tmp_path / "counted"))
    assert total > 40
    for moment in range(1, total + 1):
        path = tmp_path / str(moment)

        def work(path=path, moment=moment):
            die_at(moment)
            small_sample.build(path)

        assert run(work) == -signal.SIGKILL
        _check_what_readers_see(small_sample, path)
        assert _contents(small_sample.build(path)) == whole


@pytest.mark.slow
def test_killed_at_random_moments(sample, tmp_path):
    whole = _contents(sample.build(tmp_path / "whole"))
    began = time.perf_counter()
    assert run(lambda: sample.build(tmp_path / "timed")) == 0
    duration = time.perf_counter() - began
    rng = np.random.default_rng()
    killed, path = 0, tmp_path / "0"
    for moment in range(20):
        process = FORK.Process(target=sample.build, args=(path,))
        process.start()
        time.sleep(rng.uniform(0, duration))
        process.kill()
        process.join()
        killed += process.exitcode == -signal.SIGKILL
        _check_what_readers_see(sample, path)
        # every third time, kill the same store again before it is finished
        if moment % 3:
            assert _contents(sample.build(path)) == whole
            path = tmp_path / str(moment + 1)
    assert killed > 0


def test_replacement_killed_at_every_file_operation(small_sample, tmp_path):
    new_flat = small_sample.flat + 1
    rows = small_sample.layout.block_rows(1)
    cut = slice(rows.start, rows.stop)
    new_records = [replace(record, num_steps=99) for record in small_sample.records[cut]]

    def repair(path):
        with StoreWriter(path) as writer:
            staged = stage_block(path, small_sample.spec_id, 1, new_flat[cut], new_records)
            writer.replace(staged)

    def check_consistent(path):
        store = open_store(path)
        steps = store.records.to_table(columns=["row", "num_steps"])
        steps = dict(zip(*(column.to_pylist() for column in steps.columns), strict=True))
        if 1 not in store.committed():
            assert rows.start not in steps
            return None
        expected = new_flat if steps[rows.start] == 99 else small_sample.flat
        np.testing.assert_array_equal(store.read(rows).flat().numpy(), expected[cut])
        return steps[rows.start]

    small_sample.build(tmp_path / "counted")
    total = count_operations(lambda: repair(tmp_path / "counted"))
    seen = set()
    for moment in range(1, total + 1):
        path = small_sample.build(tmp_path / str(moment))

        def work(path=path, moment=moment):
            die_at(moment)
            repair(path)

        assert run(work) == -signal.SIGKILL
        seen.add(check_consistent(path))
        with StoreWriter(path) as writer:
            assert writer.pending(small_sample.spec_id) == []
        seen.add(check_consistent(path))
        assert verify_store(path).ok
        repair(path)
        assert check_consistent(path) == 99
    assert seen == {None, 3, 99}
