"""Probes of a finished store: test accuracy of classifiers trained on its weights."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from inrgen.core import rng
from inrgen.core.config import SPLITS, Split
from inrgen.fit.plan import source_of_store
from inrgen.probes.catalog import (
    HEADS,
    Accuracy,
    accuracy,
    accuracy_text,
    ensemble_shares,
    judged_shares,
)
from inrgen.probes.config import Learners, ProbeConfig, ProbeName
from inrgen.probes.report import columns_text, ignore_progress
from inrgen.probes.subjects import check_folds, divide_by_folds, divide_by_split, read_pixels
from inrgen.sources.catalog import open_source
from inrgen.sources.config import describe_copies
from inrgen.sources.selection import choose_limited
from inrgen.store.queries import make_filter
from inrgen.store.reader import Store, open_store
from inrgen.store.records import USABLE_STATUSES


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreProbe:
    """Accuracy of one probe on the weights of a store.

    Attributes:
        probe: the probe by name.
        store: the store's location.
        spec_id: its architecture.
        num_train, num_val, num_test: items read of each split.
        num_inrs: INRs read of these items; failed fits are left out.
        folds: folds of the cross-validation over all items; 0 where the store's splits were used.
        accuracy: test accuracy. Its standard error is over items, because views of one item are
            not independent.
        commonest_percent: share of the commonest class among the judged items, which a guess
            reaches.
    """

    probe: ProbeName
    store: str
    spec_id: str
    num_train: int
    num_val: int
    num_test: int
    num_inrs: int
    folds: int
    accuracy: Accuracy
    commonest_percent: float


def probe_store(
    config: ProbeConfig, progress: Callable[[str], None] = ignore_progress
) -> list[StoreProbe]:
    """Train each probe on a store's weights and judge it on the test items, or in folds.

    Raises ValueError for a store with several architectures, without labels or without weights,
    and for a class with fewer items than there are folds.
    """
    store = open_store(config.store)
    items = _choose_items(store, config)
    progress(f"{config.store}: reading {len(items):,} items")
    rows = [(row, at) for at, item in enumerate(items) for row in item.rows]
    params, item_of = store.read([row for row, _ in rows]), torch.tensor([at for _, at in rows])
    labels = torch.tensor([item.label for item in items])
    counts = {split: sum(item.split == split for item in items) for split in SPLITS}
    # Without train, val or test there is nothing to learn from, to choose by or to judge.
    folds = 0 if all(counts.values()) else config.folds
    if folds:
        _check_copies(store)
        check_folds(labels, folds)
        hashes = rng.hash_items(item.item_id for item in items)
        divisions = divide_by_folds(labels, hashes, folds, config.seed)
    else:
        divisions = divide_by_split([item.split for item in items])
    progress(f"{config.store}: learning from {len(params):,} INRs")
    by_inr = [division.expand(item_of) for division in divisions]
    pixels = _read_pixels(store, config, items)[item_of] if "mlp_pixels" in config.probes else None
    given, known = (store.spec, params, labels[item_of]), (config.probes, _learners(config), pixels)
    if config.ensemble:
        view_of = torch.tensor([view for item in items for view in item.views])
        shares = ensemble_shares(*given, item_of, view_of, by_inr, *known)
    else:
        shares = judged_shares(*given, by_inr, *known)
    judged = labels[torch.cat([division.test for division in divisions])]
    return [
        StoreProbe(
            probe=name,
            store=str(config.store),
            spec_id=store.spec.spec_id,
            num_train=counts["train"],
            num_val=counts["val"],
            num_test=counts["test"],
            num_inrs=len(params),
            folds=folds,
            accuracy=accuracy(_item_means(share, item_of, len(items))),
            commonest_percent=100.0 * float(judged.bincount().max()) / len(judged),
        )
        for name, share in shares.items()
    ]


def _check_copies(store: Store) -> None:
    """Raise ValueError for copies, which folds would part from the items that they show."""
    source = store.built_identity.get("source")
    if isinstance(source, dict) and (copies := describe_copies(source)):
        raise ValueError(
            f"{store.path} has {copies}, and no items in one of train, val and test; "
            "a copy and its original must not be in two folds"
        )


@dataclass(slots=True)
class _StoredItem:
    item_id: str
    split: Split
    label: int
    rows: list[int]
    views: list[int]


def _choose_items(store: Store, config: ProbeConfig) -> list[_StoredItem]:
    """Choose items of each split, with the rows of their first views."""
    columns = ["row", "item_id", "view", "split", "label", "status"]
    # By row: the order of record files must not decide which items are first.
    table = store.read_records(columns, make_filter(num_views=config.views)).sort_by("row")
    found: dict[str, _StoredItem] = {}
    for row, item_id, view, split, label, status in zip(
        *(table[name].to_pylist() for name in columns), strict=True
    ):
        if status not in USABLE_STATUSES:  # the row is NaN
            continue
        item = found.setdefault(item_id, _StoredItem(item_id, split, label, [], []))
        item.rows.append(row)
        item.views.append(view)
    if not found:
        raise ValueError(f"store needs rows with weights; {config.store} has none")
    items = _limit_items(list(found.values()), config)
    if bare := [item.item_id for item in items if item.label < 0]:
        raise ValueError(
            f"store needs a label for every item; {config.store} has none for {bare[0]}"
        )
    return items


def _limit_items(items: list[_StoredItem], config: ProbeConfig) -> list[_StoredItem]:
    """At most config.limit items of each split, in the order of rows."""
    chosen: set[int] = set()
    for split in SPLITS:
        at = [place for place, item in enumerate(items) if item.split == split]
        names = [items[place].item_id for place in at]
        labels = np.array([items[place].label for place in at], dtype=np.int64)
        limited = choose_limited(names, labels, config.limit, config.limit_order)
        chosen |= {at[place] for place in limited}
    return [item for place, item in enumerate(items) if place in chosen]


def _read_pixels(
    store: Store, config: ProbeConfig, items: Sequence[_StoredItem]
) -> Float[Tensor, "i n"]:
    """Pixels of the images that a store's items were fitted to, from its source."""
    source = open_source(source_of_store(store, config.data))
    place_of = {item.item_id: place for place, item in enumerate(source.items)}
    missing = [item.item_id for item in items if item.item_id not in place_of]
    if missing:
        raise ValueError(f"data lacks {len(missing):,} items of the store, such as {missing[0]}")
    return read_pixels(source, [place_of[item.item_id] for item in items])


def _learners(config: ProbeConfig) -> Learners:
    learners = Learners(mlp=config.mlp, repeats=config.repeats, seed=config.seed)
    if config.epochs is None:
        return learners
    return replace(
        learners,
        mlp=replace(learners.mlp, epochs=config.epochs),
        set_model=replace(learners.set_model, epochs=config.epochs),
    )


def _item_means(
    shares: Float[Tensor, " b"], item_of: Int[Tensor, " b"], num_items: int
) -> Float[Tensor, " i"]:
    """Mean of the known shares of each item's INRs; NaN where none is known."""
    # Views of an item tend to be right or wrong together, so an item counts once.
    known = ~shares.isnan()
    total, num = torch.zeros(2, num_items, dtype=shares.dtype)
    total = total.index_add(0, item_of[known], shares[known])
    return total / num.index_add(0, item_of[known], torch.ones_like(shares[known]))


def store_table(rows: Sequence[StoreProbe]) -> str:
    """Print the accuracies, a probe a line, below what they were measured on."""
    first = rows[0]
    parts = f"{first.num_train:,} train, {first.num_val:,} val and {first.num_test:,} test items"
    if first.folds:
        total = first.num_train + first.num_val + first.num_test
        parts = f"{total:,} items in {first.folds} folds"
    about = (
        f"{first.store}, {first.spec_id}: {parts}, {first.num_inrs:,} INRs; accuracies in %, "
        f"± standard error; always the commonest class: {first.commonest_percent:.1f}"
    )
    columns: dict[str, Callable[[StoreProbe], str]] = {
        "probe": lambda row: HEADS[row.probe],
        "accuracy": lambda row: accuracy_text(row.accuracy),
    }
    return "\n".join([about, "", columns_text(columns, rows, 1)])
