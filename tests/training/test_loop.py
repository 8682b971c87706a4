"""A run learns, depends on its seed, resumes exactly and stops at losses that are not finite."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from inrgen.training.config import TrainConfig
from inrgen.training.data import TrainData
from inrgen.training.folder import CHECKPOINT
from inrgen.training.loop import run_training
from inrgen.training.model_file import WEIGHTS
from inrgen.training.result import EpochLog, TrainResult
from inrgen.training.run import open_run

QUICK = TrainConfig(
    model="mlp,hidden=32,layers=1",
    views=4,
    epochs=4,
    batch_size=32,
    lr=0.01,
    warmup=3,
    schedule="cosine",
    augment="negation,noise:scale=0.05",
    mixup="signed",
    clip_norm=1.0,
)
TIMES = {"seconds": 0.0, "wait_s": 0.0}


@pytest.fixture
def data(labelled_store) -> TrainData:
    return TrainData(train=labelled_store, val=labelled_store, test=labelled_store)


def timeless(result: TrainResult) -> TrainResult:
    """A result without its durations."""
    history = tuple(replace(log, **TIMES) for log in result.history)
    return replace(result, history=history, seconds=0.0)


class Interrupted(Exception):
    """Ends a run early."""


def stop_after(epoch: int):
    def report(done: EpochLog) -> None:
        if done.epoch == epoch:
            raise Interrupted

    return report


def test_a_network_learns_from_weights(data):
    model = "mlp,hidden=32,layers=1,dropout=0"
    config = replace(QUICK, model=model, mixup="none", augment="", lr=0.03, epochs=12)
    result = run_training(config, data)
    assert result.status == "ok"
    assert result.test_accuracy == 1.0
    assert result.confusion == ((4, 0, 0), (0, 4, 0), (0, 0, 4))
    assert result.classes == ("cat", "dog", "eel")
    assert result.labels == result.predicted
    assert result.items == tuple(f"{item:05d}" for item in range(4, 60, 5))
    assert result.history[-1].test_loss < result.history[0].test_loss


def test_the_best_validation_epoch_is_kept_and_tested(data):
    result = run_training(replace(QUICK, epochs=2), data)
    best = max(log.val_accuracy for log in result.history)
    kept = result.history[result.best_epoch]
    assert result.val_accuracy == kept.val_accuracy == best
    assert result.test_accuracy == kept.test_accuracy


def test_the_seed_decides_the_result(data):
    short = replace(QUICK, epochs=2)
    first, again, other = (
        timeless(run_training(config, data)) for config in (short, short, replace(short, seed=1))
    )
    assert first == again
    assert first.history[0].train_loss != other.history[0].train_loss


@pytest.mark.parametrize(
    "model", ["mlp,hidden=32,layers=1", "dws,channels=8,layers=1,batch_norm=yes,dropout=0.1"]
)
def test_an_interrupted_run_ends_as_if_it_never_stopped(data, tmp_path, model):
    config = replace(QUICK, model=model, views=2, epochs=3)
    whole = run_training(config, data, tmp_path / "whole")
    for epoch in (0, 1):
        with pytest.raises(Interrupted):
            run_training(config, data, tmp_path / "cut", on_epoch=stop_after(epoch))
    resumed = run_training(config, data, tmp_path / "cut")
    assert timeless(resumed) == timeless(whole)
    one, other = (load_file(tmp_path / name / WEIGHTS) for name in ("whole", "cut"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_finished_run_is_not_run_again(data, tmp_path):
    config = replace(QUICK, epochs=1)
    result = run_training(config, data, tmp_path / "run")
    told: list[EpochLog] = []
    assert run_training(config, data, tmp_path / "run", on_epoch=told.append) == result
    assert told == []
    assert not (tmp_path / "run" / CHECKPOINT).exists()
    assert TrainResult.from_dict(result.to_dict()) == result


def test_a_loss_that_is_not_finite_ends_the_run_with_a_sentence(data, tmp_path):
    config = replace(QUICK, lr=1e30, warmup=0, clip_norm=0.0, augment="", mixup="none", epochs=9)
    result = run_training(config, data, tmp_path / "run")
    assert result.status == "non_finite"
    assert len(result.history) < 9
    assert "The loss is NaN or infinite at epoch" in result.reason
    assert run_training(config, data, tmp_path / "run").status == "non_finite"


def test_another_run_in_the_same_folder_is_refused_with_what_differs(data, tmp_path):
    run_training(replace(QUICK, epochs=1), data, tmp_path / "run")
    with pytest.raises(ValueError, match=r"another run, which differs in lr \(there 0.01, here 0."):
        run_training(replace(QUICK, epochs=1, lr=0.5), data, tmp_path / "run")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(ValueError, match=r"not empty and holds no run, but thesis\.tex"):
        run_training(QUICK, data, tmp_path / "mine")


def test_a_damaged_checkpoint_is_named(data, tmp_path):
    with pytest.raises(Interrupted):
        run_training(QUICK, data, tmp_path, on_epoch=stop_after(1))
    path: Path = tmp_path / CHECKPOINT
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"checkpoint\.pt is damaged .* remove it"):
        run_training(QUICK, data, tmp_path)


def test_training_leaves_torchs_randomness_as_it_was(data):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    run_training(replace(QUICK, epochs=1), data)
    assert torch.equal(torch.rand(1), expected)


def test_a_finished_run_opens_with_its_result_classifier_and_predictions(data, tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no finished run"):
        open_run(tmp_path)
    result = run_training(replace(QUICK, epochs=1), data, tmp_path / "run")
    run = open_run(str(tmp_path / "run"))
    assert run.result == result
    assert "ok, 1 epochs, test accuracy" in repr(run)
    found = run.predict(str(data.test), split="test")
    first = [n for n, view in enumerate(found.columns["view"]) if view == 0]
    assert tuple(found.columns["predicted"][n] for n in first) == result.predicted
    assert run.classifier().mean.shape == (1, 37)
