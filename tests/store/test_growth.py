"""A store grows without a change to its rows, and an append is whole or never happened."""

import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import zarr

from inrgen.core.config import digest_items
from inrgen.loaders import StreamLoader
from inrgen.store.append_writer import AppendWriter, settle_growth
from inrgen.store.content import content_sha256, has_grown_from
from inrgen.store.errors import DamagedStore, StoreBusy
from inrgen.store.files.opening import open_files
from inrgen.store.growth import grown_root
from inrgen.store.item_list import encode_items
from inrgen.store.layout import GROWING, STAGING, Layout, fragment_key
from inrgen.store.metadata import parse_root, read_facts
from inrgen.store.reader import open_store
from inrgen.store.verify import restore_documents, verify_store
from inrgen.store.writer import StoreWriter, stage_block
from tests.killing import count_operations, die_at, run
from tests.made_up import MadeUp

pytestmark = pytest.mark.usefixtures("quickly")
_SIZES = (12, 20, 36)


class Growing(MadeUp):
    """Blocks of 8 rows, of which the last is short: 8 + 4, then 8 + 8 + 4, and so on."""

    views = 4
    bad = (1,)
    splits = ("train",)

    def __init__(self, rows: int) -> None:
        super().__init__(rows=rows, widths=(2, 3, 1))
        self.layout = Layout(rows=rows, views=4, max_chunk_rows=8)
        each = self.records[::4]
        listed = [(r.item_id, r.split, r.label, r.label_name) for r in each]
        self.items = encode_items(listed)
        sha256 = digest_items(item[:3] for item in listed)
        self.identity |= {"items": {"count": rows // 4, "sha256": sha256}}

    def append(self, path: Path, num_blocks: int | None = None) -> Path:
        """Grow a store to these rows, or only make the first blocks of that."""
        facts = read_facts(open_files(path))
        layout = facts.layouts[self.spec_id].grown_to(self.rows)
        root = grown_root(facts, layout, self.identity, {"version": "2"}, content_sha256(path))
        with AppendWriter(path, root, self.items) as writer:
            for block in writer.pending(self.spec_id)[:num_blocks]:
                rows = layout.block_rows(block)
                cut = slice(rows.start, rows.stop)
                made = self.flat[cut], self.records[cut]
                writer.begin_commit(stage_block(path, self.spec_id, block, *made, growing=True))
            if num_blocks is None:
                writer.finish()
        return path


@pytest.fixture(scope="module")
def sizes() -> list[Growing]:
    return [Growing(rows) for rows in _SIZES]


def _check_is(whole: Growing, path: Path) -> None:
    """Check that all readers see exactly the rows of a store."""
    store = open_store(path)
    np.testing.assert_array_equal(store.read(range(whole.rows)).flat().numpy(), whole.flat)
    array = zarr.open_group(path, mode="r")[f"{whole.spec_id}/params"]
    np.testing.assert_array_equal(array[:], whole.flat)
    table = pq.read_table(path / "records").sort_by("row")
    assert table["item_id"].to_pylist() == [record.item_id for record in whole.records]
    assert store.records.to_table().sort_by("row")["row"].to_pylist() == [*range(whole.rows)]
    assert verify_store(path).ok


def test_rows_stay_and_readers_see_one_store(sizes, tmp_path):
    path = sizes[0].build(tmp_path / "store")
    before, first = content_sha256(path), (path / f"{sizes[0].spec_id}/params/c/0/0").stat()
    for grown in sizes[1:]:
        grown.append(path)
        _check_is(grown, path)
    # only the short last block was written again
    assert (path / f"{sizes[0].spec_id}/params/c/0/0").stat().st_ino == first.st_ino
    assert [version.rows for version in open_store(path).versions] == [12, 20]
    assert has_grown_from(path, before)
    assert not has_grown_from(path, content_sha256(path))
    served = [int(row) for batch in StreamLoader(path, batch_size=5) for row in batch.rows]
    assert sorted(served) == [row for row in range(36) if row != 1]


def test_each_block_is_bound_to_the_version_that_wrote_it(sizes, tmp_path):
    # two copies that grow apart have the same first block, and no other
    first, second = (sizes[0].build(tmp_path / name) for name in "ab")
    sizes[1].append(first)
    sizes[2].append(second)
    for folder in ("records", f"{sizes[0].spec_id}/params/c/1"):
        for file in (second / folder).glob("*00000001.parquet" if folder == "records" else "0"):
            (first / folder / file.name).write_bytes(file.read_bytes())
    store = open_store(first)
    assert store.read(range(8)).flat().shape == (8, sizes[0].spec.num_params)
    with pytest.raises(DamagedStore, match="another store or block"):
        store.read([8])
    assert {finding.block for finding in verify_store(first).findings} == {1}


def test_readers_go_on_while_a_store_grows(sizes, tmp_path):
    path = sizes[0].build(tmp_path / "store")
    store, loader = open_store(path), StreamLoader(path, batch_size=4)
    for grown in sizes[1:]:
        grown.append(path)
    read = store.read(range(12)).flat().numpy()
    np.testing.assert_array_equal(read, sizes[0].flat)
    served = torch.cat([batch.rows for batch in loader])
    assert sorted(served.tolist()) == [row for row in range(12) if row != 1]
    # as they are, and in the moment between two versions of a fragment
    for _ in range(2):
        with pytest.raises(ValueError, match="has grown since it was opened"):
            store.read_records(["row"])
        (path / fragment_key(store.spec.spec_id, 1)).unlink(missing_ok=True)
    with pytest.raises(ValueError, match=r"rows must be in 0..11"):
        store.read([12])


def test_a_store_on_a_server_grows(sizes, tmp_path, bucket_url, monkeypatch):
    sizes[0].build(bucket_url)
    with monkeypatch.context() as patch:
        # a driver that stops as soon as the append is committed
        patch.setattr("inrgen.store.append_writer.StoreWriter", None)
        with pytest.raises(TypeError):
            sizes[1].append(bucket_url)
    assert verify_store(bucket_url).ok
    assert len(open_store(bucket_url)) == 20
    sizes[2].append(bucket_url)
    assert verify_store(bucket_url).ok
    there, local = open_files(bucket_url), sizes[0].build(tmp_path / "store")
    for grown in sizes[1:]:
        grown.append(local)
    here = open_files(local)
    for key in (key for key in here.all_keys() if not key.startswith("index/")):
        assert there.read(key) == here.read(key), key
    assert content_sha256(bucket_url) == content_sha256(local)


def test_index_files_follow_growth(sizes, tmp_path):
    path = sizes[0].build(tmp_path / "store")
    for grown in sizes[1:]:
        with StoreWriter(path, fragments_per_index=1) as writer:
            writer.finish()
        assert list((path / "index").iterdir())
        grown.append(path)
        _check_is(grown, path)
    with StoreWriter(path, fragments_per_index=2) as writer:
        writer.finish()
    _check_is(sizes[2], path)


def test_a_lost_block_of_any_version_is_made_again(sizes, tmp_path):
    path, whole = sizes[0].build(tmp_path / "store"), sizes[2]
    for grown in sizes[1:]:
        grown.append(path)
    for lost in (0, 1, 2, 4):
        (path / f"records/{whole.spec_id}.{lost:08d}.parquet").unlink()
        assert verify_store(path).bad_blocks == {whole.spec_id: [lost]}
        rows = open_store(path).layouts[whole.spec_id].block_rows(lost)
        cut = slice(rows.start, rows.stop)
        with StoreWriter(path) as writer:
            staged = stage_block(path, whole.spec_id, lost, whole.flat[cut], whole.records[cut])
            writer.replace(staged)
            writer.finish()
        _check_is(whole, path)


def test_a_reader_overtaken_by_an_append_misses_no_row(sizes, tmp_path, monkeypatch):
    path = sizes[0].build(tmp_path / "store")

    def stop(files, block, *_):
        files.remove(fragment_key(*block))
        raise KeyboardInterrupt

    def overtake(path, files, facts):
        # the reader has read the old root document, and not yet listed the blocks
        if facts.versions:
            return settle_growth(path, files, facts)
        with monkeypatch.context() as patch:
            patch.setattr("inrgen.store.growth.place_block", stop)
            with pytest.raises(KeyboardInterrupt):
                sizes[1].append(path)

    monkeypatch.setattr("inrgen.store.reader.settle_growth", overtake)
    store = open_store(path)
    assert len(store.read_records(["row"])) == len(store) == 20


@pytest.mark.parametrize("committed", [False, True])
def test_an_append_hides_no_loss(committed, sizes, tmp_path):
    # the staging folder of an append, which stays when it is killed, marks unfinished stores, too
    path = sizes[0].build(tmp_path / "store")
    sizes[1].append(path, None if committed else 1)
    (path / STAGING).mkdir(exist_ok=True)
    (path / fragment_key(sizes[0].spec_id, 0)).unlink()
    with pytest.raises(DamagedStore, match="not there, though it was committed"):
        open_store(path).read_records(["row"])


def test_killed_at_file_operations(sizes, tmp_path):
    old, new = sizes[:2]
    whole = old.build(tmp_path / "whole")
    counted = shutil.copytree(whole, tmp_path / "counted")
    total, seen = count_operations(lambda: new.append(counted)), set[int]()
    # every ninth, from another one each time, and the last, which has all in place
    for moment in [*range(1 + int(np.random.default_rng().integers(9)), total, 9), total]:
        path = Path(shutil.copytree(whole, tmp_path / str(moment)))

        def work(path=path, moment=moment):
            die_at(moment)
            new.append(path)

        assert run(work) == -signal.SIGKILL
        shown = len(open_store(path))
        seen.add(shown)
        if shown == old.rows:
            read = open_store(path).read(range(old.rows)).flat().numpy()
            np.testing.assert_array_equal(read, old.flat)
            assert {finding.kind for finding in verify_store(path).findings} <= {"leftover"}
            new.append(path)
        _check_is(new, path)
    assert seen == {old.rows, new.rows}


def test_another_append_discards_what_one_left(sizes, tmp_path):
    path = sizes[0].build(tmp_path / "store")
    sizes[1].append(path, num_blocks=1)
    assert len(open_store(path)) == 12
    assert list((path / GROWING).iterdir())
    sizes[2].append(path)
    _check_is(sizes[2], path)
    assert [version.rows for version in open_store(path).versions] == [12]


def test_repair_gives_an_append_up(sizes, tmp_path):
    path = sizes[0].build(tmp_path / "store")
    sizes[1].append(path, num_blocks=1)
    assert {finding.kind for finding in verify_store(path).findings} == {"leftover"}
    restore_documents(path)
    _check_is(sizes[0], path)
    assert not (path / GROWING).exists()


def test_a_store_that_changed_meanwhile_does_not_grow(sizes, tmp_path):
    path, twin = (sizes[0].build(tmp_path / name) for name in "ab")
    sizes[1].append(path)
    facts = read_facts(open_files(twin))
    layout = facts.layouts[sizes[0].spec_id].grown_to(36)
    root = grown_root(facts, layout, sizes[2].identity, {}, content_sha256(twin))
    with pytest.raises(StoreBusy, match="meanwhile"), AppendWriter(path, root, b""):
        pass
    _check_is(sizes[1], path)


@pytest.mark.parametrize(
    ("rows", "sha256", "content", "said"),
    [
        (12, "0" * 64, "0" * 64, "more rows than the one before"),
        (20, "../../other", "0" * 64, "sha256 of items must be 64"),
        (20, "0" * 64, "no digest", "content_sha256 of a version must be 64"),
    ],
)
def test_versions_that_no_store_has_are_refused(rows, sha256, content, said, sizes, tmp_path):
    facts = read_facts(open_files(sizes[0].build(tmp_path / "store")))
    layout = replace(facts.layouts[sizes[0].spec_id].grown_to(20), rows=rows)
    identity = sizes[1].identity | {"items": {"count": 5, "sha256": sha256}}
    with pytest.raises(DamagedStore, match=said):
        parse_root(grown_root(facts, layout, identity, {}, content), "here")
