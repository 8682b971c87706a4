"""A lease has one holder, runs out when that is killed, and stops writes of a former holder."""

import copy
import json
import time

import pytest

from inrgen.store.errors import StoreBusy
from inrgen.store.files import lease
from inrgen.store.files.lease import Lease
from inrgen.store.files.opening import open_files
from inrgen.store.layout import LOCK, ROOT_COPY
from inrgen.store.verify import restore_documents, verify_store
from inrgen.store.writer import StoreWriter

LEASE_S = 1.5


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(lease, "LEASE_S", LEASE_S)


def silence(held: Lease) -> None:
    """Stop renewals, as if the holder were killed, stopped or cut off."""
    held._ended.set()
    held._heart.join()


def test_it_is_kept_while_its_holder_lives(bucket_url):
    with open_files(bucket_url).lock():
        time.sleep(1.5 * LEASE_S)
        began = time.monotonic()
        with pytest.raises(StoreBusy, match=r"another process is writing to s3.*process \d+ on "):
            open_files(bucket_url).lock().__enter__()
        assert time.monotonic() - began < LEASE_S


def test_a_former_holder_writes_no_more(bucket_url):
    files = open_files(bucket_url)
    lost = Lease(files)
    fenced = copy.copy(files)
    fenced._lease = lost
    fenced.put("a", b"1")
    silence(lost)
    began = time.monotonic()
    with files.lock() as after:
        assert time.monotonic() - began > LEASE_S * 0.9
        after.put("b", b"2")
        for write in (
            lambda: fenced.put("a", b"3"),
            lambda: fenced.create("c", b"3"),
            lambda: fenced.move("b", "c"),
            lambda: fenced.remove("b"),
        ):
            with pytest.raises(StoreBusy, match="another process has taken over s3"):
                write()
        assert sorted(files.all_keys()) == ["a", "b"]
        assert (files.read("a"), files.read("b")) == (b"1", b"2")
    lost.release()


def test_a_slow_holder_goes_on(bucket_url):
    files = open_files(bucket_url)
    held = Lease(files)
    silence(held)
    time.sleep(1.2 * LEASE_S)
    fenced = copy.copy(files)
    fenced._lease = held
    fenced.put("a", b"1")
    assert files.read("a") == b"1"
    held.release()


def test_released_it_is_free_at_once(bucket_url):
    files = open_files(bucket_url)
    began = time.monotonic()
    for _ in range(3):
        with files.lock():
            assert not json.loads(files.read(LOCK))["released"]
    assert json.loads(files.read(LOCK))["released"]
    # an unreleased lease would be waited for, here twice
    assert time.monotonic() - began < 2 * LEASE_S


def test_a_store_copied_from_a_folder_is_written_there(small_sample, bucket_url, tmp_path):
    """The lock file of a folder is empty and keeps nobody out."""
    small_sample.build(tmp_path / "store")
    files, local = open_files(bucket_url), small_sample.content(tmp_path / "store")
    assert local[LOCK] == b""
    for key, data in local.items():
        files.put(key, data)
    files.put(ROOT_COPY, b"x")
    assert [found.key for found in restore_documents(bucket_url)] == [ROOT_COPY]
    with StoreWriter(bucket_url) as writer:
        writer.replace(small_sample.stage(bucket_url, 1))
        writer.finish()
    assert verify_store(bucket_url).ok
    assert json.loads(files.read(LOCK))["released"]


@pytest.mark.parametrize("text", [b"held by me", b"[]", b"{}", b"\xff"])
def test_what_is_no_lease_is_named(bucket_url, text):
    files = open_files(bucket_url)
    files.put(LOCK, text)
    with pytest.raises(ValueError, match=rf"{LOCK} of s3://.* must be a lease or empty"):
        files.lock().__enter__()
    assert files.read(LOCK) == text
