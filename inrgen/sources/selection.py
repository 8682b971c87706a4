"""Part of a source: chosen splits, and a limited number of items of each."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import torch
from jaxtyping import Int

from inrgen.core import rng
from inrgen.core.config import SPLITS, Split
from inrgen.sources.base import Item, Signal, Source, SourceFacts
from inrgen.sources.config import LimitOrder, SourceConfig, describe_copies, describe_limit

# Sentences name at most so many classes.
_MOST_NAMED = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class ChosenItems(Sequence[Item]):
    """Some items of a sequence, in the order of chosen; each is built on access."""

    items: Sequence[Item]
    chosen: Int[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.chosen)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        if isinstance(index, slice):
            return [self.items[int(i)] for i in self.chosen[index]]
        return self.items[int(self.chosen[index])]


@dataclass(frozen=True, kw_only=True, slots=True)
class ChosenPart:
    """A Source over some items of another one."""

    source: Source
    items: ChosenItems

    @property
    def facts(self) -> SourceFacts:
        return self.source.facts

    @property
    def data_sha256(self) -> str | None:
        """Digest of the whole source's data, where it gives one."""
        return data_digest(self.source)

    def load(self, index: int) -> Signal:
        """The signal of items[index]."""
        return self.source.load(int(self.items.chosen[index]))


def data_digest(source: Source) -> str | None:
    """The digest of a source's data, from its attribute data_sha256; None where it has none."""
    return getattr(source, "data_sha256", None)


def stratified_order(
    item_ids: Sequence[str], labels: Int[np.ndarray, " n"]
) -> Int[np.ndarray, " n"]:
    """Order items so that every beginning holds the classes in their shares.

    Member j of a class of m comes at (j + offset) / m. The classes' offsets are spread evenly over
    [0, 1), so that rare classes come one by one and not all at once. Names decide the order: items
    that join a class leave the order of its others as it was.

    Returns positions of items, the first of the sample first.
    """
    keys = rng.keys(0, "limit", rng.hash_items(item_ids)).numpy()
    classes, of, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    class_keys = rng.keys(0, "limit class", torch.from_numpy(classes.astype(np.int64))).numpy()
    offsets = (class_keys.argsort().argsort() + 0.5) / len(classes)
    grouped = np.lexsort((keys, of))
    places = np.arange(len(of)) - (sizes.cumsum() - sizes)[of[grouped]]
    when = (places + offsets[of[grouped]]) / sizes[of[grouped]]
    return grouped[np.lexsort((keys[grouped], when))]


def choose_limited(
    item_ids: Sequence[str],
    labels: Int[np.ndarray, " n"],
    limit: int | None,
    order: LimitOrder | None,
) -> Int[np.ndarray, " k"]:
    """Positions of at most limit items, ascending. None stands for no limit, and for stratified."""
    if limit is None or limit >= len(item_ids) or order == "first":
        return np.arange(len(item_ids))[:limit]
    return np.sort(stratified_order(item_ids, labels)[:limit])


def choose_positions(items: Sequence[Item], config: SourceConfig) -> Int[np.ndarray, " k"]:
    """Positions of the items that config asks for, in the order of splits."""
    # Two numbers an item: the items themselves would take 250 bytes each, in data sets of millions.
    kinds = [("split", np.int8), ("label", np.int64)]
    codes = {split: code for code, split in enumerate(config.splits)}
    each = ((codes.get(item.split, -1), item.label) for item in items)
    found = np.fromiter(each, dtype=kinds, count=len(items))
    chosen = [np.zeros(0, dtype=np.int64)]
    for split in config.splits:
        at = np.flatnonzero(found["split"] == codes[split])
        if config.limit is not None and config.limit < len(at):
            names, labels = [items[int(place)].item_id for place in at], found["label"][at]
            at = at[choose_limited(names, labels, config.limit, config.limit_order)]
        chosen.append(at)
    return np.concatenate(chosen)


def choose_items(source: Source, config: SourceConfig) -> Source:
    """The items of a source that config asks for, in the order of splits."""
    index = choose_positions(source.items, config)
    if np.array_equal(index, np.arange(len(source.items))):
        return source
    return ChosenPart(source=source, items=ChosenItems(items=source.items, chosen=index))


def describe_part(items: Sequence[Item], config: SourceConfig) -> tuple[str, ...]:
    """Sentences on the items chosen, and on all that a classifier of their weights will lack."""
    names = dict[int, str]()
    counts, labels = Counter[Split](), {split: set[int]() for split in SPLITS}
    for item in items:
        counts[item.split] += 1
        if item.label >= 0 and item.label not in labels[item.split]:
            labels[item.split].add(item.label)
            names[item.label] = item.label_name or str(item.label)
    notes = []
    if config.limit is not None:
        sizes = ", ".join(f"{split} {counts[split]:,}" for split in config.splits)
        cut = max(counts.values(), default=0) >= config.limit
        part = describe_limit(config.limit, config.limit_order) if cut else "all items"
        notes.append(f"{part} ({sizes})")
    if copies := describe_copies(config.identity()):
        notes.append(copies)
    if config.split != "all":
        return tuple(notes)
    if empty := [split for split in config.splits if not counts[split]]:
        notes.append(f"there are no items in {' and '.join(empty)}")
    taught = labels["train"]
    if len(taught) == 1:
        notes.append(f"train has one class only, {names[next(iter(taught))]}: no classifier learns")
    for split in ("val", "test"):
        strange = sorted(labels[split] - taught)
        if strange and taught:
            named = ", ".join(names[label] for label in strange[:_MOST_NAMED])
            more = ", ..." if len(strange) > _MOST_NAMED else ""
            notes.append(f"{split} has classes that train lacks: {named}{more}")
    return tuple(notes)
