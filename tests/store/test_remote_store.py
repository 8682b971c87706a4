"""A store on a server has the same bytes as in a folder."""

from pathlib import Path
from threading import Event

import numpy as np
import pytest
import zarr
from zarr.storage import ObjectStore

from inrgen.store.content import content_sha256
from inrgen.store.errors import ServerFailed
from inrgen.store.files.location import make_absolute, make_relative, parse_url, resolve_relative
from inrgen.store.files.opening import open_files
from inrgen.store.files.s3_client import make_client
from inrgen.store.layout import (
    CONTENT_NOTE,
    INDEX,
    LOCK,
    fragment_key,
    parse_index_name,
    shard_key,
)
from inrgen.store.quality import measure_quality
from inrgen.store.reader import open_store
from inrgen.store.verify import salvage_block, verify_store
from inrgen.store.writer import StoreWriter, stage_block
from tests.object_server import Fault


def contents(location) -> dict[str, bytes]:
    files = open_files(location)
    return {key: files.read(key) for key in files.all_keys() if key != LOCK}


@pytest.fixture
def url(small_sample, bucket_url) -> str:
    return small_sample.build(bucket_url)


def test_it_holds_the_same_bytes(small_sample, url, tmp_path):
    here, there = contents(small_sample.build(tmp_path / "store")), contents(url)
    # besides the records in one file, for which a server needs one request
    (index,) = set(there) - set(here)
    assert parse_index_name(index.removeprefix(f"{INDEX}/")) == (small_sample.spec_id, range(2))
    assert {key: there[key] for key in here} == here
    assert open_files(url).top_names() == {
        LOCK,
        CONTENT_NOTE,
        *(key.split("/")[0] for key in contents(url)),
    }
    store, local = open_store(url), open_store(tmp_path / "store")
    np.testing.assert_array_equal(store.read([7, 7, 200]).flat(), local.read([7, 7, 200]).flat())
    assert measure_quality(store) == measure_quality(local)


def test_zarr_alone_reads_it(small_sample, url):
    client = make_client(parse_url(url), writes=False)
    root = zarr.open_group(ObjectStore(client, read_only=True), mode="r")
    np.testing.assert_array_equal(root[f"{small_sample.spec_id}/params"][:], small_sample.flat)


def test_damage_is_found_and_replaced(small_sample, url):
    key = shard_key(small_sample.spec_id, 1)
    files, shard = open_files(url), bytearray(open_files(url).read(key))
    shard[100] ^= 1
    files.put(key, shard)
    report = verify_store(url)
    assert report.bad_blocks == {small_sample.spec_id: [1]}
    left = salvage_block(url, small_sample.spec_id, 1)
    rows = small_sample.layout.block_rows(1)
    with StoreWriter(url) as writer:
        flat = small_sample.flat[rows.start : rows.stop]
        writer.replace(stage_block(url, small_sample.spec_id, 1, flat, left.records))
    assert verify_store(url).ok
    files.remove(fragment_key(small_sample.spec_id, 0))
    assert [finding.kind for finding in verify_store(url).findings] == ["lost_records"]


def test_another_store_is_refused_and_a_foreign_prefix_too(small_sample, url, bucket_url):
    files = open_files(bucket_url.replace("?", "/inside?"))
    files.put("note.txt", b"x")
    with pytest.raises(FileExistsError, match=r"holds note\.txt"):
        small_sample.build(bucket_url.replace("?", "/inside?"))


@pytest.mark.parametrize(
    ("location", "what"),
    [
        ("s3://bucket", "a store is a folder, s3://BUCKET/PREFIX"),
        ("https://host/store", "a store is a folder, s3://BUCKET/PREFIX"),
        ("s3://key:secret@bucket/x", "must hold no credentials"),
        ("s3://bucket/x?secret_access_key=k", "may set endpoint, region, anonymous; got secret"),
        ("s3://bucket/x?anonymous=perhaps", "anonymous must be true or false"),
        (Path("s3://bucket/x"), "must be text"),
    ],
)
def test_locations_that_are_none(location, what):
    with pytest.raises(ValueError, match=what):
        open_store(location)


def test_a_location_is_the_same_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert make_absolute("a/b") == make_absolute(Path("a/b")) == str(tmp_path / "a" / "b")
    url = "s3://bucket/x/y?endpoint=http://127.0.0.1:1"
    assert make_absolute(url) == url


@pytest.mark.parametrize("start", ["/a/b/store", "s3://bucket/x"])
@pytest.mark.parametrize("location", ["/a/c", "/a/b/store/in", "s3://other/y?region=r"])
def test_a_noted_location_is_found_again(start, location):
    assert resolve_relative(start, make_relative(start, location)) == location


def test_folders_that_move_together_find_each_other():
    assert resolve_relative("/new/b", make_relative("/old/b", "/old/a")) == "/new/a"


def test_commits_pass_each_other_and_errors_are_raised_in_the_end(
    small_sample, bucket_url, object_endpoint, proxy, hurried
):
    whole = contents(small_sample.build(bucket_url.replace("?", "/whole?")))
    url = bucket_url.replace("?", "/slow?").replace(object_endpoint, proxy.endpoint)
    committed, waited = Event(), []
    first = shard_key(small_sample.spec_id, 0)

    def hold_the_first(method: str, path: str) -> None:
        if method == "PUT" and fragment_key(small_sample.spec_id, 1) in path:
            committed.set()
        elif method == "PUT" and first in path:
            waited.append(committed.wait(5))

    def fill() -> None:
        with StoreWriter(url) as writer:
            for block in (0, 1, 0):
                writer.begin_commit(small_sample.stage(url, block))

    small_sample.create(url)
    proxy.on_request, proxy.fault = hold_the_first, Fault("refuse", method="PUT", path=first)
    with pytest.raises(ServerFailed, match=r"params/c/0/0|staging"):
        fill()
    assert all(waited)
    assert open_store(url).committed() == [1]
    proxy.fault = None
    fill()
    with StoreWriter(url) as writer:
        assert not writer.commit(small_sample.stage(url, 0))
        writer.finish()
    assert contents(url) == whole
    assert open_files(url).names("_staging") == []


def test_the_noted_digest_is_believed_while_records_are_the_same(
    small_sample, bucket_url, object_endpoint, proxy, tmp_path
):
    url = bucket_url.replace(object_endpoint, proxy.endpoint)
    paths = list[str]()
    proxy.on_request = lambda method, path: paths.append(path) if method == "GET" else None
    small_sample.build(url)
    path, files = small_sample.build(tmp_path / "store"), open_files(url)
    whole = content_sha256(path)
    # the driver has fetched each fragment once, for the index
    assert len({path for path in paths if path.endswith(".parquet")}) == 2
    paths.clear()
    assert content_sha256(url) == whole
    assert not [path for path in paths if path.endswith(".parquet")]
    note = files.read(CONTENT_NOTE)
    files.put(CONTENT_NOTE, note.replace(whole.encode(), b"0" * 64))
    assert content_sha256(url) == whole
    files.put(CONTENT_NOTE, note)
    flat = small_sample.flat[:129] + 1
    for there in (url, path):
        with StoreWriter(there) as writer:
            spec_id, records = small_sample.spec_id, small_sample.records[:129]
            writer.replace(stage_block(there, spec_id, 0, flat, records))
    # this driver has not finished the store, so the note is of the replaced records
    assert files.read(CONTENT_NOTE) == note
    changed = content_sha256(path)
    assert content_sha256(url) == changed != whole
    small_sample.build(url)
    assert files.read(CONTENT_NOTE) != note
    assert content_sha256(url) == changed
