"""Verify finds damage, and a repair refits just that, bit for bit."""

import random
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from inrgen.commands.build import build
from inrgen.commands.info import InfoConfig, info
from inrgen.commands.stats import StatsConfig, stats
from inrgen.commands.verify import VerifyConfig, verify
from inrgen.fit.build_config import BuildConfig
from inrgen.loaders.stream import StreamLoader
from inrgen.sources.config import SourceConfig
from inrgen.store.errors import DamagedStore
from inrgen.store.layout import fragment_key, shard_key
from inrgen.store.reader import open_store
from inrgen.store.verify import salvage_block
from inrgen.store.writer import StoreWriter, stage_block


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A store of three blocks."""
    out = tmp_path_factory.mktemp("whole") / "store"
    source = SourceConfig(name="digits", split="train", limit=150)
    build(BuildConfig(source=source, out=out, views=5, num_steps=5, workers=0))
    return out


@pytest.fixture
def store(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "store"))


def paths(store: Path, block: int) -> tuple[Path, Path]:
    spec_id = open_store(store).spec.spec_id
    return store / shard_key(spec_id, block), store / fragment_key(spec_id, block)


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


def damage_weights(store: Path) -> None:
    flip(paths(store, 1)[0], 12345)


def damage_records(store: Path) -> None:
    flip(paths(store, 2)[1], 200)


def lose_weights(store: Path) -> None:
    paths(store, 0)[0].unlink()


def lose_records(store: Path) -> None:
    paths(store, 2)[1].unlink()


def cut_weights(store: Path) -> None:
    shard = paths(store, 1)[0]
    shard.write_bytes(shard.read_bytes()[:-1000])


def names(store: Path) -> list[str]:
    table = open_store(store).read_records(["row", "item_id"]).sort_by("row")
    return table["item_id"].to_pylist()


DAMAGES = [damage_weights, damage_records, lose_weights, lose_records, cut_weights]


def weights(store: Path) -> torch.Tensor:
    opened = open_store(store)
    return opened.read(range(opened.layouts[opened.spec.spec_id].rows)).flat()


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda f: f.__name__)
def test_damage_is_found_and_repaired_bit_for_bit(damage, store, whole):
    damage(store)
    found = verify(VerifyConfig(store=store))
    assert found.failed
    assert any(finding.rows for finding in found.report.findings)
    mended = verify(VerifyConfig(store=store, repair=True))
    assert not mended.failed, mended.text()
    assert mended.rows_refitted > 0
    assert torch.equal(weights(store), weights(whole))


@pytest.mark.parametrize("block", [0, 2], ids=["the first", "the second"])
def test_a_row_under_the_name_of_another_item_is_refitted(block, store, whole):
    opened = open_store(store)
    spec_id, layout = opened.spec.spec_id, opened.layouts[opened.spec.spec_id]
    left = salvage_block(store, spec_id, block)
    other = salvage_block(store, spec_id, 1).records[0].item_id
    wrong = [replace(record, item_id=other) for record in left.records[: layout.views]]
    records = [*wrong, *left.records[layout.views :]]
    with StoreWriter(store) as writer:
        writer.replace(stage_block(store, spec_id, block, left.flat, records))
    assert {f.kind for f in verify(VerifyConfig(store=store)).report.findings} == {"duplicate"}
    mended = verify(VerifyConfig(store=store, repair=True))
    assert not mended.failed, mended.text()
    assert mended.rows_refitted == layout.views
    assert torch.equal(weights(store), weights(whole))
    assert names(store) == names(whole)


@pytest.mark.parametrize("name", ["zarr.json", "zarr-copy.json"])
def test_a_damaged_document_is_restored_without_a_fit(name, store, whole):
    flip(store / name, 99)
    mended = verify(VerifyConfig(store=store, repair=True))
    assert not mended.failed, mended.text()
    assert mended.rows_refitted == 0
    assert (store / name).read_bytes() == (whole / name).read_bytes()


def test_a_repair_lists_what_it_found_restored_and_removed(store):
    stats(StatsConfig(store=store))
    (document,) = (store / "statistics").iterdir()
    key = document.relative_to(store).as_posix()
    flip(document, 20)
    flip(store / "zarr-copy.json", 99)
    damage_weights(store)
    (store / "records" / "notes.txt").write_text("mine")
    before = verify(VerifyConfig(store=store))
    assert (before.found, before.restored, before.removed) == ((), (), ())
    assert before.text().endswith(f": {len(before.report.findings)} findings")
    mended = verify(VerifyConfig(store=store, repair=True))
    lines = mended.text().splitlines()
    assert lines[:4] == [f"found {line}" for line in before.text().splitlines()[:4]]
    assert lines[4:6] == [
        "restored zarr-copy.json",
        f"removed {key}; `inrgen stats` makes it again",
    ]
    assert lines[6].endswith(f"refitted {mended.rows_refitted} rows")
    assert lines[7].startswith("records/notes.txt: ")
    assert lines[8].endswith(": 1 finding")
    noted = mended.document()
    assert [found["key"] for found in noted["found"]] == [f.key for f in before.report.findings]
    assert (noted["restored"], noted["removed"]) == (("zarr-copy.json",), (key,))


def test_a_flipped_byte_costs_one_chunk(store, whole):
    flip(paths(store, 1)[0], 12345)
    others = [paths(store, block) for block in (0, 2)]
    before = [path.read_bytes() for pair in others for path in pair]
    mended = verify(VerifyConfig(store=store, repair=True))
    layout = open_store(store).layouts[open_store(store).spec.spec_id]
    assert 0 < mended.rows_refitted <= layout.chunk_rows
    assert [path.read_bytes() for pair in others for path in pair] == before
    shards = (paths(where, 1)[0].read_bytes() for where in (store, whole))
    assert next(shards) == next(shards)


def test_refitted_rows_are_counted_as_they_are_fitted(store, capsys):
    """A lost index costs no fit; lost records cost their whole block."""
    shard, fragment = paths(store, 2)
    flip(shard, shard.stat().st_size - 20)
    assert verify(VerifyConfig(store=store, repair=True)).rows_refitted == 0
    fragment.unlink()
    layout = open_store(store).layouts[open_store(store).spec.spec_id]
    mended = verify(VerifyConfig(store=store, repair=True))
    assert mended.rows_refitted == len(layout.block_rows(2))
    assert "verify: 750 of 750 INRs" in capsys.readouterr().err


def test_a_repair_leaves_a_sound_store_alone(store):
    before = {p: p.read_bytes() for p in store.rglob("*") if p.is_file()}
    assert not verify(VerifyConfig(store=store, repair=True)).failed
    assert {p: p.read_bytes() for p in store.rglob("*") if p.is_file()} == before


def test_a_repair_names_the_data_it_needs(tmp_path):
    """A store does not record the folder of its source's files."""
    from PIL import Image

    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(4):
        Image.new("L", (5, 5), 60 * number).save(pictures / f"{number}.png")
    out = tmp_path / "store"
    source = SourceConfig(name="image-folder", data=str(pictures))
    build(BuildConfig(source=source, out=out, views=2, num_steps=2, workers=0))
    next(out.rglob("params/c/0/0")).unlink()
    with pytest.raises(ValueError, match="image-folder needs data"):
        verify(VerifyConfig(store=out, repair=True))
    (pictures / "9.png").write_bytes((pictures / "1.png").read_bytes())
    with pytest.raises(ValueError, match="other items of image-folder"):
        verify(VerifyConfig(store=out, repair=True, data=str(pictures)))
    (pictures / "9.png").unlink()
    assert not verify(VerifyConfig(store=out, repair=True, data=str(pictures))).failed


def copy_to_a_new_name(store: Path) -> None:
    fragment = paths(store, 0)[1]
    shutil.copy(fragment, str(fragment).replace("00000000", "00000099"))


def copy_over_another(store: Path) -> None:
    shutil.copy(paths(store, 0)[1], paths(store, 1)[1])


def exchange_records(store: Path) -> None:
    first, second = paths(store, 0)[1], paths(store, 1)[1]
    first.rename(store / "aside")
    second.rename(first)
    (store / "aside").rename(second)


def rename_records(store: Path) -> None:
    fragment = paths(store, 1)[1]
    fragment.rename(str(fragment).replace("00000001", "00000099"))


def exchange_weights(store: Path) -> None:
    first, second = paths(store, 0)[0], paths(store, 1)[0]
    first.rename(store / "aside")
    second.rename(first)
    (store / "aside").rename(second)


MISPLACED = [
    copy_to_a_new_name,
    copy_over_another,
    exchange_records,
    rename_records,
    exchange_weights,
]


@pytest.mark.parametrize("harm", MISPLACED, ids=lambda f: f.__name__)
def test_files_in_the_wrong_place_are_refused_and_repaired_in_one_run(harm, store, whole):
    harm(store)
    with pytest.raises(DamagedStore, match="is damaged"):
        info(InfoConfig(store=str(store))) if harm is not exchange_weights else weights(store)
    with pytest.raises(DamagedStore, match="is damaged"):
        list(StreamLoader(store, split="all"))
    done = verify(VerifyConfig(store=str(store), repair=True))
    assert done.report.ok
    # records that only lay elsewhere need no fit
    assert (done.rows_refitted > 0) == (harm in (copy_over_another, exchange_weights))
    torch.testing.assert_close(weights(store), weights(whole), rtol=0, atol=0, equal_nan=True)
    assert names(store) == names(whole)
    assert sum(len(batch) for batch in StreamLoader(store, split="all")) == len(names(whole))


@pytest.fixture(scope="module")
def another(tmp_path_factory) -> Path:
    """A store of the same shape that was built with another seed."""
    out = tmp_path_factory.mktemp("another") / "store"
    source = SourceConfig(name="digits", split="train", limit=150)
    build(BuildConfig(source=source, out=out, views=5, num_steps=5, workers=0, seed=1))
    return out


def roots(store: Path) -> list[bytes]:
    return [(store / name).read_bytes() for name in ("zarr.json", "zarr-copy.json")]


@pytest.mark.parametrize("with_statistics", [False, True])
@pytest.mark.parametrize("harm", ["lost", "foreign", "foreign copy"])
def test_a_root_document_comes_back_from_its_good_copy(
    harm, with_statistics, store, whole, another
):
    if with_statistics:
        stats(StatsConfig(store=store))
    if harm == "lost":
        (store / "zarr.json").unlink()
    else:
        name = "zarr.json" if harm == "foreign" else "zarr-copy.json"
        shutil.copy(another / "zarr.json", store / name)
    assert verify(VerifyConfig(store=store)).failed
    done = verify(VerifyConfig(store=store, repair=True))
    assert done.report.ok
    assert (done.rows_refitted, done.removed) == (0, ())
    assert roots(store) == roots(whole)
    assert (store / "statistics").exists() == with_statistics


def test_two_roots_without_records_are_left_as_they_are(store, another):
    shutil.copy(another / "zarr.json", store / "zarr.json")
    for fragment in (store / "records").iterdir():
        fragment.unlink()
    before = roots(store)
    with pytest.raises(DamagedStore, match="no records tell which is right"):
        verify(VerifyConfig(store=store, repair=True))
    assert roots(store) == before


def test_lost_records_beside_an_index_and_statistics_need_one_repair(store, whole):
    stats(StatsConfig(store=store))
    with StoreWriter(store, fragments_per_index=2) as writer:
        writer.finish()
    lose_records(store)
    assert verify(VerifyConfig(store=store, repair=True)).report.ok
    torch.testing.assert_close(weights(store), weights(whole), rtol=0, atol=0, equal_nan=True)


HARMS = [*DAMAGES, *MISPLACED, lambda store: (store / "zarr.json").unlink()]


@pytest.mark.parametrize("seed", range(6))
def test_one_repair_of_any_damage_is_as_good_as_two(seed, store, whole):
    stats(StatsConfig(store=store))
    chance = random.Random(seed)
    # renamed or lost files may leave a later harm without a file
    for harm in chance.sample(HARMS, 3):
        with suppress(OSError, ValueError):
            harm(store)
    assert verify(VerifyConfig(store=store, repair=True)).report.ok
    torch.testing.assert_close(weights(store), weights(whole), rtol=0, atol=0, equal_nan=True)
    assert names(store) == names(whole)
