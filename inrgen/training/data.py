"""Stores of a training run: opened, and checked against the run's config."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from inrgen.core import rng
from inrgen.core.spec import InrSpec
from inrgen.loaders.index import Stores
from inrgen.store.queries import read_items, read_labels
from inrgen.store.reader import Store, open_store
from inrgen.training.config import TrainConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainData:
    """The source of each split: a store or its path, or several. All three may be the same.

    test: None skips testing.
    """

    train: Stores
    val: Stores
    test: Stores | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenData:
    """The stores of each split, opened and checked.

    Attributes:
        classes: names of the labels 0, 1, ...; () where a run needs no labels.
        items: ids of the training items in use; None for all.
    """

    train: tuple[Store, ...]
    val: tuple[Store, ...]
    test: tuple[Store, ...]
    spec: InrSpec
    classes: tuple[str, ...]
    items: tuple[str, ...] | None


def open_data(config: TrainConfig, data: TrainData) -> OpenData:
    """Open the stores and check them against the config.

    Raises ValueError where specs differ, views or labels are missing, or there is a single class.
    """
    train, val, test = _open(data.train), _open(data.val), _open(data.test)
    if not train or not val:
        raise ValueError("train and val need at least one store each")
    spec = train[0].spec
    for store in (*train, *val, *test):
        if store.spec != spec:
            raise ValueError(
                f"{store.path} holds networks {store.spec.spec_id}, "
                f"and {train[0].path} {spec.spec_id}: a run needs one spec"
            )
    for store in train:
        num_views = store.layouts[spec.spec_id].views
        if config.views > num_views:
            raise ValueError(
                f"views must be at most {num_views} for {store.path}; got {config.views}"
            )
    items = _choose_items(train, spec.spec_id, config.fraction, config.seed)
    opened = OpenData(train=train, val=val, test=test, spec=spec, classes=(), items=items)
    if config.objective == "contrastive":
        return opened
    return replace(opened, classes=_read_classes(opened))


def _open(stores: Stores | None) -> tuple[Store, ...]:
    several = [stores] if isinstance(stores, Store | str | Path) else stores or []
    return tuple(s if isinstance(s, Store) else open_store(s) for s in several)


def _choose_items(
    stores: tuple[Store, ...], spec_id: str, fraction: float, seed: int
) -> tuple[str, ...] | None:
    """The first share of the training items in an order set by the seed; None for all."""
    # None lets the loader skip a filter on item ids.
    if fraction == 1.0:
        return None
    items = sorted({item for store in stores for item in read_items(store, spec_id, "train")})
    keys = rng.keys(seed, "share of the items", rng.hash_items(items))
    order = torch.argsort(keys, stable=True).tolist()
    # The order does not depend on the fraction, so smaller shares lie in larger ones.
    return tuple(items[at] for at in order[: max(1, round(fraction * len(items)))])


def _read_classes(data: OpenData) -> tuple[str, ...]:
    """The names of the training classes. Raises ValueError for rows that cannot be classified."""
    spec_id, paths = data.spec.spec_id, ", ".join(store.path for store in data.train)
    labels = _merge_labels(data.train, spec_id, "train")
    if not labels:
        raise ValueError(f"{paths} has no training rows of {spec_id}")
    if -1 in labels:
        some = "some" if len(labels) > 1 else "its"
        raise ValueError(
            f"{paths}: {some} training rows have no label; only contrastive training needs none"
        )
    if len(labels) == 1:
        raise ValueError(f"{paths}: all training rows are of one class, {labels}; there is no task")
    for split, stores in (("val", data.val), ("test", data.test)):
        found = _merge_labels(stores, spec_id, split)
        if stores and not found:
            raise ValueError(
                f"{', '.join(store.path for store in stores)} has no {split} rows; "
                f"give a store that has some as {split}{_describe_missing(stores, spec_id)}"
            )
        unknown = sorted(set(found) - set(labels))
        if unknown:
            raise ValueError(
                f"{split} rows have the labels {unknown}, which no training row has; "
                f"those are {sorted(labels)}"
            )
        _check_names(labels, found, ", ".join(store.path for store in stores))
    return tuple(labels.get(c, "") or str(c) for c in range(max(labels) + 1))


def _describe_missing(stores: tuple[Store, ...], spec_id: str) -> str:
    """Rows that unfinished stores lack, as the end of a sentence; "" if all are finished."""
    owed = {
        store.path: store.layouts[spec_id].rows - store.num_committed_rows(spec_id)
        for store in stores
    }
    return "".join(
        f"; {path} is unfinished: {num:,} rows to go" for path, num in owed.items() if num
    )


def _merge_labels(stores: tuple[Store, ...], spec_id: str, split: str) -> dict[int, str]:
    """The labels of a split with their names; "" where a name is not known."""
    found: dict[int, str] = {}
    for store in stores:
        here = {
            # Imported stores may name a label by its number, which is no name.
            label: "" if name == str(label) else name
            for label, name in read_labels(store, spec_id, split).items()
        }
        _check_names(found, here, store.path)
        found |= {label: name or found.get(label, "") for label, name in here.items()}
    return found


def _check_names(known: dict[int, str], found: dict[int, str], path: str) -> None:
    """Raise ValueError where one number has two names."""
    for label, name in sorted(found.items()):
        other = known.get(label, "")
        if name and other and name != other:
            raise ValueError(
                f"labels must mean the same everywhere; {label} is {name!r} in {path}, and "
                f"{other!r} in other rows"
            )
