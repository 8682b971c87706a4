"""Changed copies of training items: mirrored and shifted signals on a grid, fitted like any other.

Mirroring or shifting the weights of an INR afterwards would move them away from the learned start
of their store. A copy that is fitted from the same start stays comparable with its original.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import overload

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from inrgen.core import rng
from inrgen.sources.base import BadSignal, Item, Signal, Source, SourceFacts
from inrgen.sources.config import SourceConfig, has_copy_name
from inrgen.sources.selection import data_digest


@dataclass(frozen=True, kw_only=True, slots=True)
class CopiedItems(Sequence[Item]):
    """Items and numbered copies of them, each built on access; copy 2 of "a" is "a~2".

    Attributes:
        items: the originals.
        chosen: position of the original of each; (n,).
        numbers: number of the copy, 0 for the original itself; (n,).
    """

    items: Sequence[Item]
    chosen: Int[np.ndarray, " n"]
    numbers: Int[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.chosen)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        item, number = self.items[int(self.chosen[index])], self.numbers[index]
        return replace(item, item_id=f"{item.item_id}~{number}") if number else item


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CopiedSource:
    """A Source over the items of another one and changed copies of them.

    Attributes:
        flip, shift: changes of the copies, as SourceConfig has them.
    """

    source: Source
    items: CopiedItems
    flip: bool
    shift: int

    @property
    def facts(self) -> SourceFacts:
        return self.source.facts

    @property
    def data_sha256(self) -> str | None:
        """Digest of the other source's data, where it gives one."""
        return data_digest(self.source)

    @property
    def reading(self) -> int:
        """Version of the other source's reading of its files."""
        return getattr(self.source, "reading", 1)

    def load(self, index: int) -> Signal:
        """The signal of items[index]. Raises BadSignal for a copy of points without a grid."""
        original, number = int(self.items.chosen[index]), int(self.items.numbers[index])
        signal = self.source.load(original)
        if not number:
            return signal
        if not signal.grid:
            raise BadSignal("copies need signals on a grid; this one has points")
        mirrored, offsets = draw_change(
            self.items.items[original].item_id, number, self.flip, self.shift, len(signal.grid)
        )
        values = move(signal.values, signal.grid, mirrored, offsets)
        if signal.weights is None:
            return replace(signal, values=values)
        weights = move(signal.weights[:, None], signal.grid, mirrored, offsets)[:, 0]
        return replace(signal, values=values, weights=weights)


def draw_change(
    item_id: str, number: int, flip: bool, shift: int, num_axes: int
) -> tuple[bool, tuple[int, ...]]:
    """Draw whether a copy is mirrored, and its shift along each axis in samples.

    Other copies and other items have no part in the draw, so adding some changes no other copy.
    """
    key = rng.keys(0, "copy", rng.hash_items([item_id]), number - 1)
    draw = rng.uniform(key, (1 + num_axes,))[0]
    # long cuts off towards zero, so negative offsets come last
    offsets = (draw[1:] * (2 * shift + 1)).long() - shift
    return flip and bool(draw[0] < 0.5), tuple(offsets.tolist())


def move(
    values: Float[Tensor, "n d_out"], grid: Sequence[int], mirrored: bool, offsets: Sequence[int]
) -> Float[Tensor, "n d_out"]:
    """Mirror a signal along the last axis of its grid, then shift it; edges repeat outwards."""
    signal = values.reshape(*grid, -1)
    if mirrored:
        signal = signal.flip(len(grid) - 1)
    for axis, (size, offset) in enumerate(zip(grid, offsets, strict=True)):
        signal = signal.index_select(axis, (torch.arange(size) - offset).clamp(0, size - 1))
    return signal.reshape(values.shape)


def copy_items(
    source: Source,
    config: SourceConfig,
    chosen: Int[np.ndarray, " n"],
    numbers: Int[np.ndarray, " n"],
) -> CopiedSource:
    """A source with numbered copies of its items, changed as config says."""
    items = CopiedItems(items=source.items, chosen=chosen, numbers=numbers)
    return CopiedSource(source=source, items=items, flip=config.flip, shift=config.shift)


def add_copies(source: Source, config: SourceConfig) -> Source:
    """The source with config.copies changed copies of each training item, after the originals.

    Copies of val or test items would be other items to judge by, so these splits have none.

    Raises ValueError where an item's own name reads like that of a copy.
    """
    if not config.copies:
        return source
    for item in source.items:
        if has_copy_name(item.item_id):
            raise ValueError(f"copies need items whose names end in no ~1; got {item.item_id}")
    # Items come in the order of splits, so those of train come first.
    total, num_train = len(source.items), sum(item.split == "train" for item in source.items)
    kinds = 1 + config.copies
    chosen = np.concatenate([np.tile(np.arange(num_train), kinds), np.arange(num_train, total)])
    numbers = np.zeros(len(chosen), dtype=np.int32)
    numbers[: num_train * kinds] = np.arange(kinds).repeat(num_train)
    return copy_items(source, config, chosen, numbers)
