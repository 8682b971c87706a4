"""Evaluation: a network's outputs on the rows of stores, and the result of a run from them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from inrgen.loaders.stream import StreamLoader
from inrgen.store.queries import read_usable_records
from inrgen.store.reader import Store
from inrgen.training.result import EpochLog, TrainResult


@dataclass(frozen=True, kw_only=True, slots=True)
class EvalOutput:
    """A network's output for each row, in the order of stores and rows; all are (b,).

    Attributes:
        rows: row of each INR within the array of its spec.
        stores: index of its store among the loader's stores.
        labels, predicted: its class, and the class that the network gives it.
        probability: probability of the predicted class.
        losses: cross-entropy; NaN where the network does not know the label.
    """

    rows: Int[Tensor, " b"]
    stores: Int[Tensor, " b"]
    labels: Int[Tensor, " b"]
    predicted: Int[Tensor, " b"]
    probability: Float[Tensor, " b"]
    losses: Float[Tensor, " b"]

    @property
    def loss(self) -> float:
        """The mean over rows."""
        return float(self.losses.double().mean())

    @property
    def accuracy(self) -> float:
        """The share of rows that are right."""
        return float((self.predicted == self.labels).double().mean())


def evaluate(module: nn.Module, loader: StreamLoader, precision: str = "float32") -> EvalOutput:
    """Classify every row that a loader serves, with the module in evaluation mode."""
    parts = []
    module.eval()
    loader.set_epoch(0)
    with torch.no_grad():
        for batch in loader:
            device = batch.params.device.type
            with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
                logits = module(batch.params).float()
            shares = logits.log_softmax(dim=1)
            top, predicted = shares.max(dim=1)
            known = (batch.labels >= 0) & (batch.labels < shares.shape[1])
            # An unknown label reads column 0 here; its loss becomes NaN below.
            own = shares.gather(1, (batch.labels * known)[:, None])[:, 0]
            losses = torch.where(known, -own, torch.nan)
            found = (batch.rows, batch.stores, batch.labels, predicted, top.exp(), losses)
            parts.append(tuple(part.cpu() for part in found))
    return _sorted([torch.cat(column) for column in zip(*parts, strict=True)])


def _sorted(columns: list[Tensor]) -> EvalOutput:
    """The output from its columns, sorted by store and row."""
    found = dict(zip(EvalOutput.__slots__, columns, strict=True))
    # The loader serves rows in random order; two stable sorts order them by store, then row.
    order = torch.argsort(found["rows"], stable=True)
    order = order[torch.argsort(found["stores"][order], stable=True)]
    return EvalOutput(**{name: column[order] for name, column in found.items()})


def confusion_matrix(
    labels: Int[Tensor, " b"], predicted: Int[Tensor, " b"], num_classes: int
) -> tuple[tuple[int, ...], ...]:
    """Number of rows of each class (first axis) predicted as each class (second axis)."""
    counts = torch.bincount(labels * num_classes + predicted, minlength=num_classes**2)
    return tuple(tuple(row) for row in counts.reshape(num_classes, num_classes).tolist())


def read_item_ids(stores: Sequence[Store], spec_id: str, output: EvalOutput) -> tuple[str, ...]:
    """The item id of each evaluated row."""
    found: list[str] = []
    for number, store in enumerate(stores):
        rows = output.rows[output.stores == number].tolist()
        found += [str(r["item_id"]) for r in read_usable_records(store, rows, spec_id, ["item_id"])]
    return tuple(found)


def make_result(
    *,
    history: tuple[EpochLog, ...],
    best_epoch: int,
    reason: str,
    classes: tuple[str, ...],
    num_params: int,
    tested: EvalOutput | None,
    items: tuple[str, ...],
) -> TrainResult:
    """The result of a run.

    Args:
        reason: the reason why training stopped early; "" if it did not.
        tested: the best network's output on test rows, if there are any.
        items: item ids of those rows.
    """
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
