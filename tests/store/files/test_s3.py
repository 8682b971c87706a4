"""Whatever a server or the network does, reading is right or raises a clear error."""

import numpy as np
import pytest

from inrgen.store.errors import DamagedStore, ServerFailed
from inrgen.store.files.cache import ShardCache
from inrgen.store.files.opening import open_files
from inrgen.store.layout import fragment_key, index_key, shard_key
from inrgen.store.reader import open_store
from tests.object_server import ANOTHER, Fault

SPOILT = ("refuse", "cut", "flip", "blank", "trickle")
pytestmark = pytest.mark.usefixtures("hurried", "quickly")
changes_conditions = pytest.mark.skipif(
    bool(ANOTHER), reason="another server sees that what was signed was changed on its way"
)


@pytest.fixture
def through(small_sample, bucket_url, object_endpoint, proxy) -> str:
    """A store behind the proxy."""
    small_sample.build(bucket_url)
    return bucket_url.replace(object_endpoint, proxy.endpoint)


def read_all(sample, url, tmp_path):
    """Read all rows, by Store and by the loaders' reader."""
    store, rows = open_store(url), np.arange(sample.layout.rows)
    shards = store.open_rows(cache=ShardCache(tmp_path / "cache", 10**6))
    target = np.zeros((len(rows), sample.spec.num_params), dtype=np.float32)
    for block in range(sample.layout.num_blocks):
        shards.prefetch(block)
        here = rows[rows // sample.layout.shard_rows == block]
        shards.copy(block, here, target, here)
    return store.read(rows).flat().numpy(), target


@pytest.mark.parametrize("kind", SPOILT)
@pytest.mark.parametrize("what", ["params/c/1", "zarr.json", "list-type"])
def test_a_fault_that_passes_is_not_noticed(small_sample, through, proxy, tmp_path, kind, what):
    if what == "list-type" and kind in ("flip", "blank"):
        pytest.skip("a listing carries no checksum")
    proxy.fault = Fault(kind, path=what, times=1)
    for read in read_all(small_sample, through, tmp_path):
        np.testing.assert_array_equal(read, small_sample.flat)
    assert proxy.fault.met > 1


@pytest.mark.parametrize("kind", ["refuse", "deaf"])
def test_a_server_that_is_back_after_a_while_is_waited_for(small_sample, through, proxy, kind):
    store, more_than_a_client_tries = open_store(through), 12
    for method, path in {"GET": "params/c/1", "PUT": "new"}.items():
        proxy.fault = Fault(kind, method=method, path=path, times=more_than_a_client_tries)
        if method == "PUT":
            assert open_files(through).create("new", b"abc")
        else:
            read = store.read(np.arange(small_sample.layout.rows)).flat().numpy()
            np.testing.assert_array_equal(read, small_sample.flat)
        assert proxy.fault.met > more_than_a_client_tries


def test_a_server_that_never_answered_is_not_waited_for(monkeypatch):
    monkeypatch.setattr("inrgen.store.files.s3_client._PATIENCE_S", 10**6)
    monkeypatch.setattr("inrgen.store.files.s3_client._answered", False)
    with pytest.raises(ServerFailed, match=r"127\.0\.0\.1:9.*tried for \d s in all"):
        open_store("s3://bucket/x?endpoint=http://127.0.0.1:9")


@pytest.mark.parametrize("kind", ["refuse", "flip"])
@pytest.mark.parametrize("gathered", [True, False])
def test_records_that_come_spoilt_once_are_read_right(
    small_sample, through, proxy, kind, gathered, tmp_path, monkeypatch
):
    columns = ["row", "item_id", "label", "psnr_db"]
    expected = open_store(small_sample.build(tmp_path / "here")).read_records(columns)
    key = index_key(small_sample.spec_id, range(small_sample.layout.num_blocks))
    if not gathered:
        open_files(through).remove(key)
        key = fragment_key(small_sample.spec_id, 0)
    for stays in (False, True):
        # index files are kept among this machine's temporary files
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / str(stays)))
        (tmp_path / str(stays)).mkdir()
        if stays:
            proxy.fault = Fault(kind, path=key)
            with pytest.raises(ServerFailed if kind == "refuse" else DamagedStore, match=key):
                open_store(through).read_records(["row"])
        else:
            proxy.fault = Fault(kind, path=key, times=1)
            assert open_store(through).read_records(columns).equals(expected)
            assert proxy.fault.met > 1


@pytest.mark.parametrize("kind", SPOILT)
def test_a_fault_that_stays_is_an_error_that_names_the_shard(
    small_sample, through, proxy, tmp_path, kind
):
    key = shard_key(small_sample.spec_id, 1)
    proxy.fault = Fault(kind, path=key)
    error = DamagedStore if kind in ("flip", "blank") else OSError
    with pytest.raises(error, match=key):
        read_all(small_sample, through, tmp_path)
    with pytest.raises(error, match=key):
        open_store(through).read([small_sample.layout.rows - 1])
    proxy.fault = None
    for read in read_all(small_sample, through, tmp_path):
        np.testing.assert_array_equal(read, small_sample.flat)


@pytest.mark.parametrize("kind", ["refuse", "deaf", "cut"])
def test_writes_are_repeated_until_they_are_heard_of(bucket_url, object_endpoint, proxy, kind):
    files = open_files(bucket_url.replace(object_endpoint, proxy.endpoint))
    for write in (files.put, files.create):
        proxy.fault = Fault(kind, method="PUT", times=2)
        key = write.__name__
        assert write(key, b"abc") in (None, True)
        assert files.read(key) == b"abc"
        assert not files.create(key, b"abc")
    proxy.fault = Fault(kind, method="PUT", times=2)
    tag = files.swap("lease", b"1", None)
    proxy.fault = Fault(kind, method="PUT", times=2)
    assert files.swap("lease", b"2", tag) is not None
    assert files.swap("lease", b"3", tag) is None
    assert files.read("lease") == b"2"


@changes_conditions
@pytest.mark.parametrize(
    ("kind", "header"), [("unconditional", "If-None-Match"), ("unmatched", "If-Match")]
)
def test_a_server_that_overlooks_conditions_is_not_written_to(through, proxy, kind, header):
    proxy.fault = Fault(kind, method="PUT")
    with (
        pytest.raises(OSError, match=rf"ignores {header}: stores can be read"),
        open_files(through).lock(),
    ):
        pytest.fail("locked")


@changes_conditions
def test_a_server_that_holds_tags_without_quotation_marks_is_written_to(through, proxy):
    proxy.fault = Fault("unquoted", method="PUT")
    files = open_files(through)
    for _ in range(2):
        with files.lock() as locked:
            locked.put("a", b"1")
    tag = files.swap("lease", b"1", None)
    assert files.swap("lease", b"2", tag) is not None
    assert files.swap("lease", b"3", tag) is None
    assert files.read("lease") == b"2"


@pytest.mark.parametrize("name", ["new", ""])
@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("mismatch", "refuses If-Match with its own tag"),
        ("unknown", "lacks a request that writing needs; stores can be read"),
    ],
)
def test_a_server_that_refuses_right_tags_is_not_written_to(through, proxy, name, kind, what):
    proxy.fault = Fault(kind, method="PUT")
    with (
        pytest.raises(OSError, match=what),
        open_files(through.replace("?", f"/{name}?")).lock(),
    ):
        pytest.fail("locked")


def test_errors_say_what_to_do(bucket_url, object_bucket):
    with pytest.raises(FileNotFoundError, match=r"is not an inrgen store"):
        open_store(bucket_url)
    nowhere = bucket_url.replace(object_bucket[1], "no-such-bucket")
    for use in (open_store, lambda url: open_files(url).create("a", b"")):
        with pytest.raises(OSError, match=r"s3://no-such-bucket/.*there is no such bucket"):
            use(nowhere)
