"""The loading bench: every reader reads all of its rows and has a line in the table."""

import pytest

from inrgen.core.spec import InrSpec
from pipelines.bench.load import LoadBench, run, table
from pipelines.bench.load_readers import READERS, RowFiles, write_rows
from pipelines.bench.other_loaders import OtherLoader, list_loaders

SMALL = LoadBench(rows=600, hidden=(3,), batch_size=64, num_files=20, repeats=2)


@pytest.fixture
def files(tmp_path) -> RowFiles:
    """Write 600 rows in every form that our own readers read."""
    spec = InrSpec(widths=(2, 3, 1), omega=(30.0,))
    files = RowFiles(folder=tmp_path, spec=spec, rows=600, num_files=20, batch_size=64)
    write_rows(files)
    return files


def test_every_reader_reads_all_its_rows(files):
    read = {name: make(files, 0)() for name, make in READERS.items()}
    assert read.pop("a file each") == 20
    assert set(read.values()) == {600}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("loader", list_loaders(), ids=lambda loader: loader.package)
def test_other_loaders_read_all_rows_where_they_are_installed(loader, files):
    pytest.importorskip(loader.package)
    loader.write(files)
    for make in loader.readers.values():
        assert make(files, 0)() == 600


def test_the_table_has_a_line_for_each_reader_that_is_installed(monkeypatch):
    there, absent = [
        OtherLoader(package=name, write=lambda _: None, readers={name: lambda *_: lambda: 600})
        for name in ("json", "no_such_package")
    ]
    monkeypatch.setattr("pipelines.bench.other_loaders.list_loaders", lambda: (there, absent))
    said = []
    rows = run(SMALL, said.append)
    assert [row.way for row in rows] == [*READERS, "json"]
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
    with pytest.raises(ValueError, match=r"hidden needs at least one positive width; got \(\)"):
        LoadBench(hidden=())
