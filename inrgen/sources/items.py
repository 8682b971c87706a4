"""Items in bulk: numbered without building each one, split by hash, and digested."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import overload

import numpy as np
from jaxtyping import Int

from inrgen.core.rng import hash_name
from inrgen.core.splits import Split
from inrgen.sources.base import Item


def bucket_split(item_id: str) -> Split:
    """The split of an item whose data set has none: 80/10/10 by a hash of its id.

    So an item keeps its split whatever else joins or leaves the data set.
    """
    bucket = hash_name(item_id) % 10
    return "train" if bucket < 8 else "val" if bucket == 8 else "test"


def items_digest(items: Iterable[Item]) -> str:
    """sha256 over the ids, splits and labels in order: two data sets that differ, differ here."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(json.dumps([item.item_id, item.split, item.label]).encode() + b"\n")
    return digest.hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemRun:
    """Items of one split, numbered as their file numbers them: ids are "prefix/00017"."""

    split: Split
    prefix: str
    numbers: Int[np.ndarray, " n"]
    labels: Int[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.numbers)


@dataclass(frozen=True, kw_only=True, slots=True)
class NumberedItems(Sequence[Item]):
    """Runs of items as one sequence, each item built when asked for.

    label_names[label] is a label's name; labels beyond it, and -1, have none.
    """

    runs: tuple[ItemRun, ...]
    label_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return sum(len(run) for run in self.runs)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        if isinstance(index, slice):
            return [self._at(i) for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"there are {len(self)} items; got index {index}")
        return self._at(index % len(self))

    def _at(self, index: int) -> Item:
        ends = accumulate(len(run) for run in self.runs)
        run, end = next((r, e) for r, e in zip(self.runs, ends, strict=True) if index < e)
        at = index - (end - len(run))
        label = int(run.labels[at])
        named = 0 <= label < len(self.label_names)
        return Item(
            item_id=f"{run.prefix}/{run.numbers[at]:05d}",
            split=run.split,
            label=label,
            label_name=self.label_names[label] if named else "",
        )
