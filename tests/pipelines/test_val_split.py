"""The validation split: moved items, recorded lineage, and unchanged weights."""

from dataclasses import replace

import pytest
import torch

from inrgen.exchange.card.facts import read_card_facts
from inrgen.jobs.derive import ensure_store, plan_derivation
from inrgen.store.content import content_sha256
from inrgen.store.create import create_store
from inrgen.store.errors import StoreBusy
from inrgen.store.lineage import walk_back
from inrgen.store.reader import open_store
from inrgen.store.verify import verify_store
from inrgen.store.writer import StoreWriter, stage_block
from pipelines.val_split import with_val
from tests.labelled import LabelledRows
from tests.made_up import MadeUp


@pytest.fixture(scope="module")
def made():
    return MadeUp()


@pytest.fixture(scope="module")
def given(made, tmp_path_factory):
    return made.build(tmp_path_factory.mktemp("split") / "given")


@pytest.fixture(scope="module")
def split(given):
    return with_val(given, given.parent / "split")


def splits_of(path):
    rows = open_store(path).records.to_table().to_pylist()
    return {row["item_id"]: row["split"] for row in rows}


def test_some_training_items_are_moved_and_nothing_else_is_changed(given, split):
    old, new = (open_store(path) for path in (given, split))
    before, after = splits_of(given), splits_of(split)
    moved = {item for item in before if before[item] != after[item]}
    assert {(before[item], after[item]) for item in moved} == {("train", "val")}
    assert 0.05 < len(moved) / list(before.values()).count("train") < 0.3
    rows = range(sum(layout.rows for layout in old.layouts.values()))
    flat = [store.read(rows).flat() for store in (old, new)]
    assert torch.equal(flat[0].nan_to_num(9.0), flat[1].nan_to_num(9.0))
    kept = ["item_id", "view", "label", "label_name", "status", "reason", "seed", "psnr_db", "grid"]
    tables = [store.read_records(kept).to_pandas() for store in (old, new)]
    assert tables[0].equals(tables[1])
    assert verify_store(split).ok


def test_it_is_walked_back_to_the_build_and_so_is_what_is_made_of_it(given, split, tmp_path):
    ensure_store(plan_derivation(split, tmp_path / "aligned", "align", 1, {}), dict)
    aligned = open_store(tmp_path / "aligned")
    steps = walk_back(aligned)
    assert [step.operation for step in steps] == ["align", "val-split", "build"]
    assert [step.found for step in steps] == ["itself", "same", "same"]
    assert steps[2].content_sha256 == content_sha256(given)
    for store in (aligned, open_store(split)):
        assert store.source_name == read_card_facts(store).source == "made up"


@pytest.mark.parametrize("items", range(2, 9))
def test_the_smallest_stores_have_validation_and_training_items(items, tmp_path):
    small = LabelledRows(items=items, views=1, splits=("train",)).build(tmp_path / "given")
    splits = list(splits_of(with_val(small, tmp_path / "split")).values())
    assert {"train", "val"} == set(splits)
    assert splits.count("val") <= max(1, items // 2)


def test_one_training_item_is_one_sentence_and_no_store(tmp_path):
    one = LabelledRows(items=2, splits=("train", "test")).build(tmp_path / "given")
    with pytest.raises(ValueError, match=r"needs two training items.* has 1"):
        with_val(one, tmp_path / "split")
    assert not (tmp_path / "split").exists()


def test_it_goes_on_and_once_finished_locks_nothing(made, given, split, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr("pipelines.resplit.StoreWriter.commit", stop_after(2))
        with pytest.raises(KeyboardInterrupt):
            with_val(given, tmp_path / "split")
    with StoreWriter(tmp_path / "split"), pytest.raises(StoreBusy):
        with_val(given, tmp_path / "split")
    assert with_val(given, tmp_path / "split") == tmp_path / "split"
    assert content_sha256(tmp_path / "split") == content_sha256(split)
    with StoreWriter(tmp_path / "split"):
        assert with_val(given, tmp_path / "split") == tmp_path / "split"


def stop_after(blocks):
    commit, seen = StoreWriter.commit, []

    def committed(self, staged):
        if len(seen) == blocks:
            raise KeyboardInterrupt
        seen.append(staged.block)
        return commit(self, staged)

    return committed


def of_before(made, given, out, split):
    """The store as earlier versions made it: fits' records, and no parent."""
    store = open_store(given)
    identity = {"val_of": content_sha256(given), "one_in": 6}
    create_store(out, [(made.spec, made.layout)], identity, {"given": store.identity})
    with StoreWriter(out) as writer:
        for block in writer.pending(made.spec_id):
            rows = made.layout.block_rows(block)
            records = [
                replace(r, split=split) if r.item_id == "train/00000" else r
                for r in made.records[rows.start : rows.stop]
            ]
            flat = made.flat[rows.start : rows.stop]
            writer.commit(stage_block(out, made.spec_id, block, flat, records))
        writer.finish()
    return out


def test_a_store_of_before_is_taken_as_it_is(made, given, tmp_path):
    there = of_before(made, given, tmp_path / "split", "val")
    before = content_sha256(there)
    with StoreWriter(there):
        assert with_val(given, there) == there
    assert content_sha256(there) == before


def test_a_store_of_another_one_is_refused(given, split, tmp_path):
    other = LabelledRows(items=8, views=1, splits=("train",)).build(tmp_path / "other")
    with pytest.raises(ValueError, match="parent_sha256"):
        with_val(other, split)
