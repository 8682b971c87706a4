"""A shard has the bytes that zarr itself would write, and they depend on its rows alone."""

import numpy as np
import pytest
import zarr
from zarr.codecs import Crc32cCodec
from zarr.storage import MemoryStore

from inrgen.store.layout import Layout
from inrgen.store.shard import draft_shard, good_chunks, shard_shape, view_chunks

LAYOUT = Layout(rows=17 * 512 + 100, views=4)


def _zarr_array(config):
    written = {}
    array = zarr.create_array(
        MemoryStore(written),
        shape=(LAYOUT.rows, 5),
        dtype="float32",
        chunks=(LAYOUT.chunk_rows, 5),
        shards=(LAYOUT.shard_rows, 5),
        compressors=Crc32cCodec(),
        filters=None,
        fill_value=np.nan,
        config=config,
    )
    return array, written


def _rows(block):
    rows = LAYOUT.block_rows(block)
    flat = np.random.default_rng(block).normal(size=(len(rows), 5)).astype(np.float32)
    flat[3] = np.nan
    flat[4] = [np.inf, -np.inf, -0.0, 1e-45, 3e38]
    return rows, flat


def test_bytes_are_those_of_zarr():
    array, written = _zarr_array({"write_empty_chunks": True})
    rows, flat = _rows(1)
    flat[:256] = np.nan
    array[rows.start : rows.stop] = flat
    shape = shard_shape(LAYOUT, 5, 1)
    assert written["c/1/0"].to_bytes() == bytes(draft_shard(shape, flat).data)


@pytest.mark.parametrize("block", [0, LAYOUT.num_blocks - 1], ids=["full", "ragged"])
@pytest.mark.parametrize("all_nan", [False, True])
def test_zarr_reads_them(block, all_nan):
    array, written = _zarr_array({})
    rows, flat = _rows(block)
    if all_nan:
        flat[:] = np.nan
    data = draft_shard(shard_shape(LAYOUT, 5, block), flat).data
    written[f"c/{block}/0"] = zarr.core.buffer.cpu.Buffer.from_bytes(bytes(data))
    np.testing.assert_array_equal(array[rows.start : rows.stop], flat)


@pytest.mark.parametrize("block", [0, LAYOUT.num_blocks - 1])
def test_round_trip(block):
    _, flat = _rows(block)
    shape = shard_shape(LAYOUT, 5, block)
    data = np.frombuffer(draft_shard(shape, flat).data, np.uint8)
    assert len(data) == shape.size_bytes
    assert good_chunks(shape, data, np.arange(shape.num_chunks)).all()
    rows = view_chunks(shape, data).reshape(-1, 5)
    assert rows[: len(flat)].tobytes() == flat.tobytes()
    assert np.isnan(rows[len(flat) :]).all()
