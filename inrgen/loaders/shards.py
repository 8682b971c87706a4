"""Rows of many shards into one batch, and what becomes of a shard that is bad."""

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from jaxtyping import Bool, Float32, Int

from inrgen.loaders.order import Pool
from inrgen.loaders.samples import Picks
from inrgen.loaders.selection import Selection
from inrgen.store.errors import DamagedStore

OnBadShard = Literal["raise", "skip"]


class ShardReader(Protocol):
    """The shards of one store, wherever they are."""

    def prefetch(self, block: int) -> None:
        """A hint that a shard will be needed soon; returns at once and raises nothing."""
        ...

    def copy(
        self,
        block: int,
        rows: Int[np.ndarray, " r"],
        target: Float32[np.ndarray, "b p"],
        places: Int[np.ndarray, " r"],
    ) -> None:
        """Put rows of one block at places of target. Raises DamagedStore for a bad shard."""
        ...


class Gatherer:
    """Gathers rows; remembers which shards are bad.

    lost: the error of each bad shard met so far, by shard.
    """

    def __init__(
        self, selection: Selection, readers: Sequence[ShardReader], on_bad_shard: OnBadShard
    ) -> None:
        self._selection, self._readers = selection, readers
        self._on_bad_shard = on_bad_shard
        self.lost: dict[int, DamagedStore] = {}

    def prefetch(self, pool: Pool) -> None:
        """Have the shards of a pool at hand soon."""
        for shard in pool.shards:
            store = self._selection.shard_stores[shard]
            self._readers[store].prefetch(int(self._selection.shard_blocks[shard]))

    def gather(
        self, picks: Picks, num_params: int
    ) -> tuple[Float32[np.ndarray, "b p"], Bool[np.ndarray, " b"]]:
        """The rows of picks, and which of them could be had."""
        flat = np.empty((len(picks.index), num_params), dtype=np.float32)
        good = np.ones(len(picks.index), dtype=bool)
        rows = self._selection.keys.rows[picks.index]
        order = np.argsort(picks.shards, kind="stable")
        shards, firsts = np.unique(picks.shards[order], return_index=True)
        for shard, places in zip(shards.tolist(), np.split(order, firsts[1:]), strict=True):
            if not self._copy(shard, rows[places], flat, places):
                good[places] = False
        return flat, good

    def _copy(
        self,
        shard: int,
        rows: Int[np.ndarray, " r"],
        flat: Float32[np.ndarray, "b p"],
        places: Int[np.ndarray, " r"],
    ) -> bool:
        if shard in self.lost:
            return False
        store = self._selection.shard_stores[shard]
        block = int(self._selection.shard_blocks[shard])
        try:
            self._readers[store].copy(block, rows, flat, places)
        except DamagedStore as error:
            if self._on_bad_shard == "raise":
                raise
            self.lost[shard] = error
            return False
        return True
