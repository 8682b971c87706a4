"""Training items of learn-start: some are held out, and the others are drawn by name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from inrgen.core import rng
from inrgen.sources.base import BadSignal, Signal, Source
from inrgen.sources.bounds import DEFAULT_BOUNDS, load_item
from inrgen.sources.config import SourceConfig

_MAX_HELD_OUT, _HELD_OUT_ONE_IN = 256, 10
# Held-out items are measured often; this limits them to a few seconds of a core.
_HELD_OUT_POINTS, _MIN_HELD_OUT = 2**20, 8
# 1 GB of float32 values
_VALUES_HELD = 2**28

# The numbers of an item that the loop keeps: the values of an image, points and values of a shape.
Read = Callable[[Signal, str], Float[Tensor, "n c"]]


class TrainingSignals(Protocol):
    """Signals for the outer loop, as coordinates and values of k starts and m items.

    Coordinates are (n, d_in) if all share them, or else have the axes of the values, which are
    (k, m, n, d_out), or (s, k, m, n, d_out) with a set of points for each inner step and one more
    that measures the error.
    """

    @property
    def items(self) -> "TrainingItems":
        """The items that the signals are made of."""
        ...

    @property
    def num_held_out(self) -> int:
        """Number of items that the outer loop never draws."""
        ...

    def held_out(self, num_starts: int) -> tuple[Tensor, Tensor]:
        """The held-out items, the same for every start."""
        ...

    def draw(self, seed: int, step: int, num_starts: int, batch: int) -> tuple[Tensor, Tensor]:
        """The items of one outer step: a batch for each start, by the names of start and step."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingItems:
    """Items that the outer loop draws from, and those held out.

    Attributes:
        held_out: the numbers of the items that the outer loop never draws.
        held_out_at: the source's positions of these items.
        pool: the source's positions of all other items.
        load: reads one of them.
    """

    held_out: tuple[Float[Tensor, "_n c"], ...]
    held_out_at: tuple[int, ...]
    pool: Sequence[int]
    load: Callable[[int], Float[Tensor, "n c"]]

    def draw(
        self, seed: int, step: int, num_starts: int, batch: int
    ) -> list[list[Float[Tensor, "_n c"]]]:
        """A batch of items for each start."""
        drawn = self.draw_positions(seed, step, num_starts, batch)
        return [[self.load(position) for position in row] for row in drawn]

    def draw_positions(self, seed: int, step: int, num_starts: int, batch: int) -> list[list[int]]:
        """The source's positions of the items that draw returns."""
        views = torch.arange(num_starts)
        keys = rng.keys(seed, "learn start batch", torch.zeros_like(views), views, step)
        places = rng.integers(keys, (batch,), 0, len(self.pool))
        return [[self._find_readable(place) for place in row] for row in places.tolist()]

    def _find_readable(self, place: int) -> int:
        """The position of the item at a place of the pool, or of the next one that can be read."""
        for offset in range(len(self.pool)):
            position = self.pool[(place + offset) % len(self.pool)]
            try:
                self.load(position)
            except BadSignal:
                continue
            return position
        raise ValueError("no training item can be read")


def choose_items(
    source: Source,
    seed: int,
    read: Read,
    num_points: int,
    bounds: SourceConfig = DEFAULT_BOUNDS,
) -> TrainingItems:
    """Hold out a seeded sample of the source's items, at most a tenth and at most 256.

    Args:
        read: takes the numbers to keep from a signal; its second argument is the item's id.
        num_points: points at which an item is measured; 0 for all.
        bounds: memory and time that reading an item may take.

    Raises ValueError for items of another split than train, and for fewer than two items that can
    be read.
    """
    if any(item.split != "train" for item in source.items):
        raise ValueError("starts learn from training items alone; the source gave others")
    hashes = rng.hash_items(item.item_id for item in source.items)
    # Sorted by random keys of their names, so that the place of an item does not matter.
    order = rng.keys(seed, "learn start held-out", hashes).argsort(stable=True).tolist()

    def load(index: int) -> Float[Tensor, "n c"]:
        signal = load_item(source, index, bounds)
        if isinstance(signal, BadSignal):
            raise signal
        return read(signal, source.items[index].item_id)

    held_out, held_out_at, used = _hold_out(load, order, num_points)
    if not held_out:
        first = source.items[order[0]].item_id
        raise ValueError(
            f"none of {len(order):,} training items can be read; {first}: "
            f"{load_item(source, order[0], bounds)}"
        )
    if len(order) == used:
        raise ValueError(f"learning a start needs more items than {len(order)}")
    return TrainingItems(
        held_out=held_out,
        held_out_at=held_out_at,
        pool=order[used:],
        load=lru_cache(maxsize=max(1, _VALUES_HELD // held_out[0].numel()))(load),
    )


def _hold_out(
    load: Callable[[int], Tensor], order: list[int], num_points: int
) -> tuple[tuple[Tensor, ...], tuple[int, ...], int]:
    """Read the first items of an order.

    Returns them, their positions in the source, and the number of items that were tried.
    """
    found: dict[int, Tensor] = {}
    wanted = max(1, min(_MAX_HELD_OUT, len(order) // _HELD_OUT_ONE_IN))
    for used, index in enumerate(order):
        if len(found) >= wanted:
            return tuple(found.values()), tuple(found), used
        try:
            found[index] = load(index)
        except BadSignal:
            continue
        limit = max(_MIN_HELD_OUT, _HELD_OUT_POINTS // (num_points or len(found[index])))
        wanted = min(wanted, limit)
    return tuple(found.values()), tuple(found), len(order)
