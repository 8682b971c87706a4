"""A derived store can be walked back to its source, and mended from its parent."""

import shutil
from pathlib import Path

import pytest

from inrgen.commands.align import AlignConfig, align
from inrgen.commands.augment import AugmentConfig, augment
from inrgen.commands.info import InfoConfig, info
from inrgen.commands.verify import VerifyConfig, verify
from inrgen.figures.render import picture_pairs
from inrgen.store.content import content_sha256
from inrgen.store.layout import fragment_key, shard_key
from inrgen.store.reader import open_store
from inrgen.store.writer import StoreWriter


@pytest.fixture(scope="module")
def family(parent, tmp_path_factory) -> Path:
    """A store, its augmentation, and the alignment of that, side by side."""
    folder = tmp_path_factory.mktemp("family")
    shutil.copytree(parent, folder / "first")
    augment(AugmentConfig(store=folder / "first", out=folder / "second", augment="rotation"))
    align(AlignConfig(store=folder / "second", out=folder / "third", template="pairs"))
    return folder


@pytest.fixture
def mine(family, tmp_path) -> Path:
    """A copy of the family to damage; paths between its stores are relative, so it may move."""
    return Path(shutil.copytree(family, tmp_path / "family"))


def lineage(store: Path):
    return info(InfoConfig(store=store, lineage=True)).lineage


def test_the_way_back_ends_at_the_source(mine):
    steps = lineage(mine / "third")
    assert [step.operation for step in steps] == ["align", "augment", "build"]
    assert [step.found for step in steps] == ["itself", "same", "same"]
    assert [Path(step.path).name for step in steps] == ["third", "second", "first"]
    assert [step.content_sha256 for step in steps] == [
        content_sha256(mine / name) for name in ("third", "second", "first")
    ]
    assert steps[1].how["chain"][0]["name"] == "rotation"
    assert steps[2].how["source"] == {"name": "made up"}
    said = info(InfoConfig(store=mine / "third", lineage=True)).text()
    assert "made up" in said
    assert info(InfoConfig(store=mine / "third")).lineage == ()


def test_the_way_back_is_known_if_stores_are_lost_or_replaced(mine):
    shutil.rmtree(mine / "second")
    steps = lineage(mine / "third")
    assert [step.found for step in steps] == ["itself", "not found", "same"]
    shutil.rmtree(mine / "first")
    shutil.copytree(mine / "third", mine / "second")
    steps = lineage(mine / "third")
    assert [step.found for step in steps] == ["itself", "other content", "not found"]
    assert steps[2].how["source"] == {"name": "made up"}
    next((mine / "second" / "records").iterdir()).unlink()
    assert lineage(mine / "third")[1].found == "cannot be read"


def test_pictures_are_of_the_first_ancestors_items_even_if_it_is_lost(mine):
    for name in ("first", "second"):
        shutil.rmtree(mine / name)
    third = open_store(mine / "third")
    assert "source" not in third.identity
    assert third.built_identity["source"] == {"name": "made up"}
    assert third.source_name == "made up"
    (pair,) = picture_pairs(third, None, [4])
    assert pair.caption == "", "a rotated row has not been measured"


def test_content_is_the_same_however_records_are_gathered(mine):
    before = content_sha256(mine / "second")
    with StoreWriter(mine / "second", fragments_per_index=2) as writer:
        writer.finish()
    assert (mine / "second" / "index").exists()
    assert content_sha256(mine / "second") == before


def test_content_follows_index_files_of_whole_groups(mine, monkeypatch):
    for module in ("content", "writer"):
        monkeypatch.setattr(f"inrgen.store.{module}.FRAGMENTS_PER_INDEX", 2)
    before = content_sha256(mine / "second")
    with StoreWriter(mine / "second", fragments_per_index=2) as writer:
        writer.finish()
    # The index is enough: no fragment is read.
    fragments = sorted((mine / "second" / "records").iterdir())
    whole = fragments[0].read_bytes()
    fragments[0].write_bytes(b"")
    assert content_sha256(mine / "second") == before
    fragments[0].write_bytes(whole)


@pytest.mark.parametrize("lost", ["weights", "records", "byte"])
def test_damage_is_made_good_from_the_parent_bit_for_bit(mine, made_up, lost):
    store = mine / "third"
    spec_id = open_store(store).spec.spec_id
    shard, fragment = store / shard_key(spec_id, 1), store / fragment_key(spec_id, 2)
    before = made_up.content(store)
    if lost == "weights":
        shard.unlink()
    elif lost == "records":
        fragment.unlink()
    else:
        shard.write_bytes(b"x" + shard.read_bytes()[1:])
    assert verify(VerifyConfig(store=store)).failed
    mended = verify(VerifyConfig(store=store, repair=True))
    assert not mended.failed, mended.text()
    assert (mended.rows_refitted, mended.rows_recomputed) == (0, 256)
    assert "computed 256 rows again from its parent" in mended.text()
    assert made_up.content(store) == before


def test_a_lost_parent_can_be_named_and_another_is_refused(mine, made_up):
    store = mine / "third"
    spec_id = open_store(store).spec.spec_id
    before = made_up.content(store)
    (store / shard_key(spec_id, 1)).unlink()
    (mine / "second").rename(mine / "elsewhere")
    with pytest.raises(ValueError, match=r"which is not at .*second: give its place with --data"):
        verify(VerifyConfig(store=store, repair=True))
    with pytest.raises(ValueError, match=r"is not the parent of .*third"):
        verify(VerifyConfig(store=store, repair=True, data=str(mine / "first")))
    assert not verify(VerifyConfig(store=store, repair=True, data=str(mine / "elsewhere"))).failed
    assert made_up.content(store) == before


def test_records_of_other_parents_do_not_pass(mine):
    """A record names another parent row, and its own checksum is right."""
    from inrgen.store.files.opening import open_files
    from inrgen.store.fragment import decode_fragment, encode_fragment

    store = mine / "second"
    key = fragment_key(open_store(store).spec.spec_id, 0)
    table, facts = decode_fragment(open_files(store).read(key))
    column = table.schema.get_field_index("parent_row")
    wrong = table.set_column(
        column, table.schema.field(column), table["parent_row"].take([*range(1, table.num_rows), 0])
    )
    (store / key).write_bytes(encode_fragment(wrong, facts))
    (finding,) = verify(VerifyConfig(store=store)).report.findings
    assert finding.kind == "wrong_records"
