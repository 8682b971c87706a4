"""Many items at once: numbered without building each, split by hash, and digested."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import overload

import numpy as np
from jaxtyping import Int

from inrgen.core.config import Split, digest_items, hash_name
from inrgen.sources.base import Item
from inrgen.sources.listing import counted

# Train items of a class that make one of them available for another split.
_LEAST_TRAIN = 3


def bucket_split(item_id: str) -> Split:
    """Assign an item of a data set without splits to train, val or test (80/10/10).

    The split follows from a hash of the id, so items that join or leave move no other item.
    """
    bucket = hash_name(item_id) % 10
    return "train" if bucket < 8 else "val" if bucket == 8 else "test"


def bucket_splits(ids: Sequence[str], classes: Sequence[str]) -> list[Split]:
    """Assign the items of a small data set as bucket_split does, but leave no class untested.

    A class without a val item (then without a test item) gives one of its train items if it has
    three; which one follows from a hash of the ids, and never from their order.
    """
    splits: list[Split] = [bucket_split(item_id) for item_id in ids]
    wanted: Split
    members: defaultdict[str, list[int]] = defaultdict(list)
    for at, name in enumerate(classes):
        members[name].append(at)
    for places in members.values():
        for wanted in ("val", "test"):
            train = [at for at in places if splits[at] == "train"]
            if len(train) >= _LEAST_TRAIN and all(splits[at] != wanted for at in places):
                splits[min(train, key=lambda at: hash_name(ids[at]))] = wanted
    return splits


def items_digest(items: Iterable[Item]) -> str:
    """digest_items of items, whose number is reported meanwhile."""
    counting = counted(items, "items listed")
    return digest_items((item.item_id, item.split, item.label) for item in counting)


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
    """Runs of items as one sequence; each item is built on access.

    Attributes:
        label_names: label_names[label] names a label; -1 and labels beyond the end have no name.
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
            start, stop, step = index.indices(len(self))
            return list(self._between(start, stop)) if step == 1 else list(self)[index]
        if not -len(self) <= index < len(self):
            raise IndexError(f"there are {len(self)} items; got index {index}")
        return self._item(index % len(self))

    def __iter__(self) -> Iterator[Item]:
        return self._between(0, len(self))

    def _between(self, start: int, stop: int) -> Iterator[Item]:
        """Items start..stop-1. To look up the run of each anew would be slow for a whole build."""
        for run in self.runs:
            part = slice(max(start, 0), max(stop, 0))
            pairs = zip(run.numbers[part].tolist(), run.labels[part].tolist(), strict=True)
            for number, label in pairs:
                yield self._named(run, number, label)
            start, stop = start - len(run), stop - len(run)

    def _item(self, index: int) -> Item:
        ends = accumulate(len(run) for run in self.runs)
        run, end = next((r, e) for r, e in zip(self.runs, ends, strict=True) if index < e)
        place = index - (end - len(run))
        return self._named(run, int(run.numbers[place]), int(run.labels[place]))

    def _named(self, run: ItemRun, number: int, label: int) -> Item:
        named = 0 <= label < len(self.label_names)
        return Item(
            item_id=f"{run.prefix}/{number:05d}",
            split=run.split,
            label=label,
            label_name=self.label_names[label] if named else "",
        )
