"""A store built from a learned start says so everywhere, resumes and mends itself."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from inrgen.commands.align import AlignConfig, align
from inrgen.commands.build import build
from inrgen.commands.card import CardConfig, card
from inrgen.commands.info import InfoConfig, info
from inrgen.commands.render import RenderConfig, render
from inrgen.commands.verify import VerifyConfig, verify
from inrgen.executors.config import ExecutorConfig
from inrgen.fit.build_config import BuildConfig
from inrgen.fit.starts import plan as start_plan
from inrgen.fit.starts.start import load_start
from inrgen.sources.config import SourceConfig
from inrgen.store.layout import shard_key
from inrgen.store.reader import open_store
from tests.learned import saved_start

DIGITS = SourceConfig(name="digits", limit=4)


def config(out: Path, start: Path | None, **options) -> BuildConfig:
    return BuildConfig(source=DIGITS, out=out, start=start, workers=0, **options)


@pytest.fixture(scope="module")
def start(tmp_path_factory) -> Path:
    return saved_start(tmp_path_factory.mktemp("start") / "start.safetensors", guide="labels")


@pytest.fixture(scope="module")
def whole(start, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("learned") / "store"
    assert build(config(out, start)).rows_fitted == 24
    return out


@pytest.fixture
def damaged(whole, tmp_path) -> Path:
    store = Path(shutil.copytree(whole, tmp_path / "store"))
    (store / shard_key(open_store(store).spec.spec_id, 0)).unlink()
    return store


def weights(store: Path) -> torch.Tensor:
    return open_store(store).read(range(24)).flat()


def test_records_hold_steps_and_quality(whole):
    table = open_store(whole).read_records(["num_steps", "psnr_db", "engine", "status"])
    assert set(table["num_steps"].to_pylist()) == {3}
    assert set(table["status"].to_pylist()) == {"ok"}
    assert min(table["psnr_db"].to_pylist()) > 0
    assert set(table["engine"].to_pylist()) == {"cpu"}


def test_the_same_build_resumes_and_another_start_is_refused(whole, start, tmp_path):
    assert build(config(whole, start)).rows_fitted == 0
    other = saved_start(tmp_path / "other", seed=1)
    digests = f"start.sha256 .*{load_start(start).sha256}.*{load_start(other).sha256}"
    with pytest.raises(ValueError, match=digests):
        build(config(whole, other))


def test_steps_beyond_the_learned_number_are_said(start, tmp_path):
    assert build(config(tmp_path / "as learned", start)).notes == ()
    said = build(config(tmp_path / "longer", start, num_steps=5)).text()
    assert "5 steps a fit, where the start was learned for 3" in said


def test_steps_by_curvature_are_said_recorded_grown_and_repaired(start, tmp_path):
    out, few = tmp_path / "curved", SourceConfig(name="array", data=str(tmp_path / "few.npy"))
    values = np.random.default_rng(0).random((6, 8, 8, 1), dtype=np.float32)
    np.save(tmp_path / "few.npy", values[:4])
    curved = BuildConfig(source=few, out=out, start=start, workers=0, curvature=True)
    said = build(curved).text()
    assert "steps by curvature, where the start has learned step sizes" in said
    assert open_store(out).identity["fit"] == {
        "num_steps": 3,
        "points_per_step": 0,
        "curvature": True,
    }
    assert build(curved).rows_fitted == 0
    with pytest.raises(ValueError, match="curvature"):
        build(replace(curved, curvature=False))
    np.save(tmp_path / "few.npy", values)
    grown = build(replace(curved, append=True))
    assert grown.rows_fitted == 4
    before = open_store(out).read(range(12)).flat()
    (out / shard_key(open_store(out).spec.spec_id, 0)).unlink()
    mended = VerifyConfig(store=out, repair=True, start=start, data=str(tmp_path / "few.npy"))
    assert not verify(mended).failed
    assert torch.equal(open_store(out).read(range(12)).flat(), before)


def test_rows_by_curvature_do_not_join_others(start, tmp_path):
    few = SourceConfig(name="array", data=str(tmp_path / "few.npy"))
    np.save(tmp_path / "few.npy", np.zeros((2, 8, 8, 1), dtype=np.float32))
    plain = BuildConfig(source=few, out=tmp_path / "plain", start=start, workers=0)
    build(plain)
    with pytest.raises(ValueError, match=r"fit\.curvature"):
        build(replace(plain, append=True, curvature=True))
    with pytest.raises(ValueError, match=r"fit\.curvature"):
        build(
            replace(plain, append=True, start=None, recipe=f"learned,start={start},curvature=true")
        )


def test_info_card_and_lineage_name_the_start(whole, start):
    phrase = f"digest {load_start(start).sha256[:16]}, learned on digits, for 3 steps"
    shown = info(InfoConfig(store=whole, lineage=True))
    assert f"start: {phrase}, with training labels" in shown.text()
    assert shown.lineage[0].how["start"].startswith(phrase)
    described = Path(card(CardConfig(store=whole, out=whole.parent)).card).read_text()
    assert "View v of every item was fitted from learned start v." in described
    assert "Training labels shaped these starts." in described
    assert "independent fits" not in described
    assert phrase in described
    assert "--recipe learned" in described
    assert "--start START" in described


def test_render_draws_such_a_store(whole, tmp_path):
    assert render(RenderConfig(store=whole, out=tmp_path)).quality.stat().st_size > 0


def test_align_says_that_rows_share_a_start(whole, start, tmp_path):
    one_view, how = tmp_path / "one view", ExecutorConfig(workers=1)
    build(config(one_view, start, views=1))
    done = align(AlignConfig(store=one_view, out=tmp_path / "one", restarts=0, how=how))
    assert "all rows began at one learned start" in done.text()
    done = align(AlignConfig(store=whole, out=tmp_path / "aligned", restarts=0, how=how))
    assert "alignment brings the views together and gains little within a view" in done.text()
    assert open_store(tmp_path / "aligned").learned_start == open_store(whole).learned_start


def test_a_repair_needs_the_start_and_restores_every_bit(damaged, whole, start, tmp_path):
    digest = load_start(start).sha256
    with pytest.raises(ValueError, match=f"give start, the START file of digest {digest}"):
        verify(VerifyConfig(store=damaged, repair=True))
    other = saved_start(tmp_path / "other", seed=1)
    with pytest.raises(ValueError, match=f"needs the START of digest {digest}; .*other has"):
        verify(VerifyConfig(store=damaged, repair=True, start=other))
    assert not verify(VerifyConfig(store=damaged, repair=True, start=start)).failed
    assert torch.equal(weights(damaged), weights(whole))


def test_a_repair_finds_its_shipped_start_by_itself(damaged, whole, start, tmp_path, monkeypatch):
    other = saved_start(tmp_path / "other", seed=1)
    monkeypatch.setattr(start_plan, "shipped_starts", lambda *_: [other, start])
    assert not verify(VerifyConfig(store=damaged, repair=True)).failed
    assert torch.equal(weights(damaged), weights(whole))


def test_a_start_for_a_store_without_one_is_refused(start, tmp_path):
    plain = tmp_path / "plain"
    build(config(plain, None, views=2, num_steps=2))
    (plain / shard_key(open_store(plain).spec.spec_id, 0)).unlink()
    with pytest.raises(ValueError, match="built without a learned start"):
        verify(VerifyConfig(store=plain, repair=True, start=start))
