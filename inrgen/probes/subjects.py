"""Subjects of a comparison, and their division into training, validation and test parts."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from inrgen.core import rng
from inrgen.core.config import SPLITS, Split
from inrgen.sources.base import BadSignal, Item, Source
from inrgen.sources.bounds import load_item
from inrgen.sources.config import LimitOrder
from inrgen.sources.selection import choose_limited


@dataclass(frozen=True, kw_only=True, slots=True)
class Division:
    """Positions among all INRs, each in at most one part.

    Attributes:
        train: INRs that a probe learns from; (t,).
        val: INRs that choose its epoch; (v,).
        test: INRs that it is judged on; (j,).
    """

    train: Int[Tensor, " t"]
    val: Int[Tensor, " v"]
    test: Int[Tensor, " j"]

    def keep(self, good: Bool[Tensor, " b"]) -> "Division":
        """Drop the INRs that are not good."""
        return Division(
            train=self.train[good[self.train]],
            val=self.val[good[self.val]],
            test=self.test[good[self.test]],
        )

    def expand(self, item_of: Int[Tensor, " b"]) -> "Division":
        """Turn a division of items into one of their INRs; all INRs of an item share a part.

        Args:
            item_of: each INR's position among the items; (b,).
        """
        # Two views of an item in two parts would leak the answer.
        train, val, test = (
            torch.isin(item_of, part).nonzero()[:, 0] for part in (self.train, self.val, self.test)
        )
        return Division(train=train, val=val, test=test)

    @property
    def is_whole(self) -> bool:
        """True where no part is empty."""
        return all(map(len, (self.train, self.val, self.test)))


def divide_by_split(splits: Sequence[Split]) -> tuple[Division, ...]:
    """Divide once, by the source's own splits."""
    train, val, test = (
        torch.tensor([at for at, split in enumerate(splits) if split == name], dtype=torch.int64)
        for name in SPLITS
    )
    return (Division(train=train, val=val, test=test),)


def divide_by_folds(
    labels: Int[Tensor, " b"], hashes: Int[Tensor, " b"], num_folds: int, seed: int
) -> tuple[Division, ...]:
    """Cross-validate: each INR is judged once, by a probe that learned from others.

    Each class is dealt to the folds in an order that item names and seed decide. A fold is judged;
    every other item of each class of the next fold chooses the epoch, and the rest teaches.

    Args:
        labels: class numbers; (b,).
        hashes: hashes of the items' ids; (b,).
        num_folds: folds, from 2 on.
        seed: names the order.
    """
    # Names and not positions order the items, so folds do not depend on the source's order.
    key = rng.keys(seed, "fold", hashes, torch.zeros_like(hashes))
    place = torch.zeros_like(labels)
    for label in labels.unique():
        members = (labels == label).nonzero()[:, 0]
        place[members[key[members].argsort()]] = torch.arange(len(members))
    fold, turn = place % num_folds, place // num_folds
    divisions = []
    for number in range(num_folds):
        test = fold == number
        # Half of a fold suffices to choose an epoch.
        val = (fold == (number + 1) % num_folds) & (turn % 2 == 0)
        parts = (~test & ~val, val, test)
        train_at, val_at, test_at = (part.nonzero()[:, 0] for part in parts)
        divisions.append(Division(train=train_at, val=val_at, test=test_at))
    return tuple(divisions)


def check_folds(labels: Int[Tensor, " b"], num_folds: int) -> None:
    """Raise ValueError where a class has fewer items than there are folds."""
    fewest = int(labels.unique(return_counts=True)[1].min())
    if fewest < num_folds:
        raise ValueError(f"folds must be at most the items of a class, {fewest}; got {num_folds}")


def read_pixels(source: Source, places: Sequence[int]) -> Float[Tensor, "b n"]:
    """Pixels of images of one size as flat rows; NaN for those that cannot be read.

    Raises ValueError for signals of other sizes, and for points.
    """
    rows: list[Tensor | None] = []
    for place in places:
        signal = load_item(source, place)
        if isinstance(signal, BadSignal):
            rows.append(None)
            continue
        if signal.coords is not None:
            raise ValueError(f"mlp_pixels reads images; {source.facts.name} gives points")
        rows.append(signal.values.flatten())
    sizes = {len(row) for row in rows if row is not None}
    if len(sizes) != 1:
        raise ValueError(
            f"mlp_pixels reads images of one size; {source.facts.name} gives {len(sizes)} sizes"
        )
    unread = torch.full((sizes.pop(),), math.nan)
    return torch.stack([unread if row is None else row for row in rows])


@dataclass(frozen=True, kw_only=True, slots=True)
class Subjects:
    """Items of a source that every recipe of a comparison fits.

    Attributes:
        source: the source that loads their signals.
        places: positions in the source.
        items: the items themselves.
        labels: class numbers; (b,).
        hashes: hashes of the items' ids; (b,).
    """

    source: Source
    places: tuple[int, ...]
    items: tuple[Item, ...]
    labels: Int[Tensor, " b"]
    hashes: Int[Tensor, " b"]

    def __len__(self) -> int:
        return len(self.items)

    def count(self, split: Split) -> int:
        """Number of items of a split."""
        return sum(item.split == split for item in self.items)

    def divide(self, num_folds: int, seed: int) -> tuple[Division, ...]:
        """Divide by the source's splits, or into folds where num_folds is not 0."""
        if num_folds:
            return divide_by_folds(self.labels, self.hashes, num_folds, seed)
        return divide_by_split([item.split for item in self.items])


def choose_subjects(
    source: Source, sizes: Mapping[Split, int], num_folds: int, order: LimitOrder
) -> Subjects:
    """Choose items of each split, as a limit does.

    Raises:
        ValueError: an item has no label, a split is empty and no folds replace it, or a class has
            fewer items than there are folds.
    """
    places: list[int] = []
    held = list(source.items)
    for split in SPLITS:
        members = [at for at, item in enumerate(held) if item.split == split]
        if not members and not num_folds:
            raise ValueError(
                f"source needs items in train, val and test, or folds to replace them; "
                f"{source.facts.name} has none in {split}"
            )
        names = [held[at].item_id for at in members]
        classes = np.array([held[at].label for at in members], dtype=np.int64)
        chosen = choose_limited(names, classes, sizes[split], order)
        places += [members[at] for at in chosen]
    items = tuple(held[at] for at in places)
    labels = torch.tensor([item.label for item in items])
    if int(labels.min()) < 0:
        bare = next(item for item in items if item.label < 0)
        raise ValueError(
            f"source needs a label for every item; {source.facts.name} has none for {bare.item_id}"
        )
    if num_folds:
        check_folds(labels, num_folds)
    return Subjects(
        source=source,
        places=tuple(places),
        items=items,
        labels=labels,
        hashes=rng.hash_items(item.item_id for item in items),
    )
