"""The table of ways to load has every way in it, each with the rows it says it read."""

import pytest

from inrgen.bench.load import LoadBench, run, table
from inrgen.bench.load_ways import WAYS, Material, prepare
from inrgen.core.spec import InrSpec

SMALL = LoadBench(rows=600, hidden=(3,), batch_size=64, num_files=20, repeats=2)


def test_every_way_reads_all_its_rows(tmp_path):
    spec = InrSpec(widths=(2, 3, 1), omega=(30.0,))
    material = Material(folder=tmp_path, spec=spec, rows=600, num_files=20, batch_size=64)
    prepare(material)
    read = {way: make(material, 0)() for way, make in WAYS.items()}
    assert read.pop("a file each") == 20
    assert set(read.values()) == {600}


def test_the_table_has_a_line_for_each_way():
    rows = run(SMALL)
    assert [row.way for row in rows] == list(WAYS)
    assert all(row.rows_per_s > 0 for row in rows)
    assert next(row for row in rows if row.way == "zarr, whole shards").times_zarr == 1
    lines = table(rows).splitlines()
    assert len(lines) == 1 + len(rows)
    assert all(line.startswith(row.way) for line, row in zip(lines[1:], rows, strict=True))


def test_wrong_sizes_are_named():
    with pytest.raises(ValueError, match="num_files must be at most rows=600; got 601"):
        LoadBench(rows=600, num_files=601)
    with pytest.raises(ValueError, match="must be positive"):
        LoadBench(repeats=0)
