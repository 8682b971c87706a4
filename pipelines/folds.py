"""Cross-validation of trainings: a copy of a store for each fold, which is judged in its turn."""

from functools import partial
from pathlib import Path

import torch

from inrgen.core import rng
from inrgen.core.config import SPLITS
from inrgen.probes.subjects import check_folds, divide_by_folds
from inrgen.store.queries import select_usable
from inrgen.store.reader import Store
from pipelines.resplit import Splits, resplit

# Names the deal of items to folds.
_SEED = 0


def with_fold(given: Path, out: Path, *, fold: int, num_folds: int) -> Path:
    """Copy a store with one fold of all its items as test, and half of the next one as validation.

    The items are dealt to the folds as `inrgen probe` deals them: class by class, in an order that
    their names decide. The store's own splits do not matter. Each item is a test item of one fold.
    A second call resumes, or finds the copy finished and locks nothing.

    Args:
        given: the finished store, with labels.
        out: the folder of the copy.
        fold: the fold to test, from 0 on.
        num_folds: folds, from 2 on.

    Raises:
        ValueError: the store is not finished, has several architectures, an item without a label,
            or a class with fewer items than there are folds; or out holds another store.
        StoreBusy: another process is writing the copy.
        OSError: the copy cannot be written.
    """
    if not 0 <= fold < num_folds:
        raise ValueError(f"fold must be from 0 to {num_folds - 1}; got {fold}")
    choose = partial(_choose_fold, fold=fold, num_folds=num_folds)
    return resplit(given, out, "fold-split", {"fold": fold, "num_folds": num_folds}, choose)


def _choose_fold(store: Store, *, fold: int, num_folds: int) -> Splits:
    """Choose the split of every item that holds weights."""
    table = store.read_records(["item_id", "label"], select_usable(store.spec.spec_id))
    label_of = dict(zip(table["item_id"].to_pylist(), table["label"].to_pylist(), strict=True))
    items = sorted(label_of)
    if bare := [item for item in items if label_of[item] < 0]:
        raise ValueError(f"folds need a label for every item; {store.path} has none for {bare[0]}")
    labels = torch.tensor([label_of[item] for item in items])
    check_folds(labels, num_folds)
    division = divide_by_folds(labels, rng.hash_items(items), num_folds, _SEED)[fold]
    parts = {"train": division.train, "val": division.val, "test": division.test}
    return {items[at]: split for split in SPLITS for at in parts[split].tolist()}
