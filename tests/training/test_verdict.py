"""Which epoch is kept, and what is counted of its answers."""

import math

import torch

from inrgen.training.result import EpochLog
from inrgen.training.verdict import best_of, confusion_matrix, is_sound


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
    assert best_of((log(0, 0.5), log(1, 0.9), log(2, 0.7))) == 1
    assert best_of((log(0, 0.9, 2.0), log(1, 0.9, 1.0), log(2, 0.9, 3.0))) == 1
    assert best_of((log(0, 0.9), log(1, 0.9))) == 0
    assert best_of(()) == -1


def test_without_validation_the_last_epoch_is_kept():
    assert best_of((log(0, math.nan, math.nan), log(1, math.nan, math.nan))) == 1


def test_losses_that_are_no_numbers_are_not_sound():
    assert is_sound(log(0, 0.5))
    assert is_sound(log(0, math.nan, math.nan))
    for loss in (math.nan, math.inf):
        assert not is_sound(log(0, 0.5, loss))
        assert not is_sound(log(0, 0.5, train_loss=loss))


def test_a_confusion_counts_true_classes_by_what_they_were_taken_for():
    labels, predicted = torch.tensor([0, 0, 1, 2, 2, 2]), torch.tensor([0, 2, 1, 2, 2, 0])
    assert confusion_matrix(labels, predicted, 3) == ((1, 0, 1), (0, 1, 0), (1, 0, 2))
