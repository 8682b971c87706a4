"""Files behave the same in a folder and on a server."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pyarrow.parquet as pq
import pytest

from inrgen.store.errors import StoreBusy
from inrgen.store.files.opening import open_files
from inrgen.store.fragment import encode_parquet
from inrgen.store.layout import LOCK, STAGING
from inrgen.store.records import FIT_SCHEMA


@pytest.fixture(params=["folder", "server"])
def location(request, tmp_path):
    return (
        tmp_path / "store" if request.param == "folder" else request.getfixturevalue("bucket_url")
    )


@pytest.fixture
def files(location):
    files = open_files(location)
    files.prepare()
    return files


def test_what_was_put_is_read(files):
    for key, data in {"a": b"", "b/c/d": bytes(range(256)) * 30, "b/e": bytearray(b"x")}.items():
        files.put(key, data)
        assert files.read(key) == bytes(data)
        assert files.map(key).tobytes() == bytes(data)
        assert files.size_bytes(key) == len(data)
    assert files.read_range("b/c/d", 250, 259)[0] == bytes([*range(250, 256), 0, 1, 2])


def test_what_is_not_there_is_said_to_be(files):
    assert files.size_bytes("a/b") is None
    assert files.names("a") == []
    for read in (files.read, files.map):
        with pytest.raises(FileNotFoundError, match="a/b"):
            read("a/b")
    files.remove("a/b")


def test_names_are_those_right_in_a_folder(files):
    for key in ("r/2", "r/10", "r/deeper/1", "rr/3", "_staging/x", "top", "r/_in"):
        files.put(key, b"x")
    assert files.names("r") == ["10", "2", "_in"]
    assert files.top_names() == {"r", "rr", "_staging", "top"}
    assert sorted(files.all_keys()) == ["r/10", "r/2", "r/_in", "r/deeper/1", "rr/3", "top"]


def test_of_many_creators_one_succeeds(files):
    together = threading.Barrier(6)

    def create(data: bytes) -> bool:
        together.wait()
        return files.create("r/x", data)

    with ThreadPoolExecutor(6) as pool:
        created = list(pool.map(create, [b"%d" % n for n in range(6)]))
    assert sum(created) == 1
    assert files.read("r/x") == b"%d" % created.index(True)
    assert not files.create("r/x", files.read("r/x"))
    assert list(files.all_keys()) == ["r/x"]


def test_a_move_replaces_and_leaves_nothing_behind(files):
    files.put("_staging/a", b"new")
    files.put("b/c", b"old")
    files.move("_staging/a", "b/c")
    assert files.read("b/c") == b"new"
    assert files.size_bytes("_staging/a") is None
    with pytest.raises(FileNotFoundError, match="_staging/a"):
        files.move("_staging/a", "b/c")
    assert files.read("b/c") == b"new"


def test_removed_is_gone(files):
    files.put("b/c", b"x")
    files.remove("b/c")
    assert files.size_bytes("b/c") is None
    files.remove("b/c")


def test_one_driver_at_a_time(location, files, monkeypatch):
    monkeypatch.setattr("inrgen.store.files.lease.LEASE_S", 1.0)
    with files.lock() as locked:
        locked.put("a", b"1")
        with (
            pytest.raises(StoreBusy, match="another process is writing to "),
            open_files(location).lock(),
        ):
            pytest.fail("two drivers")
    with files.lock() as locked:
        assert locked.create("b", b"2")
        assert not locked.create("b", b"3")
        locked.move("a", "c")
        locked.remove("b")
        assert locked.top_names() - {STAGING} == {"c", LOCK}
        assert (locked.read("c"), locked.size_bytes("c")) == (b"1", 1)
        assert locked.map("c").tobytes() == b"1"


def test_pyarrow_reads_them(files):
    table = FIT_SCHEMA.empty_table()
    files.put("records/x.parquet", encode_parquet([table], FIT_SCHEMA, lambda: {"a": 1}))
    with files.arrow().open_input_file("records/x.parquet") as file:
        assert pq.read_table(file).equals(table)
    infos = files.arrow().get_file_info(["records/x.parquet", "records/y.parquet"])
    assert infos[0].size == files.size_bytes("records/x.parquet")
    assert [info.is_file for info in infos] == [True, False]


def test_a_folder_needs_no_client_of_a_server():
    code = (
        "import sys, tempfile\n"
        "import inrgen.store.files.cache, inrgen.store.files.lease, inrgen.store.files.protocol\n"
        "from inrgen.store.files import open_files\n"
        "open_files(tempfile.gettempdir())\n"
        "sys.exit('obstore' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_names_and_errors_are_light_to_import():
    code = (
        "import sys\n"
        "import inrgen.store.files.location, inrgen.store.layout, inrgen.store.errors\n"
        "sys.exit(len({'pyarrow', 'torch', 'zarr'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
