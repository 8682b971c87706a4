"""Statistics are those of the usable rows for any cut into blocks, and loaders divide by them."""

import numpy as np
import pytest
import torch

from inrgen.commands.stats import StatsConfig, stats
from inrgen.executors.config import ExecutorConfig
from inrgen.loaders.stream import StreamLoader
from inrgen.store.errors import DamagedStore
from inrgen.store.reader import open_store
from inrgen.store.statistics import decode_statistics, read_statistics
from inrgen.store.verify import restore_documents, verify_store


@pytest.fixture
def store(made_up, tmp_path):
    return made_up.build(tmp_path / "store")


def chosen(made_up, split: str) -> np.ndarray:
    kept = [r.status == "ok" and split in (r.split, "all") for r in made_up.records]
    return made_up.flat[kept].astype(np.float64)


@pytest.mark.parametrize("split", ["train", "all"])
def test_statistics_are_those_of_the_usable_rows(made_up, parent, tmp_path, split, monkeypatch):
    # Blocks are summed in several parts, as large ones are.
    monkeypatch.setattr("inrgen.jobs.plan._NUMBERS_AT_ONCE", 6_000)
    out = tmp_path / "stats.json"
    said = stats(StatsConfig(store=parent, split=split, out=out, how=ExecutorConfig(workers=2)))
    found = decode_statistics(out.read_bytes())
    rows = chosen(made_up, split)
    assert found.count == said.specs[0].count == len(rows)
    np.testing.assert_allclose(found.mean, rows.mean(axis=0), rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(found.std, rows.std(axis=0, ddof=1), rtol=1e-12)
    # Blocks are added in order, so the order in which they finish does not show.
    stats(StatsConfig(store=parent, split=split, out=out, how=ExecutorConfig(workers=1)))
    assert decode_statistics(out.read_bytes()) == found
    assert not (parent / "statistics").exists()


def test_loaders_normalise_by_the_statistics_of_the_store(made_up, store):
    with pytest.raises(FileNotFoundError, match=r"`inrgen stats .* --split train` makes them"):
        StreamLoader(store, normalise_by="train")
    stats(StatsConfig(store=store))
    assert verify_store(store).ok
    loader = StreamLoader(store, split="train", normalise_by="train", batch_size=100)
    flat = torch.cat([batch.params.flat() for batch in loader]).double()
    assert len(flat) == len(chosen(made_up, "train"))
    torch.testing.assert_close(
        flat.mean(dim=0), torch.zeros(flat.shape[1]).double(), atol=1e-6, rtol=0
    )
    torch.testing.assert_close(
        flat.std(dim=0), torch.ones(flat.shape[1]).double(), atol=1e-5, rtol=0
    )


@pytest.mark.usefixtures("quickly")
def test_altered_statistics_are_found_and_removed(made_up, store):
    before = made_up.content(store)
    stats(StatsConfig(store=store))
    (document,) = (store / "statistics").iterdir()
    whole = document.read_bytes()
    for at in range(10, len(whole), 201):
        document.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        (finding,) = verify_store(store).findings
        assert (finding.kind, store / finding.key) == ("statistics", document)
        with pytest.raises(DamagedStore, match=r"statistics/.*does not match its self-checksum"):
            read_statistics(open_store(store), "train")
    assert [f.key for f in restore_documents(store)] == [document.relative_to(store).as_posix()]
    assert made_up.content(store) == before
    stats(StatsConfig(store=store))
    assert document.read_bytes() == whole


def test_statistics_of_another_store_do_not_pass(made_up, parent, store, tmp_path):
    from inrgen.commands.augment import AugmentConfig, augment

    augment(AugmentConfig(store=parent, out=tmp_path / "other", augment="permutation"))
    stats(StatsConfig(store=store))
    (document,) = (store / "statistics").iterdir()
    target = tmp_path / "other" / "statistics" / document.name
    target.parent.mkdir()
    target.write_bytes(document.read_bytes())
    assert [f.kind for f in verify_store(tmp_path / "other").findings] == ["statistics"]
    with pytest.raises(DamagedStore, match="is of another store"):
        read_statistics(open_store(tmp_path / "other"), "train")


def test_an_unfinished_store_has_none(made_up, tmp_path):
    made_up.build(tmp_path / "half", num_blocks=2)
    with pytest.raises(ValueError, match="is not finished"):
        stats(StatsConfig(store=tmp_path / "half"))


def test_the_folder_is_made_or_out_refused_before_a_pass(parent, tmp_path, monkeypatch):
    out = tmp_path / "new" / "folder" / "stats.json"
    assert stats(StatsConfig(store=parent, split="val", out=out)).specs[0].written == str(out)
    assert decode_statistics(out.read_bytes()).split == "val"
    monkeypatch.setattr("inrgen.jobs.stats._sum_store", None)
    with pytest.raises(ValueError, match=f"out must be a file; got the folder {out.parent}"):
        stats(StatsConfig(store=parent, out=out.parent))
    with pytest.raises(NotADirectoryError):
        stats(StatsConfig(store=parent, out=out / "beneath" / "a file"))
