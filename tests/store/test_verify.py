"""Verification finds and locates any alteration, and all other rows can be saved."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inrgen.store.content import content_sha256
from inrgen.store.create import create_store
from inrgen.store.errors import DamagedStore
from inrgen.store.layout import ROOT_COPY, ROOT_DOCUMENT, fragment_key, shard_key
from inrgen.store.reader import open_store
from inrgen.store.verify import restore_documents, salvage_block, verify_store
from inrgen.store.writer import StoreWriter, stage_block

pytestmark = pytest.mark.usefixtures("quickly")


@pytest.fixture(scope="module")
def whole(sample, tmp_path_factory):
    """One store for many tests; each test restores what it alters."""
    return sample.build(tmp_path_factory.mktemp("whole") / "store")


def _kinds(report):
    return {(finding.kind, finding.key) for finding in report.findings}


def _files(path):
    return sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("_"))


def test_a_good_store_has_no_findings(sample, whole):
    told = []
    report = verify_store(whole, told.append)
    assert report.ok
    assert report.findings == ()
    assert (report.num_blocks, report.num_rows) == (17, 4257)
    assert report.num_bytes == sum(file.stat().st_size for file in _files(whole))
    assert sum(told) == 4257


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_every_flipped_bit_is_found(sample, whole, data):
    file = data.draw(st.sampled_from(_files(whole)))
    before = file.read_bytes()
    at = data.draw(st.integers(0, len(before) - 1))
    altered = bytearray(before)
    altered[at] ^= 1 << data.draw(st.integers(0, 7))
    file.write_bytes(altered)
    try:
        report = verify_store(whole)
    finally:
        file.write_bytes(before)
    key = file.relative_to(whole).as_posix()
    assert {finding.key for finding in report.findings} == {key}


def test_the_second_copy_of_the_root_counts_too(small_sample, tmp_path):
    path = small_sample.build(tmp_path / "store")
    file = path / ROOT_COPY
    before = file.read_bytes()
    for at in range(0, len(before), 11):
        file.write_bytes(before[:at] + bytes([before[at] ^ 1]) + before[at + 1 :])
        assert _kinds(verify_store(path)) == {("document", ROOT_COPY)}


@pytest.mark.parametrize("chunk", [0, 1])
def test_a_flipped_byte_costs_the_rows_of_its_chunk(sample, whole, chunk):
    file = whole / shard_key(sample.spec_id, 3)
    before = file.read_bytes()
    altered = bytearray(before)
    altered[chunk * (129 * 13 * 4 + 4) + 100] ^= 1
    file.write_bytes(altered)
    try:
        report = verify_store(whole)
        saved = salvage_block(whole, sample.spec_id, 3)
        with pytest.raises(DamagedStore, match=r"rows \d+\.\.\d+ .*checksum"):
            open_store(whole).read(range(774, 1032))
        intact = range(774, 903) if chunk else range(903, 1032)
        open_store(whole).read(intact)
    finally:
        file.write_bytes(before)
    first = 774 + 129 * chunk
    assert [finding.rows for finding in report.findings] == [((first, first + 129),)]
    assert report.bad_blocks == {sample.spec_id: [3]}
    good = np.arange(258) // 129 != chunk
    np.testing.assert_array_equal(saved.good, good)
    np.testing.assert_array_equal(saved.flat[good], sample.flat[774:1032][good])
    assert np.isnan(saved.flat[~good]).all()
    assert repr(saved.records) == repr(tuple(sample.records[774:1032]))


def test_a_damaged_index_costs_no_rows(sample, whole):
    file = whole / shard_key(sample.spec_id, 3)
    before = file.read_bytes()
    file.write_bytes(before[:-3] + bytes([before[-3] ^ 1]) + before[-2:])
    try:
        report = verify_store(whole)
        saved = salvage_block(whole, sample.spec_id, 3)
    finally:
        file.write_bytes(before)
    assert [(f.kind, f.rows) for f in report.findings] == [("damaged_shard", ())]
    assert saved.good.all()


@pytest.mark.parametrize("length", [0, 1, 5000, 6712, 6716, 13400])
def test_a_truncated_shard(sample, whole, length):
    file = whole / shard_key(sample.spec_id, 0)
    before = file.read_bytes()
    file.write_bytes(before[:length])
    try:
        report = verify_store(whole)
        saved = salvage_block(whole, sample.spec_id, 0)
        with pytest.raises(DamagedStore, match="must have 13460 bytes"):
            open_store(whole).read([0])
    finally:
        file.write_bytes(before)
    assert _kinds(report) == {("damaged_shard", shard_key(sample.spec_id, 0))}
    whole_chunks = length // (129 * 13 * 4 + 4)
    assert saved.good.sum() == 129 * whole_chunks


def test_lost_files(sample, store):
    (store / shard_key(sample.spec_id, 1)).unlink()
    (store / fragment_key(sample.spec_id, 2)).unlink()
    (store / shard_key(sample.spec_id, 3)).unlink()
    (store / fragment_key(sample.spec_id, 3)).unlink()
    report = verify_store(store)
    assert [(f.kind, f.block, f.rows) for f in report.findings] == [
        ("lost_shard", 1, ((258, 516),)),
        ("lost_records", 2, ((516, 774),)),
        ("unfinished", 3, ((774, 1032),)),
    ]
    with pytest.raises(DamagedStore, match="is lost"):
        open_store(store).read([300])
    saved = [salvage_block(store, sample.spec_id, block) for block in (1, 2, 3)]
    assert [s.good.all() for s in saved] == [False, True, False]
    assert [s.records is None for s in saved] == [False, True, True]


def test_files_of_other_blocks_and_other_stores_do_not_pass(sample, store, tmp_path):
    shutil.copy(store / shard_key(sample.spec_id, 1), store / shard_key(sample.spec_id, 0))
    shutil.copy(store / fragment_key(sample.spec_id, 3), store / fragment_key(sample.spec_id, 2))
    other = tmp_path / "other"
    create_store(other, [(sample.spec, sample.layout)], {"seed": 8}, {})
    with StoreWriter(other) as writer:
        writer.commit(sample.stage(other, 5))
    shutil.copy(other / fragment_key(sample.spec_id, 5), store / fragment_key(sample.spec_id, 5))
    report = verify_store(store)
    assert [(f.kind, f.block) for f in report.findings] == [
        ("damaged_shard", 0),
        ("wrong_records", 2),
        ("wrong_records", 5),
    ]
    assert not salvage_block(store, sample.spec_id, 0).good.any()


def test_foreign_files(sample, store):
    """Foreign files are reported in the store's folders, and allowed beside them, as cards are."""
    inside = [f"records/{sample.spec_id}.00000099.parquet", f"{sample.spec_id}/params/c/17/0"]
    for key in ("notes.txt", *inside):
        (store / key).parent.mkdir(exist_ok=True)
        (store / key).write_text("hello")
    assert _kinds(verify_store(store)) == {("foreign_file", key) for key in inside}


def test_records_that_say_the_wrong_thing(sample, tmp_path):
    path = tmp_path / "store"
    sample.create(path)

    def staged(block, change, flat=None):
        rows = sample.layout.block_rows(block)
        cut = slice(rows.start, rows.stop)
        records = [change(record) for record in sample.records[cut]]
        flat = sample.flat[cut] if flat is None else flat
        return stage_block(path, sample.spec_id, block, flat, records)

    with StoreWriter(path) as writer:
        for block in range(5, 17):
            writer.commit(sample.stage(path, block))
        writer.commit(sample.stage(path, 0))
        # the second item of block 1 repeats the first of block 0
        writer.commit(staged(1, lambda r: replace(r, item_id="train/00000") if r.row >= 387 else r))
        writer.commit(staged(2, lambda r: replace(r, view=0) if r.row == 520 else r))
        writer.commit(staged(3, lambda r: replace(r, status="non_finite") if r.row == 800 else r))
        holed = sample.flat[1032:1290].copy()
        holed[7, 3] = np.inf
        writer.commit(staged(4, lambda r: r, holed))
    report = verify_store(path)
    assert [(f.kind, f.block, f.rows) for f in report.findings] == [
        ("wrong_records", 2, ((520, 521),)),
        ("wrong_weights", 3, ((800, 801),)),
        ("wrong_weights", 4, ((1039, 1040),)),
        ("duplicate", 1, ((387, 516),)),
    ]
    good = salvage_block(path, sample.spec_id, 4).good
    assert np.flatnonzero(~good).tolist() == [7]


def test_documents_are_restored(sample, store):
    documents = [file for file in _files(store) if file.name.startswith("zarr")]
    before = {file: file.read_bytes() for file in documents}
    assert len(documents) == 4
    for file in documents:
        for harm in (lambda f: f.unlink(), lambda f: f.write_bytes(f.read_bytes()[:-9])):
            harm(file)
            key = file.relative_to(store).as_posix()
            assert _kinds(verify_store(store)) == {("document", key)}
            assert [found.key for found in restore_documents(store)] == [key]
            assert {file: file.read_bytes() for file in documents} == before
    assert verify_store(store).ok
    assert restore_documents(store) == []


def test_a_damaged_root_is_a_sentence(sample, store):
    root = (store / ROOT_DOCUMENT).read_bytes()
    (store / ROOT_DOCUMENT).write_bytes(root.replace(b'"seed": 7', b'"seed": 8'))
    for use in (open_store, sample.create, lambda path: StoreWriter(path).__enter__()):
        with pytest.raises(DamagedStore, match=r"store is damaged: its zarr\.json does not match"):
            use(store)
    (store / ROOT_DOCUMENT).unlink()
    with pytest.raises(DamagedStore, match=r"its zarr\.json is lost"):
        sample.create(store)
    (store / ROOT_COPY).write_bytes(b"")
    with pytest.raises(DamagedStore, match="beyond repair"):
        verify_store(store)


def test_a_damaged_index_is_removed_and_comes_back(sample, store):
    with StoreWriter(store, fragments_per_index=8) as writer:
        writer.finish()
    files = sorted((store / "index").iterdir())
    assert len(files) == 3
    assert verify_store(store).ok
    before = files[1].read_bytes()
    files[1].write_bytes(before[:500] + bytes([before[500] ^ 1]) + before[501:])
    assert {kind for kind, _ in _kinds(verify_store(store))} == {"index"}
    (mended,) = restore_documents(store)
    assert mended.key == files[1].relative_to(store).as_posix()
    with StoreWriter(store, fragments_per_index=8) as writer:
        writer.finish()
    assert files[1].read_bytes() == before


def test_a_repaired_block_is_whole_again(sample, store):
    before = {file: file.read_bytes() for file in _files(store)}
    file = store / shard_key(sample.spec_id, 3)
    file.write_bytes(b"x" + file.read_bytes()[1:])
    with StoreWriter(store) as writer:
        for spec_id, blocks in verify_store(store).bad_blocks.items():
            for block in blocks:
                saved = salvage_block(store, spec_id, block)
                first = sample.layout.block_rows(block).start
                refit = sample.flat[first : first + len(saved.good)]
                flat = np.where(saved.good[:, None], saved.flat, refit)
                assert saved.records is not None
                writer.replace(stage_block(store, spec_id, block, flat, saved.records))
        writer.finish()
    assert verify_store(store).ok
    assert {file: file.read_bytes() for file in _files(store)} == before


def test_no_store_is_a_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"is not an inrgen store"):
        verify_store(tmp_path)


def test_what_a_stopped_driver_left_is_named_and_removed(sample, store):
    """Such files are no damage to any row, but nothing else would ever tell of them."""
    before = content_sha256(store)
    for folder in ("_staging", "_replacing"):
        (store / folder).mkdir(exist_ok=True)
        (store / folder / "left").write_bytes(b"half a shard")
    found = {("leftover", "_staging/left"), ("leftover", "_replacing/left")}
    assert _kinds(verify_store(store)) == found
    assert {(one.kind, one.key) for one in restore_documents(store)} == found
    assert verify_store(store).ok
    assert not (store / "_staging").exists()
    assert content_sha256(store) == before
    # a store in the making may have a driver at work
    (store / fragment_key(sample.spec_id, 1)).unlink()
    (store / shard_key(sample.spec_id, 1)).unlink()
    (store / "_staging").mkdir()
    (store / "_staging" / "left").write_bytes(b"half a shard")
    assert {kind for kind, _ in _kinds(verify_store(store))} == {"unfinished"}
