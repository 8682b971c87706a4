"""Readers of shard rows give the rows that were written, and check each shard once."""

import pickle
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inrgen.store import open_shard
from inrgen.store.errors import DamagedStore
from inrgen.store.layout import shard_key
from inrgen.store.reader import open_store
from inrgen.store.rows import RowRun


@pytest.fixture(scope="module")
def mapped_store(sample, tmp_path_factory):
    return sample.build(tmp_path_factory.mktemp("mapped") / "store")


def copied(shards, sample, rows):
    """Copy rows, block by block, into a batch of zeros."""
    rows = np.asarray(rows, dtype=np.int64)
    target = np.zeros((len(rows), sample.spec.num_params), dtype=np.float32)
    blocks = rows // sample.layout.shard_rows
    for block in np.unique(blocks).tolist():
        places = np.flatnonzero(blocks == block)
        shards.copy(block, rows[places], target, places)
    return target


@settings(deadline=None, max_examples=30)
@given(rows=st.lists(st.integers(0, 10**6), max_size=40), max_open=st.integers(1, 3))
def test_any_rows_with_few_or_many_shards_open(sample, mapped_store, rows, max_open):
    shards = open_store(mapped_store).open_rows(max_open=max_open)
    rows = [row % sample.layout.rows for row in rows]
    for _ in range(2):
        np.testing.assert_array_equal(copied(shards, sample, rows), sample.flat[rows])
    assert len(shards._open) <= max_open


def test_another_process_can_have_a_copy(sample, mapped_store):
    shards = open_store(mapped_store).open_rows()
    copied(shards, sample, [3, sample.layout.rows - 2])
    data = pickle.dumps(shards)
    assert len(data) < 5_000
    np.testing.assert_array_equal(copied(pickle.loads(data), sample, [7]), sample.flat[[7]])


def test_a_shard_is_checked_again_after_its_file_has_changed(sample, store):
    shards = open_store(store).open_rows(max_open=1)
    copied(shards, sample, [0, 300])
    path = store / shard_key(sample.spec_id, 0)
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.unlink()
    path.write_bytes(data)
    with pytest.raises(DamagedStore, match=r"rows 0\.\.\d+ in .* do not match"):
        copied(shards, sample, [0])
    path.unlink()
    shards.prefetch(0)
    with pytest.raises(DamagedStore, match="is lost"):
        copied(shards, sample, [0])


def test_a_shard_that_was_asked_for_early_is_checked_once_by_then(sample, store, monkeypatch):
    checked = []
    real = open_shard.good_chunks

    def noting(shape, data, chunks):
        checked.append((threading.current_thread(), len(chunks)))
        return real(shape, data, chunks)

    monkeypatch.setattr(open_shard, "good_chunks", noting)
    shards = open_store(store).open_rows()
    shards.prefetch(1)
    rows = sample.layout.block_rows(1)
    np.testing.assert_array_equal(copied(shards, sample, rows), sample.flat[rows.start : rows.stop])
    assert len(checked) == 1
    assert checked[0][0] is not threading.current_thread()
    shards.prefetch(2)
    np.testing.assert_array_equal(
        copied(pickle.loads(pickle.dumps(shards)), sample, rows)[0], sample.flat[rows.start]
    )


def test_any_rows_of_a_run_in_any_order(sample, store, monkeypatch):
    checked = []
    real = open_shard.good_chunks

    def noting(shape, data, chunks):
        checked.extend(chunks.tolist())
        return real(shape, data, chunks)

    monkeypatch.setattr(open_shard, "good_chunks", noting)
    first, last = sample.layout.block_rows(1).start - 5, sample.layout.block_rows(2).stop
    run = RowRun(store, sample.spec_id, range(first, last))
    mixed = np.random.default_rng(0).integers(first, last, 50)
    runs = (range(first, last), range(first + 3, first + 9), range(first + 9, first + 30))
    for rows in (*runs, mixed, mixed[:0]):
        np.testing.assert_array_equal(run.read(rows), sample.flat[np.asarray(rows, dtype=int)])
    for rows in runs:
        np.testing.assert_array_equal(run.view(rows), sample.flat[rows.start : rows.stop])
    assert not run.view(runs[2]).flags.writeable
    # each chunk that holds some of the rows once: the last rows of one shard, and all of two
    assert len(checked) == 1 + 2 + 2
    assert run.table["row"].to_pylist() == list(range(first, last))


def test_a_damaged_chunk_is_named_when_its_rows_are_read(sample, store):
    path = store / shard_key(sample.spec_id, 0)
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.unlink()
    path.write_bytes(data)
    run = RowRun(store, sample.spec_id, range(sample.layout.block_rows(1).stop))
    run.read(sample.layout.block_rows(1))
    with pytest.raises(DamagedStore, match=r"rows 0\.\.\d+ in .* do not match"):
        run.read(range(3, 4))
