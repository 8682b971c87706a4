"""What a run ends with: its best network, looked at once on test rows."""

import math

import torch
from jaxtyping import Int
from torch import Tensor

from inrgen.store.queries import read_usable_records
from inrgen.store.reader import Store
from inrgen.training.result import EpochLog, TrainResult
from inrgen.training.step import Answers


def confusion_matrix(
    labels: Int[Tensor, " b"], predicted: Int[Tensor, " b"], num_classes: int
) -> tuple[tuple[int, ...], ...]:
    """How many rows of each class (first axis) were taken for each class (second)."""
    counts = torch.bincount(labels * num_classes + predicted, minlength=num_classes**2)
    return tuple(tuple(row) for row in counts.reshape(num_classes, num_classes).tolist())


def item_ids(stores: tuple[Store, ...], spec_id: str, answers: Answers) -> tuple[str, ...]:
    """The item of each row that was answered for."""
    found: list[str] = []
    for number, store in enumerate(stores):
        rows = answers.rows[answers.stores == number].tolist()
        found += [str(r["item_id"]) for r in read_usable_records(store, rows, spec_id, ["item_id"])]
    return tuple(found)


def best_of(history: tuple[EpochLog, ...]) -> int:
    """The epoch to keep: the highest validation accuracy, of several the lowest loss.

    Where nothing was validated, the last one; -1 where there is none.
    """
    if not history or math.isnan(history[-1].val_accuracy):
        return len(history) - 1
    return max(history, key=lambda log: (log.val_accuracy, -log.val_loss, -log.epoch)).epoch


def is_sound(log: EpochLog) -> bool:
    """Whether an epoch's losses are numbers; that of rows not evaluated need not be."""
    validated = not math.isnan(log.val_accuracy)
    return math.isfinite(log.train_loss) and (math.isfinite(log.val_loss) or not validated)


def conclude(
    *,
    history: tuple[EpochLog, ...],
    best_epoch: int,
    reason: str,
    classes: tuple[str, ...],
    num_params: int,
    tested: Answers | None,
    items: tuple[str, ...],
) -> TrainResult:
    """The result, from what was measured. reason: why training stopped early; "" if it did not."""
    known = best_epoch >= 0
    return TrainResult(
        status="non_finite" if reason else "ok",
        reason=reason,
        best_epoch=best_epoch,
        val_accuracy=history[best_epoch].val_accuracy if known else math.nan,
        test_accuracy=tested.accuracy if tested is not None else math.nan,
        history=history,
        classes=classes,
        confusion=()
        if tested is None
        else confusion_matrix(tested.labels, tested.predicted, len(classes)),
        items=items,
        labels=() if tested is None else tuple(tested.labels.tolist()),
        predicted=() if tested is None else tuple(tested.predicted.tolist()),
        num_params=num_params,
        train_rows=history[0].rows if history else 0,
        seconds=sum(log.seconds for log in history),
    )
