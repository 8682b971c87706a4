"""The best epoch is kept, and its confusion matrix counts true against predicted classes."""

import math

import torch

from inrgen.training.evaluation import confusion_matrix
from inrgen.training.result import EpochLog, find_best_epoch


def log(epoch: int, accuracy: float, loss: float = 1.0, train_loss: float = 1.0) -> EpochLog:
    return EpochLog(
        epoch=epoch,
        lr=0.1,
        train_loss=train_loss,
        train_accuracy=0.5,
        val_loss=loss,
        val_accuracy=accuracy,
        test_loss=0.0,
        test_accuracy=1.0,
        rows=8,
        seconds=1.0,
        wait_s=0.0,
    )


def test_the_highest_validation_accuracy_is_kept_then_the_lowest_loss_then_the_first():
    assert find_best_epoch((log(0, 0.5), log(1, 0.9), log(2, 0.7))) == 1
    assert find_best_epoch((log(0, 0.9, 2.0), log(1, 0.9, 1.0), log(2, 0.9, 3.0))) == 1
    assert find_best_epoch((log(0, 0.9), log(1, 0.9))) == 0
    assert find_best_epoch(()) == -1


def test_without_validation_the_last_epoch_is_kept():
    assert find_best_epoch((log(0, math.nan, math.nan), log(1, math.nan, math.nan))) == 1


def test_losses_must_be_finite_where_they_were_measured():
    assert log(0, 0.5).is_finite
    assert log(0, math.nan, math.nan).is_finite
    for loss in (math.nan, math.inf):
        assert not log(0, 0.5, loss).is_finite
        assert not log(0, 0.5, train_loss=loss).is_finite


def test_a_confusion_counts_true_against_predicted_classes():
    labels, predicted = torch.tensor([0, 0, 1, 2, 2, 2]), torch.tensor([0, 2, 1, 2, 2, 0])
    assert confusion_matrix(labels, predicted, 3) == ((1, 0, 1), (0, 1, 0), (1, 0, 2))
