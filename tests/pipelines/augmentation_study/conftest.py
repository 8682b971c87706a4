"""Made-up outcomes of a study, without training."""

import pytest
import torch

from inrgen.training.result import EpochLog, TrainResult
from pipelines.augmentation_study.results import Outcome, Run

NUM_ITEMS, NUM_CLASSES, NUM_EPOCHS = 400, 4, 5


def history(accuracy):
    """Make epochs whose test loss rises after the second, as with overfitting."""
    return tuple(
        EpochLog(
            epoch=epoch,
            lr=1e-3,
            train_loss=1.5 / (epoch + 1),
            train_accuracy=accuracy,
            val_loss=1.0 + 0.1 * abs(epoch - 1),
            val_accuracy=accuracy,
            test_loss=1.1 + 0.1 * abs(epoch - 1),
            test_accuracy=accuracy,
            rows=1000,
            seconds=1.0,
            wait_s=0.0,
        )
        for epoch in range(NUM_EPOCHS)
    )


def make_outcome(row, accuracy, seed=0):
    """Make a run of a row that classifies a share of the items correctly, others for each row."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(NUM_ITEMS) % NUM_CLASSES
    wrong = torch.rand(NUM_ITEMS, generator=generator) > accuracy
    predicted = (labels + wrong.long()) % NUM_CLASSES
    result = TrainResult(
        status="ok",
        reason="",
        best_epoch=1,
        val_accuracy=accuracy,
        test_accuracy=float((predicted == labels).double().mean()),
        history=history(accuracy),
        classes=tuple("abcd"),
        confusion=(),
        items=tuple(f"test/{at:05d}" for at in range(NUM_ITEMS)),
        labels=tuple(labels.tolist()),
        predicted=tuple(predicted.tolist()),
        num_params=10,
        train_rows=1000,
        seconds=5.0,
    )
    run = Run(row=row, seed=seed)
    notes = {"seconds": 5.0, "date": "2026-01-01 00:00 UTC"}
    return Outcome(run=run, result=result, config={}, recipe={}, error="", notes=notes)


def make_recipe_outcome(row, percent):
    """Make the outcome of a row of the recipe study."""
    probes = ("mlp_raw", "mlp_permutation", "mlp_signed", "set_raw")
    accuracy = {name: {"percent": percent, "standard_error": 1.0} for name in probes}
    psnr = {"psnr_db": 20.0, "psnr_p5_db": 18.0, "psnr_p95_db": 22.0}
    recipe = {"seconds_per_10k": 40.0, **psnr, "accuracy": accuracy}
    run = Run(row=row, seed=0)
    return Outcome(run=run, result=None, config={}, recipe=recipe, error="", notes={"seconds": 1.0})


@pytest.fixture
def outcome():
    return make_outcome


@pytest.fixture
def recipe_outcome():
    return make_recipe_outcome
