"""A finished run: its result, its classifier, and predictions for the rows of a store."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch

from inrgen.core.own_code import import_own
from inrgen.core.spec import InrSpec
from inrgen.loaders.stream import StreamLoader
from inrgen.store.notebook import facts_html
from inrgen.store.queries import read_labels, read_usable_records
from inrgen.store.reader import Store, open_store
from inrgen.training.classifier import Classifier
from inrgen.training.evaluation import EvalOutput, evaluate
from inrgen.training.feed import eval_batch_size
from inrgen.training.folder import read_result
from inrgen.training.model_file import TrainedModel, load_model
from inrgen.training.result import EpochLog, TrainResult


@dataclass(frozen=True, kw_only=True, slots=True)
class Predictions:
    """Predictions for rows of a store.

    Attributes:
        columns: item_id, view, row, split and label of each record, then predicted,
            predicted_name and probability (of the predicted class).
        accuracy: share of rows that are right; None where rows have no labels, or labels of other
            names than the network learned.
        note: a sentence if the store's rows are aligned otherwise than the training rows.
    """

    columns: dict[str, list[object]]
    accuracy: float | None
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Run:
    """A finished run, as open_run reads it.

    Attributes:
        path: the folder that run_training or `inrgen train` wrote.
        result: the log of all epochs, and the test of the best one.
    """

    path: Path
    result: TrainResult

    @property
    def test_accuracy(self) -> float:
        """Share of test rows that the best epoch classifies rightly; NaN without labels."""
        return self.result.test_accuracy

    def classifier(self, device: torch.device | str = "cpu") -> Classifier:
        """The network of the best epoch with its normalisation, in evaluation mode."""
        return load_model(self.path, device).classifier

    def predict(
        self, store: Store | str | Path, split: str = "all", device: torch.device | str = "cpu"
    ) -> Predictions:
        """Classify the rows of a store; see predict."""
        opened = store if isinstance(store, Store) else open_store(store)
        return predict(load_model(self.path, device), opened, split, device)

    def __repr__(self) -> str:
        result = self.result
        return (
            f"Run({str(self.path)!r}: {result.status}, {len(result.history)} epochs, "
            f"test accuracy {result.test_accuracy:.3f})"
        )

    def _repr_html_(self) -> str:
        result = self.result
        facts = {
            "location": self.path,
            "status": f"{result.status} {result.reason}".strip(),
            "network": f"{result.num_params:,} parameters, {result.train_rows:,} training rows",
            "kept epoch": f"{result.best_epoch + 1} of {len(result.history)}",
            "accuracy": f"validation {result.val_accuracy:.1%}, test {result.test_accuracy:.1%}",
            "loss": "training in blue, validation in orange",
        }
        return facts_html("Training run", facts, _curve_svg(result.history))


def _curve_svg(history: tuple[EpochLog, ...]) -> str:
    """Losses over epochs as a small SVG: training in blue, validation in orange."""
    width, height, curves = 320, 90, []
    losses = {"#0072b2": [log.train_loss for log in history]}
    losses["#e69f00"] = [log.val_loss for log in history]
    finite = [loss for curve in losses.values() for loss in curve if math.isfinite(loss)]
    if len(history) < 2 or not finite:
        return ""
    low, span = min(finite), max(max(finite) - min(finite), 1e-9)
    for colour, curve in losses.items():
        points = " ".join(
            f"{width * epoch / (len(curve) - 1):.1f},{height * (1 - (loss - low) / span):.1f}"
            for epoch, loss in enumerate(curve)
            if math.isfinite(loss)
        )
        curves.append(f'<polyline points="{points}" fill="none" stroke="{colour}" />')
    box = f'width="{width}" height="{height}" viewBox="-2 -2 {width + 4} {height + 4}"'
    return f"<svg {box}>{''.join(curves)}</svg>"


def open_run(path: str | Path, model: str = "") -> Run:
    """Open a finished run. Raises FileNotFoundError where the folder holds none.

    Args:
        model: MODULE:CLASS of a run of your own network. Its code runs only if you name it here.
    """
    if model:
        import_own(model, "model")
    result = read_result(Path(path))
    if result is None:
        raise FileNotFoundError(f"{path} holds no finished run; inrgen train makes one")
    return Run(path=Path(path), result=result)


def predict(
    model: TrainedModel, store: Store, split: str = "all", device: torch.device | str = "cpu"
) -> Predictions:
    """Classify every view that holds weights, of one split or of all.

    Raises ValueError where the store holds other networks than the run learned from, naming the
    difference, and for a split that the store lacks.
    """
    _check_specs(model, store)
    size = eval_batch_size(torch.device(device))
    loader = StreamLoader(store, split=split, batch_size=size, device=device)
    found = evaluate(model.classifier, loader)
    return Predictions(
        columns=_make_columns(store, found, model.classes),
        accuracy=found.accuracy if _has_same_classes(model, store, split) else None,
        note=_describe_alignment(model, store),
    )


def _describe_alignment(model: TrainedModel, store: Store) -> str:
    """A sentence about rows whose hidden units stand in another order than in training."""
    if model.alignments is None or store.alignment_sha256 in model.alignments:
        return ""
    learned, given = any(model.alignments), bool(store.alignment_sha256)
    if learned and given:
        return f"the run learned from rows aligned to another template than those of {store.path}"
    if learned:
        return f"the run learned from aligned rows, and those of {store.path} are not aligned"
    return f"the run learned from rows as they were fitted, and those of {store.path} are aligned"


def spec_difference(one: InrSpec, other: InrSpec) -> str:
    """The fields in which two specs differ, with both values; "" where they are the same."""
    ours, theirs = one.to_dict(), other.to_dict()
    return ", ".join(
        f"{name} ({ours[name]!r} and {theirs[name]!r})"
        for name in ours
        if ours[name] != theirs[name]
    )


def _check_specs(model: TrainedModel, store: Store) -> None:
    if not model.classes:
        raise ValueError(
            "the run is contrastive and knows no classes; train --init RUN learns some"
        )
    if len(store.specs) != 1:
        raise ValueError(f"{store.path} holds several networks: {sorted(store.specs)}")
    difference = spec_difference(model.spec, store.spec)
    if difference:
        raise ValueError(
            f"the run learned from other networks than {store.path} holds, which differ in "
            f"{difference}"
        )


def _has_same_classes(model: TrainedModel, store: Store, split: str) -> bool:
    """Tell whether every label of the store is a class of the network, with the same name."""
    splits = ("train", "val", "test") if split == "all" else (split,)
    for part in splits:
        for label, name in read_labels(store, store.spec.spec_id, part).items():
            if not 0 <= label < len(model.classes):
                return False
            # A label without a name is called by its number, as in training.
            if (name or str(label)) != model.classes[label]:
                return False
    return True


def _make_columns(
    store: Store, output: EvalOutput, classes: tuple[str, ...]
) -> dict[str, list[object]]:
    wanted = ("item_id", "view", "row", "split", "label")
    records = read_usable_records(store, output.rows.tolist(), store.spec.spec_id, wanted)
    predicted = output.predicted.tolist()
    return {
        **{name: [record[name] for record in records] for name in wanted},
        "predicted": predicted,
        "predicted_name": [classes[label] for label in predicted],
        "probability": output.probability.tolist(),
    }
