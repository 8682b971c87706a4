"""Reading a little of a store on a server fetches little, once, and all of it is checked."""

import numpy as np
import pytest

from inrgen.store.errors import DamagedStore
from inrgen.store.files.opening import open_files
from inrgen.store.layout import shard_key
from inrgen.store.reader import open_store
from inrgen.store.writer import StoreWriter, stage_block
from tests.object_server import Fault

pytestmark = pytest.mark.usefixtures("hurried")


@pytest.fixture
def url(sample, bucket_url, object_endpoint, proxy, tmp_path, monkeypatch) -> str:
    """URL of the sample behind the proxy; this process's cache is empty."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("inrgen.store.remote_chunks.REPLACING_S", 0.0)
    sample.build(bucket_url)
    return bucket_url.replace(object_endpoint, proxy.endpoint)


@pytest.fixture
def fetched(proxy) -> list[str]:
    """Shards of which something was fetched, and index files, in order."""
    paths: list[str] = []

    def note(method: str, path: str) -> None:
        if method == "GET" and ("/params/c/" in path or (".parquet" in path and "/index/" in path)):
            paths.append(path.partition("/params/")[2] or "index")

    proxy.on_request = note
    return paths


def check(store, sample, rows) -> None:
    np.testing.assert_array_equal(store.read(rows).flat().numpy(), sample.flat[rows])


def test_chunks_are_fetched_once_by_all_readers(sample, url, fetched):
    # blocks hold 258 rows in two chunks
    rows = [300, 7, 390, 301]
    store = open_store(url)
    check(store, sample, rows)
    assert fetched == ["c/0/0", "c/1/0"]
    check(store, sample, [8, 300])
    check(open_store(url), sample, rows)
    assert len(fetched) == 2
    check(store, sample, [200])
    assert fetched == ["c/0/0", "c/1/0", "c/0/0"]


def test_another_blocks_shard_and_damaged_chunks_do_not_pass(sample, url, tmp_path):
    files = open_files(url)
    keys = [shard_key(sample.spec_id, block) for block in range(3)]
    good = [files.read(key) for key in keys]
    files.put(keys[0], good[1])
    store = open_store(url)
    with pytest.raises(DamagedStore, match="c/0/0 is not the shard that"):
        store.read([200])
    damaged = bytearray(good[1])
    damaged[100] ^= 1
    files.put(keys[1], damaged)
    check(store, sample, [258 + 130])
    with pytest.raises(DamagedStore, match=r"rows 258\.\.386 in .* do not match their checksum"):
        store.read([258])
    files.put(keys[2], good[2][:-1])
    with pytest.raises(DamagedStore, match=r"must have \d+ bytes"):
        store.read([516])
    # nothing wrong was cached
    for key, data in zip(keys, good, strict=True):
        files.put(key, data)
    check(open_store(url), sample, [200, 258, 516])


def test_what_goes_wrong_on_the_way_or_rots_in_the_cache_is_fetched_again(sample, url, proxy):
    proxy.fault = Fault("flip", path="/params/c/0/0", times=1)
    store = open_store(url)
    check(store, sample, [3])
    assert proxy.fault.met == 2
    (file,) = store._readers[sample.spec_id]._source._cache.folder.glob("*.shard")
    file.write_bytes(b"\1" + file.read_bytes()[1:])
    check(open_store(url), sample, [3])


def test_rows_are_those_of_the_block_that_replaced_another(sample, url):
    store = open_store(url)
    check(store, sample, [0])
    new = sample.flat[:258] + 1
    with StoreWriter(url) as writer:
        writer.replace(stage_block(url, sample.spec_id, 0, new, sample.records[:258]))
    for reader, row in ((store, 200), (open_store(url), 0)):
        np.testing.assert_array_equal(reader.read([row]).flat().numpy(), new[[row]])


def test_older_records_name_no_chunks_and_whole_shards_are_read(sample, url, fetched, monkeypatch):
    monkeypatch.setattr("inrgen.store.writer.chunk_checksums", lambda *_: "")
    with StoreWriter(url) as writer:
        writer.replace(stage_block(url, sample.spec_id, 0, sample.flat[:258], sample.records[:258]))
    check(open_store(url), sample, [0, 200])
    assert fetched == ["c/0/0"]


def test_index_files_are_fetched_once_by_all_readers(sample, url, fetched, tmp_path):
    with StoreWriter(url, fragments_per_index=8) as writer:
        writer.finish()
    fetched.clear()
    expected = open_store(url).read_records(["row", "label"])
    assert fetched == ["index"] * 3
    assert open_store(url).read_records(["row", "label"]).equals(expected)
    assert len(fetched) == 3
    for file in tmp_path.glob("*/*.shard"):
        file.write_bytes(b"\1" + file.read_bytes()[1:])
    assert open_store(url).read_records(["row", "label"]).equals(expected)
    assert len(fetched) == 6
