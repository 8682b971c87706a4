"""A store has one driver, and a block is committed once or not at all."""

import pickle
import resource
import subprocess
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from inrgen.store.errors import DamagedStore, StoreBusy
from inrgen.store.files.opening import open_files
from inrgen.store.layout import STAGING, shard_key
from inrgen.store.reader import open_store
from inrgen.store.verify import verify_store
from inrgen.store.writer import StoreWriter, stage_block

pytestmark = pytest.mark.usefixtures("quickly")


def test_a_second_driver_is_refused(sample, tmp_path):
    sample.create(tmp_path)
    with StoreWriter(tmp_path), pytest.raises(StoreBusy, match=str(tmp_path)):
        StoreWriter(tmp_path).__enter__()
    with StoreWriter(tmp_path):
        pass


def test_committing_again_is_harmless(sample, tmp_path):
    sample.create(tmp_path)
    with StoreWriter(tmp_path) as writer:
        assert writer.commit(sample.stage(tmp_path, 0))
        again = sample.stage(tmp_path, 0)
        assert not writer.commit(again)
        assert not (tmp_path / again.key).exists()
        assert writer.pending(sample.spec_id) == list(range(1, 17))
    assert verify_store(tmp_path).bad_blocks == {sample.spec_id: list(range(1, 17))}


def test_staged_blocks_are_not_seen_travel_well_and_are_swept(sample, tmp_path):
    sample.create(tmp_path)
    staged = sample.stage(tmp_path, 2)
    assert pickle.loads(pickle.dumps(staged)) == staged
    assert open_store(tmp_path).committed() == []
    assert open_store(tmp_path).records.count_rows() == 0
    with StoreWriter(tmp_path) as writer:
        assert list((tmp_path / STAGING).iterdir()) == []
        with pytest.raises(DamagedStore, match="do all workers see the same folder"):
            writer.commit(staged)


def _fail_after(sample, path, num_committed, error):
    with StoreWriter(path) as writer, writer.removed_if_refused():
        writer.stage_file("items", b"1")
        for block in range(num_committed):
            writer.commit(sample.stage(path, block))
        raise error


@pytest.mark.parametrize("place", ["folder", "server"])
@pytest.mark.parametrize(
    ("error", "num_committed", "stays"),
    [(ValueError("no"), 0, False), (ValueError("no"), 1, True), (OSError("no"), 0, True)],
)
def test_refused_work_leaves_no_store(
    error, num_committed, stays, place, small_sample, tmp_path, request
):
    path = request.getfixturevalue("bucket_url") if place == "server" else tmp_path / "store"
    small_sample.create(path)
    with pytest.raises(type(error), match="no"):
        _fail_after(small_sample, path, num_committed, error)
    assert bool(list(open_files(path).all_keys())) == stays
    assert place == "server" or (tmp_path / "store").exists() == stays
    small_sample.create(path)
    with StoreWriter(path) as writer:
        assert writer.pending(small_sample.spec_id) == list(range(num_committed, 2))


def test_refused_work_leaves_foreign_files_alone(small_sample, tmp_path):
    small_sample.create(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="no"):
        _fail_after(small_sample, tmp_path, 0, ValueError("no"))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_order_does_not_matter(sample, store, tmp_path):
    other = tmp_path / "other"
    sample.create(other)
    with StoreWriter(other) as writer:
        staged = [sample.stage(other, block) for block in reversed(range(17))]
        for block in staged[::2] + staged[1::2]:
            writer.commit(block)
        writer.finish()
    files = [sorted(p for p in path.rglob("*") if p.is_file()) for path in (store, other)]
    assert [f.read_bytes() for f in files[0]] == [f.read_bytes() for f in files[1]]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda flat, records: (flat[1:], records), "flat of block 0 must be"),
        (lambda flat, records: (flat[:, 1:], records), "flat of block 0 must be"),
        (lambda flat, records: (flat, records[1:]), "records of block 0 must be of rows"),
        (lambda flat, records: (flat, records[::-1]), "records of block 0 must be of rows"),
        (
            lambda flat, records: (flat, [replace(r, spec_id="other") for r in records]),
            "records must have spec_id",
        ),
    ],
)
def test_wrong_blocks_are_refused(sample, tmp_path, change, sentence):
    sample.create(tmp_path)
    flat, records = change(sample.flat[:258], sample.records[:258])
    with pytest.raises(ValueError, match=sentence):
        stage_block(tmp_path, sample.spec_id, 0, flat, records)


def test_an_index_stands_for_its_fragments(sample, store):
    before = open_store(store).records.to_table()
    with StoreWriter(store, fragments_per_index=8) as writer:
        writer.finish()
    indexed = open_store(store).records
    assert len(indexed.files) == 3
    # text, because Arrow does not hold NaN equal to NaN
    np.testing.assert_equal(indexed.to_table().to_pydict(), before.to_pydict())
    assert indexed.schema.equals(before.schema)
    rows = sample.layout.block_rows(9)
    cut = slice(rows.start, rows.stop)
    changed = [replace(record, num_steps=77) for record in sample.records[cut]]
    with StoreWriter(store) as writer:
        writer.replace(stage_block(store, sample.spec_id, 9, sample.flat[cut], changed))
    # 8 blocks of an index, 8 fragments, and the single block of the last index
    records = open_store(store).records
    assert len(records.files) == 10
    steps = records.to_table(columns=["row", "num_steps"]).to_pydict()
    assert [r for r, n in zip(steps["row"], steps["num_steps"], strict=True) if n == 77] == list(
        rows
    )
    assert verify_store(store).ok


def test_an_index_comes_with_the_last_of_its_blocks(sample, tmp_path, monkeypatch):
    # row groups of two blocks here; a block has 258 rows
    monkeypatch.setattr("inrgen.store.index._GROUP_ROWS", 300)
    path, whole = tmp_path / "store", tmp_path / "whole"
    for store, stops in ((whole, [17]), (path, [5, 12, 17])):
        sample.create(store)
        for stop in stops:
            with StoreWriter(store, fragments_per_index=4) as writer:
                for block in writer.pending(sample.spec_id):
                    if block < stop:
                        writer.commit(sample.stage(store, block))
                if stop == 17:
                    writer.finish()
            records = open_store(store).records
            assert len(records.files) == stop // 4 + stop % 4 if stop < 17 else 5
            assert records.count_rows() == min(stop * 258, sample.rows)
    assert sample.content(path) == sample.content(whole)
    index = pq.read_metadata(path / "index" / f"{sample.spec_id}.00000000-00000004.parquet")
    assert [index.row_group(at).num_rows for at in range(index.num_row_groups)] == [516, 516]
    assert open_store(path).read_records(["row"])["row"].to_pylist() == list(range(sample.rows))
    assert verify_store(path).ok


def _fill_until_full(sample, path):
    """Build until it fails with an OSError that names a file of the store."""
    with pytest.raises(OSError, match=str(path)) as caught:
        sample.build(path)
    assert caught.value.errno is not None
    assert not list((path / STAGING).glob("*")), "the part that was written still takes up room"


def test_a_file_size_limit_leaves_a_store_that_resumes(sample, store, tmp_path):
    path = tmp_path / "limited"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        for limit in (100, 8000, 13_000):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
            _fill_until_full(sample, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert verify_store(sample.build(path)).ok


def test_a_full_disk_leaves_a_store_that_resumes(sample, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=160k", "none", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk is not permitted here")
    try:
        path = disk / "store"
        _fill_until_full(sample, path)
        store = open_store(path)
        assert 0 < len(store.committed()) < 17
        for block in store.committed():
            rows = sample.layout.block_rows(block)
            read = store.read(rows).flat().numpy()
            np.testing.assert_array_equal(read, sample.flat[rows.start : rows.stop])
        remount = ["mount", "-o", "remount,size=10m", str(disk)]
        subprocess.run(remount, check=True)
        assert verify_store(sample.build(path)).ok
    finally:
        # lazily, since readers keep their shards mapped until they are collected
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_replaced_shard_does_not_disturb_readers(sample, store):
    reader = open_store(store)
    before = reader.read(range(258)).flat()
    with StoreWriter(store) as writer:
        staged = stage_block(store, sample.spec_id, 0, sample.flat[:258] + 1, sample.records[:258])
        writer.replace(staged)
    again = reader.read(range(258)).flat()
    np.testing.assert_array_equal(again.numpy(), before.numpy())
    fresh = pickle.loads(pickle.dumps(reader)).read(range(258)).flat()
    np.testing.assert_array_equal(fresh.numpy(), sample.flat[:258] + 1)
    assert not list(store.rglob("*.shard"))
    assert (store / shard_key(sample.spec_id, 0)).stat().st_nlink == 1
