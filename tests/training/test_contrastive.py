"""Features learned without labels serve a linear read-out, or are trained further."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from inrgen.training.config import TrainConfig
from inrgen.training.data import TrainData
from inrgen.training.loop import run_training
from inrgen.training.model_file import WEIGHTS

PRETRAIN = TrainConfig(
    model="mlp,hidden=32,layers=1,dropout=0.1",
    objective="contrastive",
    pairs="views",
    augment="noise:scale=0.05",
    views=4,
    batch_size=36,
    epochs=8,
    lr=0.01,
)
READ_OUT = replace(
    PRETRAIN, objective="classify", augment="", freeze=True, lr=0.05, epochs=6, views=1
)


@pytest.fixture(scope="module")
def data(labelled_store) -> TrainData:
    return TrainData(train=labelled_store, val=labelled_store, test=labelled_store)


@pytest.fixture(scope="module")
def pretrained(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("contrastive") / "run"
    return out, run_training(PRETRAIN, data, out)


def test_pairs_are_found_ever_better(pretrained):
    _, result = pretrained
    history = result.history
    assert result.status == "ok"
    assert history[-1].train_loss < history[0].train_loss
    assert history[-1].train_accuracy > history[0].train_accuracy
    assert result.best_epoch == 7
    assert result.confusion == result.predicted == ()


def test_a_frozen_read_out_trains_the_last_layer_alone(pretrained, data, tmp_path):
    source, _ = pretrained
    result = run_training(READ_OUT, data, tmp_path / "run", init=source)
    before, after = load_file(source / WEIGHTS), load_file(tmp_path / "run" / WEIGHTS)
    features = [name for name in before if not name.startswith("network.head.")]
    assert len(features) == len(before) - 2
    assert all(torch.equal(before[name], after[name]) for name in features)
    assert result.test_accuracy > 0.6


def test_fine_tuning_starts_from_the_features_and_moves_them(pretrained, data, tmp_path):
    source, _ = pretrained
    config = replace(READ_OUT, freeze=False, lr=1e-4, epochs=1)
    run_training(config, data, tmp_path / "run", init=source)
    before, after = load_file(source / WEIGHTS), load_file(tmp_path / "run" / WEIGHTS)
    moved = (before["network.body.0.weight"] - after["network.body.0.weight"]).abs()
    assert 0 < moved.max() < 1e-3
    assert torch.equal(before["mean"], after["mean"]), "normalisation stays with the features"


def test_a_start_that_does_not_fit_is_refused(pretrained, data, labelled_rows, tmp_path):
    source, _ = pretrained
    with pytest.raises(ValueError, match=r"init .* is a network .*model asks for"):
        run_training(replace(READ_OUT, model="mlp"), data, init=source)
    wide = labelled_rows(widths=(2, 5, 4, 1)).build(tmp_path / "wide")
    with pytest.raises(ValueError, match=r"reads networks 2-4-4-1_.*; the stores hold 2-5-4-1_"):
        run_training(READ_OUT, TrainData(train=wide, val=wide), init=source)
    with pytest.raises(FileNotFoundError, match="holds no trained network"):
        run_training(READ_OUT, data, tmp_path / "run", init=tmp_path)
