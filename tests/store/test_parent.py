"""A run of rows gives what the store gives, and looks at each chunk's checksum once."""

import numpy as np
import pytest

from inrgen.store import parent
from inrgen.store.errors import DamagedStore
from inrgen.store.layout import shard_key
from inrgen.store.parent import RowRun


def test_any_rows_of_a_run_in_any_order(sample, store, monkeypatch):
    looked_at = []
    real = parent.good_chunks

    def noting(shape, data, chunks):
        looked_at.append((shape.rows, data.ctypes.data, *chunks.tolist()))
        return real(shape, data, chunks)

    monkeypatch.setattr(parent, "good_chunks", noting)
    first, last = sample.layout.block_rows(1).start - 5, sample.layout.block_rows(2).stop
    run = RowRun(store, sample.spec_id, range(first, last))
    mixed = np.random.default_rng(0).integers(first, last, 50)
    runs = (range(first, last), range(first + 3, first + 9), range(first + 9, first + 30))
    for rows in (*runs, mixed, mixed[:0]):
        np.testing.assert_array_equal(run.read(rows), sample.flat[np.asarray(rows, dtype=int)])
    for rows in runs:
        np.testing.assert_array_equal(run.view(rows), sample.flat[rows.start : rows.stop])
    assert not run.view(runs[2]).flags.writeable
    assert len(looked_at) == len(set(looked_at))
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
