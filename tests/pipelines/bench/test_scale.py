"""The scale bench: a line for each use and size, and memory that stays flat where it must."""

import pytest

from pipelines.bench.scale import ScaleBench, run, table
from pipelines.bench.scale_uses import USES

# Uses that a small store shows, so that the bench takes seconds.
FEW = ("unfinished: resume", "open", "first batch")


def test_each_use_has_a_line_for_each_size_and_growth_beside_the_second():
    rows = run(ScaleBench(rows=(320, 1280), only=FEW, remote=False))
    assert [(row.use, row.rows) for row in rows] == [(use, n) for use in FEW for n in (320, 1280)]
    assert all((row.times_memory is None) == (row.rows == 320) for row in rows)
    assert [line[:4] for line in table(rows).splitlines()[1:]] == [row.use[:4] for row in rows]


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match="rows must be positive multiples of 10"):
        ScaleBench(rows=(15,))
    with pytest.raises(ValueError, match="chunk_rows must be positive; got 0"):
        ScaleBench(chunk_rows=0)
    with pytest.raises(ValueError, match=r"only must name some of unfinished: resume, .*; got tea"):
        run(ScaleBench(only=("tea", *USES)))
