"""A store with changed copies of its training items says so, and mends itself."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from inrgen.commands.build import build
from inrgen.commands.card import CardConfig, card
from inrgen.commands.verify import VerifyConfig, verify
from inrgen.fit.build_config import BuildConfig
from inrgen.fit.starts.config import LearnStartConfig
from inrgen.probes.config import ProbeConfig
from inrgen.probes.stores import probe_store
from inrgen.sources.config import SourceConfig
from inrgen.store.layout import shard_key
from inrgen.store.reader import open_store

DIGITS = SourceConfig(name="digits", limit=3, copies=2, flip=True, shift=1)


def built(out: Path, source: SourceConfig) -> Path:
    build(BuildConfig(source=source, out=out, views=1, num_steps=2, engine="torch", workers=0))
    return out


def test_a_store_with_copies_describes_and_mends_itself(tmp_path):
    store = built(tmp_path / "store", DIGITS)
    records = open_store(store).read_records(["item_id", "split", "source_sha256"]).to_pylist()
    assert [one["split"] for one in records] == ["train"] * 9 + ["val"] * 3 + ["test"] * 3
    assert len({one["source_sha256"] for one in records}) > 9
    text = Path(card(CardConfig(store=store)).card).read_text()
    said = "2 copies of each training item, mirrored at random and shifted by up to 1 sample"
    assert said in text
    assert "--copies 2 --shift 1 --flip" in text
    whole = open_store(store).read(range(15)).flat()
    (store / shard_key(open_store(store).spec.spec_id, 0)).unlink()
    assert not verify(VerifyConfig(store=store, repair=True)).failed
    assert torch.equal(open_store(store).read(range(15)).flat(), whole)


def test_copies_are_not_parted_from_their_originals_by_folds(tmp_path):
    store = built(tmp_path / "store", replace(DIGITS, split="train"))
    with pytest.raises(ValueError, match="a copy and its original must not be in two folds"):
        probe_store(ProbeConfig(store=store, probes=("mlp_raw",)))


def test_starts_are_learned_without_copies(tmp_path):
    with pytest.raises(ValueError, match="copies are for builds"):
        LearnStartConfig(source=DIGITS, out=tmp_path / "start.safetensors")
