"""Processes share one file of key columns, and never serve what the records do not say."""

import multiprocessing
import os
import pickle
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pyarrow.dataset as ds
import pytest

from inrgen.loaders.key_file import share_key_columns
from inrgen.loaders.keys import KeyRequest, read_key_columns
from inrgen.store.files.cache import ShardCache
from inrgen.store.reader import Store, open_store
from inrgen.store.writer import StoreWriter, stage_block
from tests.loaders.conftest import Sample

MOST = 10**6


@pytest.fixture(autouse=True)
def shares_small_stores(monkeypatch):
    monkeypatch.setattr("inrgen.loaders.key_file._MIN_ROWS", 0)


@pytest.fixture
def scans(monkeypatch) -> list[str]:
    """Stores whose records were scanned."""
    found, real = [], Store.scan_records

    def scan(self, *args):
        found.append(self.path)
        return real(self, *args)

    monkeypatch.setattr(Store, "scan_records", scan)
    return found


def ask(path, **conditions) -> KeyRequest:
    store = open_store(path)
    return KeyRequest(store=store, spec_id=store.spec.spec_id, **conditions)


def check(keys, request: KeyRequest) -> None:
    wanted = read_key_columns(request)
    assert keys.fingerprint == wanted.fingerprint == keys.digest()
    every = np.arange(len(wanted.rows))
    for name in ("rows", "labels", "views", "items"):
        found = (getattr(which.origins(every), name).tolist() for which in (keys, wanted))
        assert next(found) == next(found)


def kept(folder) -> set[str]:
    return {file.name for file in folder.iterdir() if file.name != ".lock"}


@pytest.mark.parametrize("label", [lambda r: r.row // 4 % 3, lambda r: 2**40 + r.row])
def test_conditions_have_files_that_later_loaders_map(tmp_path, scans, label):
    sample = Sample(rows=48, seed=3)
    sample.records = [replace(record, label=label(record)) for record in sample.records]
    path, cache = sample.build(tmp_path / "store"), tmp_path / "cache"
    conditions = ({}, {"views": (1, 2)}, {"split": "val"}, {"filter": ds.field("row") > 30})
    for number, some in enumerate(conditions, 1):
        check(share_key_columns(ask(path, **some), cache, MOST), ask(path, **some))
        assert len(kept(cache)) == number
    scans.clear()
    found = [share_key_columns(ask(path, **some), cache, MOST) for some in conditions]
    sent = [pickle.loads(pickle.dumps(keys)) for keys in found]
    assert not scans
    for keys, some in zip(sent, conditions, strict=True):
        check(keys, ask(path, **some))


def test_a_store_that_grows_or_changes_gets_another_file(tmp_path):
    sample, path, cache = Sample(rows=600, seed=3), tmp_path / "store", tmp_path / "cache"
    sample.build(path)
    first = share_key_columns(ask(path), cache, MOST)
    sent = pickle.dumps(first)
    records = [replace(record, item_id=f"new/{record.row // 4}") for record in sample.records[:256]]
    flat = sample.flat[:256].copy()
    flat[9] = np.nan
    with StoreWriter(path) as writer:
        writer.replace(stage_block(path, sample.spec.spec_id, 0, flat, records))
        writer.finish()
    second = share_key_columns(ask(path), cache, MOST)
    check(second, ask(path))
    assert second.fingerprint != first.fingerprint
    assert len(kept(cache)) == 2
    # a loader that was sent before serves what it was made of, or refuses
    assert pickle.loads(sent).fingerprint == first.fingerprint
    for name in kept(cache):
        (cache / name).unlink()
    with pytest.raises(ValueError, match="has changed since the loader was made"):
        pickle.loads(sent)


@pytest.mark.parametrize("at", [0, 40, 70, 79, 81, -1, None])
def test_a_damaged_file_is_made_again(tmp_path, path, at):
    share_key_columns(ask(path), tmp_path, MOST)
    (name,) = kept(tmp_path)
    data = bytearray((tmp_path / name).read_bytes())
    if at is None:
        del data[-4:]
    else:
        data[at] ^= 1
    (tmp_path / name).write_bytes(data)
    check(share_key_columns(ask(path), tmp_path, MOST), ask(path))
    assert (tmp_path / name).read_bytes() != bytes(data)


def test_of_many_ranks_one_makes_the_file(tmp_path, path, scans):
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda _: share_key_columns(ask(path), tmp_path, MOST), range(4))
    assert len({keys.fingerprint for keys in found}) == 1
    assert len(scans) == len(kept(tmp_path)) == 1


def test_a_maker_that_is_killed_keeps_nobody_waiting(tmp_path, path, monkeypatch):
    def die(self, *args):
        os.kill(os.getpid(), signal.SIGKILL)

    def make() -> None:
        monkeypatch.setattr(Store, "scan_records", die)
        share_key_columns(ask(path), tmp_path, MOST)

    process = multiprocessing.get_context("fork").Process(target=make)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len(kept(tmp_path)) == 2
    check(share_key_columns(ask(path), tmp_path, MOST), ask(path))
    assert len(kept(tmp_path)) == 1


@pytest.mark.parametrize("reason", ["too large", "no folder", "full", "changes"])
def test_a_file_that_cannot_be_made_costs_memory_alone(tmp_path, path, monkeypatch, reason):
    cache, most = tmp_path / "cache", 100 if reason == "too large" else MOST
    if reason == "no folder":
        cache.write_bytes(b"")
    elif reason == "full":
        monkeypatch.setattr(ShardCache, "writing", lambda *_: (_ for _ in ()).throw(OSError(28)))
    elif reason == "changes":
        tags = iter("abc")
        monkeypatch.setattr(Store, "records_tag", lambda _: next(tags))
    keys = share_key_columns(ask(path), cache, most)
    assert keys.reopen is None
    check(keys, ask(path))
    check(pickle.loads(pickle.dumps(keys)), ask(path))
    assert reason == "no folder" or kept(cache) == set()
