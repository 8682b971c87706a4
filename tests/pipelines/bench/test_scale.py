"""The scale bench shows that memory and requests do not grow with a store where they must not."""

import pytest

from pipelines.bench.scale import ScaleBench, run, table
from pipelines.bench.scale_uses import USES

# Allocators and threads alone make so much of a difference.
_NOISE_MB = 6.0


def test_memory_of_four_times_the_rows_is_the_same():
    uses = ("first batch", "info", "plan align")
    config = ScaleBench(rows=(20_000, 80_000), chunk_rows=40, only=uses, remote=False)
    found = run(config)
    assert [(row.use, row.rows) for row in found] == [(u, n) for u in uses for n in config.rows]
    for small, large in zip(found[::2], found[1::2], strict=True):
        assert large.memory_mb <= max(1.3 * small.memory_mb, small.memory_mb + _NOISE_MB), large.use
        assert small.times_memory is None
        assert large.times_memory is not None
    _, *lines = table(found).splitlines()
    assert all(line.startswith(row.use) for line, row in zip(lines, found, strict=True))


def test_a_file_is_requested_once_and_opening_or_resuming_lists_names_alone():
    pytest.importorskip("moto")
    uses = ("unfinished: resume", "open", "info", "1,000 random rows")
    found = run(ScaleBench(rows=(320, 1280), chunk_rows=10, only=uses))
    small, large = ({row.use: row for row in found if row.rows == n} for n in (320, 1280))
    for use in uses[:2]:
        assert large[use].requests == small[use].requests
    info, rows = large["info"], large["1,000 random rows"]
    # the root document, listings of records and index, the tag of the index and the index
    assert info.requests == small["info"].requests == 5
    # the root document and a listing; of each block its size, its records and all of its chunks
    assert rows.requests == 2 + 3 * rows.blocks


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match="rows must be positive multiples of 10"):
        ScaleBench(rows=(15,))
    with pytest.raises(ValueError, match="chunk_rows must be positive; got 0"):
        ScaleBench(chunk_rows=0)
    with pytest.raises(ValueError, match=r"only must name some of unfinished: resume, .*; got tea"):
        run(ScaleBench(only=("tea", *USES)))
