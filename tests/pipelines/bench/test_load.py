"""The table of ways to load has every way in it, each with the rows it says it read."""

import pytest

from inrgen.core.spec import InrSpec
from pipelines.bench import load
from pipelines.bench.load import LoadBench, run, table
from pipelines.bench.load_neighbours import Neighbour, neighbours
from pipelines.bench.load_ways import WAYS, Material, prepare

SMALL = LoadBench(rows=600, hidden=(3,), batch_size=64, num_files=20, repeats=2)


@pytest.fixture
def material(tmp_path) -> Material:
    """600 rows in all our own forms."""
    spec = InrSpec(widths=(2, 3, 1), omega=(30.0,))
    material = Material(folder=tmp_path, spec=spec, rows=600, num_files=20, batch_size=64)
    prepare(material)
    return material


def test_every_way_reads_all_its_rows(material):
    read = {way: make(material, 0)() for way, make in WAYS.items()}
    assert read.pop("a file each") == 20
    assert set(read.values()) == {600}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("neighbour", neighbours(), ids=lambda neighbour: neighbour.package)
def test_other_loaders_read_all_rows_where_they_are_installed(neighbour, material):
    pytest.importorskip(neighbour.package)
    neighbour.write(material)
    for make in neighbour.ways.values():
        assert make(material, 0)() == 600


def test_the_table_has_a_line_for_each_way_that_is_there(monkeypatch):
    there, absent = [
        Neighbour(package=name, write=lambda _: None, ways={name: lambda *_: lambda: 600})
        for name in ("json", "no_such_package")
    ]
    monkeypatch.setattr(load, "neighbours", lambda: (there, absent))
    said = []
    rows = run(SMALL, said.append)
    assert [row.way for row in rows] == [*WAYS, "json"]
    assert "no_such_package is left out: it is not installed" in said
    assert all(row.rows_per_s > 0 for row in rows)
    assert next(row for row in rows if row.way == "zarr, whole shards").times_zarr == 1
    lines = table(rows).splitlines()
    assert len(lines) == 1 + len(rows)
    assert all(line.startswith(row.way) for line, row in zip(lines[1:], rows, strict=True))


def test_wrong_sizes_are_named():
    with pytest.raises(ValueError, match="num_files must be at most rows=600; got 601"):
        LoadBench(rows=600, num_files=601)
    for name in ("rows", "batch_size", "num_files", "repeats"):
        with pytest.raises(ValueError, match=f"{name} must be positive; got 0"):
            LoadBench(**{name: 0})
    with pytest.raises(ValueError, match=r"hidden needs one positive width or more; got \(\)"):
        LoadBench(hidden=())
