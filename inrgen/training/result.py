"""What a training run found, as plain values."""

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

RunStatus = Literal["ok", "non_finite"]


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochLog:
    """One pass over the training rows; NaN where something was not measured.

    Losses are means over rows: the training loss as it was trained on, changed and mixed, by the
    weights of the moment; the others on rows as they are, by the weights at the epoch's end.
    Accuracies are shares; the training one counts the label that has the larger share.
    lr: of the last update; wait_s: how long updates waited for data, out of seconds.
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


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainResult:
    """A run's best epoch on validation rows, and what the network of that epoch says of test rows.

    status, reason: "ok", or why training stopped before its end.
    best_epoch: counted from 0; -1 where no epoch was whole. Of contrastive training the last.
    val_accuracy, test_accuracy: shares; NaN where there was nothing to classify.
    classes: their names; class c is label c.
    confusion: confusion[t][p] test rows of class t were taken for class p.
    items, labels, predicted: one for each test row, by item id: what a bootstrap draws from.
    seconds: of training, all sittings of a resumed run together, less what was lost.
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
        """As plain JSON values, NaN as None; from_dict is its inverse."""
        facts = {f.name: _plain(getattr(self, f.name)) for f in fields(self)}
        return {**facts, "history": [log_to_dict(log) for log in self.history]}

    @staticmethod
    def from_dict(facts: dict[str, Any]) -> "TrainResult":
        """Rebuild a result from to_dict's values."""
        values = {name: _back(value) for name, value in facts.items()}
        values["history"] = tuple(log_from_dict(log) for log in facts["history"])
        return TrainResult(**values)


def log_to_dict(log: EpochLog) -> dict[str, Any]:
    """An epoch as plain JSON values, NaN as None."""
    return {name: _plain(value) for name, value in asdict(log).items()}


def log_from_dict(facts: dict[str, Any]) -> EpochLog:
    """The inverse of log_to_dict."""
    return EpochLog(**{name: _back(value) for name, value in facts.items()})


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return [_plain(part) for part in value] if isinstance(value, tuple) else value


def _back(value: Any) -> Any:
    if value is None:
        return math.nan
    return tuple(_back(part) for part in value) if isinstance(value, list) else value
