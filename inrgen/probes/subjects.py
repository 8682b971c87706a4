"""The items that recipes are compared on."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from inrgen.core import rng
from inrgen.core.splits import SPLITS, Split
from inrgen.probes.divisions import Division, by_folds, by_split
from inrgen.sources.base import Item, Source


@dataclass(frozen=True, kw_only=True, slots=True)
class Subjects:
    """Items of a source, by their places in it, with their labels and the hashes of their ids."""

    source: Source
    places: tuple[int, ...]
    items: tuple[Item, ...]
    labels: Int[Tensor, " b"]
    hashes: Int[Tensor, " b"]

    def __len__(self) -> int:
        return len(self.items)

    def count(self, split: Split) -> int:
        """Items of a split."""
        return sum(item.split == split for item in self.items)

    def divide(self, num_folds: int, seed: int) -> tuple[Division, ...]:
        """As the source's splits say, or for cross-validation in so many folds."""
        if num_folds:
            return by_folds(self.labels, self.hashes, num_folds, seed)
        return by_split([item.split for item in self.items])


def choose_subjects(source: Source, sizes: Mapping[Split, int], num_folds: int) -> Subjects:
    """The first so many items of each split.

    Raises ValueError where an item has no label, and where a split is empty and folds do not take
    its place.
    """
    places: list[int] = []
    for split in SPLITS:
        of = [at for at, item in enumerate(source.items) if item.split == split]
        if not of and not num_folds:
            raise ValueError(
                f"source needs items in train, val and test unless folds are asked for; "
                f"{source.facts.name} has none in {split}"
            )
        places += of[: sizes[split]]
    items = tuple(source.items[at] for at in places)
    labels = torch.tensor([item.label for item in items])
    if int(labels.min()) < 0:
        bare = next(item for item in items if item.label < 0)
        raise ValueError(
            f"source needs a label for every item; {source.facts.name} has none for {bare.item_id}"
        )
    fewest = int(labels.unique(return_counts=True)[1].min())
    if num_folds and fewest < num_folds:
        raise ValueError(f"folds must be at most the items of a class, {fewest}; got {num_folds}")
    return Subjects(
        source=source,
        places=tuple(places),
        items=items,
        labels=labels,
        hashes=rng.hash_items(item.item_id for item in items),
    )
