"""Result of a training run, as plain values: the log of its epochs and the test of the best one."""

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

RunStatus = Literal["ok", "non_finite"]


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochLog:
    """Metrics of one epoch; NaN where something was not measured.

    Losses are means over rows. The training loss is on changed and mixed rows, during the epoch;
    the others are on unchanged rows, at its end. Accuracies are shares; on mixed rows, the label
    with the larger share counts.

    Attributes:
        lr: learning rate of the last update.
        seconds, wait_s: duration, and the part of it in which updates waited for data.
    """

    epoch: int
    lr: float
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    test_loss: float
    test_accuracy: float
    rows: int
    seconds: float
    wait_s: float

    @property
    def is_finite(self) -> bool:
        """Tell whether the losses that were measured are finite."""
        validated = not math.isnan(self.val_accuracy)
        return math.isfinite(self.train_loss) and (math.isfinite(self.val_loss) or not validated)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, NaN as None."""
        return {name: _encode(value) for name, value in asdict(self).items()}

    @staticmethod
    def from_dict(values: dict[str, Any]) -> "EpochLog":
        """The inverse of to_dict."""
        return EpochLog(**{name: _decode(value) for name, value in values.items()})


def find_best_epoch(history: tuple[EpochLog, ...]) -> int:
    """The epoch to keep: the highest validation accuracy, and the lowest loss among equals.

    Without validation it is the last epoch, and without epochs -1.
    """
    if not history or math.isnan(history[-1].val_accuracy):
        return len(history) - 1
    # Of equal accuracies and losses the earliest epoch wins.
    return max(history, key=lambda log: (log.val_accuracy, -log.val_loss, -log.epoch)).epoch


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainResult:
    """The best epoch of a run on validation rows, and the test of its network.

    Attributes:
        status, reason: "ok", or the reason why training stopped early.
        best_epoch: counted from 0; -1 where no epoch was completed. Contrastive training keeps
            the last one.
        val_accuracy, test_accuracy: shares; NaN where there was nothing to classify.
        history: the log of each epoch.
        classes: names of the classes; class c is label c.
        confusion: confusion[t][p] test rows of class t were predicted as class p.
        items, labels, predicted: one for each test row, by item id, for a bootstrap to draw from.
        seconds: duration of training. A resumed run sums its sessions, without lost epochs.
    """

    status: RunStatus
    reason: str
    best_epoch: int
    val_accuracy: float
    test_accuracy: float
    history: tuple[EpochLog, ...]
    classes: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    items: tuple[str, ...]
    labels: tuple[int, ...]
    predicted: tuple[int, ...]
    num_params: int
    train_rows: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, NaN as None; from_dict is the inverse."""
        values = {f.name: _encode(getattr(self, f.name)) for f in fields(self)}
        return {**values, "history": [log.to_dict() for log in self.history]}

    @staticmethod
    def from_dict(values: dict[str, Any]) -> "TrainResult":
        """Rebuild a result from to_dict's values."""
        decoded = {name: _decode(value) for name, value in values.items()}
        decoded["history"] = tuple(EpochLog.from_dict(log) for log in values["history"])
        return TrainResult(**decoded)


def _encode(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return [_encode(part) for part in value] if isinstance(value, tuple) else value


def _decode(value: Any) -> Any:
    # JSON has no NaN.
    if value is None:
        return math.nan
    return tuple(_decode(part) for part in value) if isinstance(value, list) else value
