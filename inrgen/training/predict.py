"""What a trained network says of the rows of a store."""

from dataclasses import dataclass

import torch

from inrgen.core.spec import InrSpec
from inrgen.loaders.stream import StreamLoader
from inrgen.store.queries import read_labels, read_usable_records
from inrgen.store.reader import Store
from inrgen.training.checkpoint import TrainedModel
from inrgen.training.data import eval_batch_size
from inrgen.training.step import Answers, evaluate


@dataclass(frozen=True, kw_only=True, slots=True)
class Predictions:
    """Columns, a place a row of the store: what its record says, and what the network says.

    probability: of the predicted class. accuracy: the share of rows that are right; None where
    rows have no labels, or labels of other names than the network learned.
    """

    columns: dict[str, list[object]]
    accuracy: float | None


def spec_difference(one: InrSpec, other: InrSpec) -> str:
    """The fields that two specs differ in, with both values; "" where they are the same."""
    ours, theirs = one.to_dict(), other.to_dict()
    return ", ".join(
        f"{name} ({ours[name]!r} and {theirs[name]!r})"
        for name in ours
        if ours[name] != theirs[name]
    )


def _check(model: TrainedModel, store: Store) -> None:
    if not model.classes:
        raise ValueError(
            "the run is of contrastive training and knows no classes; train --init RUN learns some"
        )
    if len(store.specs) != 1:
        raise ValueError(f"{store.path} holds several networks: {sorted(store.specs)}")
    difference = spec_difference(model.spec, store.spec)
    if difference:
        raise ValueError(
            f"the run learned from other networks than {store.path} holds, which differ in "
            f"{difference}"
        )


def _means_the_same(model: TrainedModel, store: Store, split: str) -> bool:
    """Whether every label of the store is a class of the network's, of the same name."""
    splits = ("train", "val", "test") if split == "all" else (split,)
    for part in splits:
        for label, name in read_labels(store, store.spec.spec_id, part).items():
            if not 0 <= label < len(model.classes):
                return False
            if (name or str(label)) != model.classes[label]:
                return False
    return True


def _columns(store: Store, found: Answers, classes: tuple[str, ...]) -> dict[str, list[object]]:
    wanted = ("item_id", "view", "row", "split", "label")
    records = read_usable_records(store, found.rows.tolist(), store.spec.spec_id, wanted)
    said = {name: [record[name] for record in records] for name in wanted}
    predicted = found.predicted.tolist()
    return {
        **said,
        "predicted": predicted,
        "predicted_name": [classes[label] for label in predicted],
        "probability": found.probability.tolist(),
    }


def predict(
    model: TrainedModel, store: Store, split: str = "all", device: torch.device | str = "cpu"
) -> Predictions:
    """Classify every view of a split, or of all, that holds weights.

    Raises ValueError where the store's networks are not those that the run learned from, naming
    what differs, or where the split is not there.
    """
    _check(model, store)
    size = eval_batch_size(torch.device(device))
    loader = StreamLoader(store, split=split, batch_size=size, device=device)
    found = evaluate(model.classifier, loader)
    return Predictions(
        columns=_columns(store, found, model.classes),
        accuracy=found.accuracy if _means_the_same(model, store, split) else None,
    )
