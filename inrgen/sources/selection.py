"""Part of a source: chosen splits, and a limited number of items of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from jaxtyping import Int

from inrgen.sources.base import Item, Signal, Source, SourceFacts
from inrgen.sources.config import SourceConfig


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


def choose_items(source: Source, config: SourceConfig) -> Source:
    """The items of the splits that config asks for, in the order of splits, up to its limit."""
    splits = np.array([item.split for item in source.items])
    index = np.concatenate(
        [np.flatnonzero(splits == split)[: config.limit] for split in config.splits]
    )
    if np.array_equal(index, np.arange(len(splits))):
        return source
    return ChosenPart(source=source, items=ChosenItems(items=source.items, chosen=index))
