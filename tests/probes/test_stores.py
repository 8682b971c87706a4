"""Probes of a store: splits or folds, views of an item kept together, failures left out."""

import math

import pytest

from inrgen.commands.build import build
from inrgen.commands.probe import probe
from inrgen.fit.build_config import BuildConfig
from inrgen.probes.config import ProbeConfig, ProbeRecipesConfig, ProbeTraining
from inrgen.probes.recipes import compare_recipes
from inrgen.probes.stores import probe_store, store_table
from inrgen.sources.config import SourceConfig
from tests.labelled import LabelledRows


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return LabelledRows().build(tmp_path_factory.mktemp("probed") / "store")


def test_probes_learn_what_weights_say_and_are_judged_by_item(store):
    config = ProbeConfig(store=store, views=2, epochs=20, repeats=1)
    rows = probe_store(config)
    assert tuple(row.probe for row in rows) == config.probes
    for row in rows:
        counts = (row.num_train, row.num_val, row.num_test, row.num_inrs, row.folds)
        assert counts == (36, 12, 12, 120, 0)
        assert row.commonest_percent == pytest.approx(100 / 3)
    assert rows[0].accuracy.percent > 60
    # The error is over 12 items, whose largest possible deviation is half a point.
    largest = max(row.accuracy.standard_error for row in rows)
    assert largest <= 100 * 0.5 / math.sqrt(12) + 1e-9


def test_folds_replace_a_missing_split_and_judge_every_item(tmp_path):
    path = LabelledRows(splits=("train", "test"), items=30, views=2).build(tmp_path / "store")
    (row,) = probe_store(ProbeConfig(store=path, probes=("kernel_raw",), views=2, folds=4))
    assert (row.num_train, row.num_val, row.num_test, row.folds) == (15, 0, 15, 4)
    assert row.accuracy.percent > 80
    with pytest.raises(ValueError, match="folds must be at most the items of a class, 10; got 11"):
        probe_store(ProbeConfig(store=path, folds=11))


def test_a_limit_takes_items_of_each_split(store):
    config = ProbeConfig(store=store, probes=("kernel_raw",), limit=6)
    (row,) = probe_store(config)
    assert (row.num_train, row.num_val, row.num_test, row.num_inrs) == (6, 6, 6, 18)
    assert probe_store(config)[0] == row


def test_a_learned_store_is_probed_like_the_recipe_beside_its_pixels(tmp_path):
    """Both ways fit the same items, and a recipe changes weights but no pixels."""
    # Of other items both probes name equally many by chance, and the last law says nothing.
    digits = SourceConfig(name="digits", limit=20, limit_order="first")
    path = tmp_path / "store"
    build(BuildConfig(source=digits, out=path, recipe="learned", views=1, workers=0))
    mlp = ProbeTraining(epochs=6, schedule="cosine", mixup=0.4)
    config = ProbeConfig(store=path, probes=("mlp_raw", "mlp_pixels"), mlp=mlp, repeats=1)
    found = {row.probe: row.accuracy for row in probe_store(config)}
    fewer, whole = compare_recipes(
        ProbeRecipesConfig(
            recipes=("learned,steps=1", "learned"),
            train=20,
            val=20,
            test=20,
            limit_order="first",
            probes=config.probes,
            mlp=mlp,
            repeats=1,
        )
    )
    assert whole.accuracy == found
    assert whole.psnr_db > fewer.psnr_db + 10
    assert fewer.accuracy["mlp_pixels"] == found["mlp_pixels"] != found["mlp_raw"]
    assert found["mlp_pixels"].percent > 30


def test_pixels_of_a_store_without_a_source_are_refused(store):
    with pytest.raises(ValueError, match="it records no source"):
        probe_store(ProbeConfig(store=store, probes=("mlp_pixels",)))


def test_the_command_gives_a_table_and_its_rows(store, capsys):
    report = probe(ProbeConfig(store=store, probes=("kernel_raw", "kernel_values")))
    assert [row["probe"] for row in report.document()] == ["kernel_raw", "kernel_values"]
    assert set(report.document()[0]["accuracy"]) == {"percent", "standard_error"}
    assert len(report.text().splitlines()) == 5
    assert "36 train, 12 val and 12 test items, 60 INRs" in report.text()
    assert capsys.readouterr().out == ""


def test_stores_and_options_that_cannot_be_probed_are_refused(tmp_path):
    bare = LabelledRows(classes=-1, items=5, views=1).build(tmp_path / "bare")
    with pytest.raises(ValueError, match=r"store needs a label for every item; .* none for 00000"):
        probe_store(ProbeConfig(store=bare))
    for fields in ({"views": 0}, {"limit": 0}, {"epochs": 0}, {"repeats": 0}, {"folds": 1}):
        (name,) = fields
        with pytest.raises(ValueError, match=f"{name} must be at least "):
            ProbeConfig(store=bare, **fields)
    with pytest.raises(ValueError, match="probes must differ"):
        ProbeConfig(store=bare, probes=("mlp_raw", "mlp_raw"))


def test_a_table_names_folds(tmp_path):
    path = LabelledRows(splits=("train",), items=20, views=1).build(tmp_path / "store")
    rows = probe_store(ProbeConfig(store=path, probes=("kernel_raw",), folds=2))
    assert "20 items in 2 folds, 20 INRs" in store_table(rows)
