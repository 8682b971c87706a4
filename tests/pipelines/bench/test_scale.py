"""The scale bench shows that memory and requests do not grow with a store where they must not."""

import pytest

from pipelines.bench.scale import ScaleBench, run, table
from pipelines.bench.scale_uses import USES

# Batches that are smaller than the small store, so that they hide no growth.
CONSTANTS = {
    "inrgen.loaders.batches._WINDOW_ROWS": 256,
    "inrgen.loaders.stream._AHEAD_ROWS": 256,
    "inrgen.loaders.order.NUM_STREAMS": 2,
    "inrgen.loaders.samples.NUM_STREAMS": 2,
    "inrgen.loaders.keys._CHUNK": 1024,
    "inrgen.loaders.key_file._MIN_ROWS": 0,
    "inrgen.store.hash_set._BATCH": 512,
    "inrgen.store.quality._EXACT": 512,
    "inrgen.store.quality._KEPT_BITS": 4,
}
# Bytes that each row may add to the memory of a use, and each block to that of any: 60 MB for the
# 25,000 blocks of 100 million rows.
ROW_BYTES = {"unfinished: records": 20, "records": 20, "first batch, balance": 9}
BLOCK_BYTES = 2500
# Requests of each use, and of each block of the store, as inrgen/store/README.md says.
REQUESTS = {
    "unfinished: resume": (17, 0),
    "unfinished: records": (6, 1),
    "open": (2, 0),
    "records": (5, 0),
    "epoch": (5, 3),
    "epoch, one class": (5, 3),
    "info": (5, 0),
    "verify": (13, 2),
    "stats": (7, 4),
    "plan align": (10, 0),
    "plan augment": (7, 0),
    "1,000 random rows": (2, 3),
}


def test_memory_of_four_times_the_rows_is_the_same():
    config = ScaleBench(rows=(10_000, 40_000), chunk_rows=40, remote=False, counted=True)
    found = run(config, constants=CONSTANTS)
    assert [(row.use, row.rows) for row in found] == [(u, n) for u in USES for n in config.rows]
    for small, large in zip(found[::2], found[1::2], strict=True):
        added = (large.rows - small.rows) * ROW_BYTES.get(large.use, 0)
        added += (large.blocks - small.blocks) * BLOCK_BYTES
        assert large.memory_mb <= 1.3 * small.memory_mb + added / 1e6, large.use
        assert small.times_memory is None
        assert large.times_memory is not None
    _, *lines = table(found).splitlines()
    assert all(line.startswith(row.use) for line, row in zip(lines, found, strict=True))


def test_requests_to_a_server_are_those_of_the_table():
    pytest.importorskip("moto")
    # first batches ask for less than an epoch does, as soon as they are read
    assert REQUESTS.keys() == {use for use in USES if "first batch" not in use}
    config = ScaleBench(rows=(1600, 3200), chunk_rows=10, only=tuple(REQUESTS))
    for row in run(config):
        fixed, for_each_block = REQUESTS[row.use]
        assert row.requests is not None
        assert row.requests <= fixed + for_each_block * row.blocks, row


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match="rows must be positive multiples of 10"):
        ScaleBench(rows=(15,))
    with pytest.raises(ValueError, match="chunk_rows must be positive; got 0"):
        ScaleBench(chunk_rows=0)
    with pytest.raises(ValueError, match=r"only must name some of unfinished: resume, .*; got tea"):
        run(ScaleBench(only=("tea", *USES)))
