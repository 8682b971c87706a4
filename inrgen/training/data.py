"""The stores that a run learns from and is measured on, and the loaders of its rows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from inrgen.core import rng
from inrgen.core.spec import InrSpec
from inrgen.loaders.index import Stores
from inrgen.loaders.stream import StreamLoader
from inrgen.store.queries import make_filter, read_items, read_labels
from inrgen.store.reader import Store, open_store
from inrgen.training.config import TrainConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainData:
    """Where each split is read from: a store or its path, or several; all may be the same.

    test: None where there is nothing to test on.
    """

    train: Stores
    val: Stores
    test: Stores | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Which of how many processes this is, and the device that it works on."""

    device: torch.device
    rank: int = 0
    world_size: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenData:
    """The same, opened and looked over.

    classes: the names of labels 0, 1, ...; () where a run needs no labels.
    items: the ids of the training items in use; None for all.
    """

    train: tuple[Store, ...]
    val: tuple[Store, ...]
    test: tuple[Store, ...]
    spec: InrSpec
    classes: tuple[str, ...]
    items: tuple[str, ...] | None


def _opened(stores: Stores | None) -> tuple[Store, ...]:
    several = [stores] if isinstance(stores, Store | str | Path) else stores or []
    return tuple(s if isinstance(s, Store) else open_store(s) for s in several)


def _chosen_items(
    stores: tuple[Store, ...], spec_id: str, fraction: float, seed: int
) -> tuple[str, ...] | None:
    """The first share of the training items in an order that the seed names; None for all."""
    if fraction == 1.0:
        return None
    items = sorted({item for store in stores for item in read_items(store, spec_id, "train")})
    keys = rng.keys(seed, "share of the items", rng.hash_items(items))
    order = torch.argsort(keys, stable=True).tolist()
    return tuple(items[at] for at in order[: max(1, round(fraction * len(items)))])


def _labels(stores: tuple[Store, ...], spec_id: str, split: str) -> dict[int, str]:
    """The labels of a split and what they are called: "" where that is not known."""
    found: dict[int, str] = {}
    for store in stores:
        there = {
            # a name that is but the number, as imports have it, tells nothing
            label: "" if name == str(label) else name
            for label, name in read_labels(store, spec_id, split).items()
        }
        _agree(found, there, store.path)
        found |= {label: name or found.get(label, "") for label, name in there.items()}
    return found


def _agree(known: dict[int, str], there: dict[int, str], whose: str) -> None:
    """Raise ValueError where one number is two classes."""
    for label, name in sorted(there.items()):
        other = known.get(label, "")
        if name and other and name != other:
            raise ValueError(
                f"labels must mean the same everywhere; {label} is {name!r} in {whose}, and "
                f"{other!r} in other rows"
            )


def _classes(data: OpenData) -> tuple[str, ...]:
    """The names of the training classes. Raises ValueError for rows that cannot be classified."""
    spec_id, where = data.spec.spec_id, ", ".join(store.path for store in data.train)
    labels = _labels(data.train, spec_id, "train")
    if not labels:
        raise ValueError(f"{where} has no training rows of {spec_id}")
    if -1 in labels:
        some = "some" if len(labels) > 1 else "its"
        raise ValueError(
            f"{where}: {some} training rows have no label; only contrastive training needs none"
        )
    if len(labels) == 1:
        raise ValueError(f"{where}: all training rows are of one class, {labels}; there is no task")
    for split, stores in (("val", data.val), ("test", data.test)):
        there = _labels(stores, spec_id, split)
        if stores and not there:
            raise ValueError(
                f"{', '.join(store.path for store in stores)} has no {split} rows; "
                f"give a store that has some as {split}"
            )
        unknown = sorted(set(there) - set(labels))
        if unknown:
            raise ValueError(
                f"{split} rows have the labels {unknown}, which no training row has; "
                f"those are {sorted(labels)}"
            )
        _agree(labels, there, ", ".join(store.path for store in stores))
    return tuple(labels.get(c, "") or str(c) for c in range(max(labels) + 1))


def open_data(config: TrainConfig, data: TrainData) -> OpenData:
    """Open the stores and hold them to the config.

    Raises ValueError where specs differ, views or labels are missing, or there is but one class.
    """
    train, val, test = _opened(data.train), _opened(data.val), _opened(data.test)
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
        there = store.layouts[spec.spec_id].views
        if config.views > there:
            raise ValueError(f"views must be at most {there} for {store.path}; got {config.views}")
    opened = OpenData(
        train=train,
        val=val,
        test=test,
        spec=spec,
        classes=(),
        items=_chosen_items(train, spec.spec_id, config.fraction, config.seed),
    )
    if config.objective == "contrastive":
        return opened
    return replace(opened, classes=_classes(opened))


def train_loader(config: TrainConfig, data: OpenData, place: Place, **more: Any) -> StreamLoader:
    """The training rows in use, in batches of this process's share; more goes to the loader."""
    options = {"views": "random" if config.view_mode == "random" else "all", **more}
    size, rest = divmod(config.batch_size, place.world_size)
    if rest:
        raise ValueError(
            f"batch_size must be a multiple of the {place.world_size} processes; "
            f"got {config.batch_size}"
        )
    loader = StreamLoader(
        data.train,
        filter=make_filter(data.items, options.pop("num_views", config.views)),
        batch_size=size,
        rank=place.rank,
        world_size=place.world_size,
        device=place.device,
        drop_last=place.world_size > 1,  # else one process could wait for another's last batch
        **options,
    )
    if place.world_size > 1 and len(loader) == 0:
        raise ValueError(
            f"batch_size must be at most the {loader.num_samples:,} rows of an epoch where "
            f"{place.world_size} processes train; got {config.batch_size}"
        )
    return loader


def eval_batch_size(device: torch.device) -> int:
    """INRs that are classified at once: on a CPU as many as a cache has room for."""
    return 128 if device.type == "cpu" else 1024


def eval_loader(stores: Sequence[Store], split: str, place: Place) -> StreamLoader:
    """The first view of each item of a split."""
    return StreamLoader(
        stores,
        split=split,
        views=[0],
        batch_size=eval_batch_size(place.device),
        rank=place.rank,
        world_size=place.world_size,
        device=place.device,
    )
