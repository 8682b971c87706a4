"""Samples of an epoch: the unit, the row and the randomness of sample i."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int, UInt
from torch import Tensor

from inrgen.core import rng
from inrgen.loaders.config import ViewChoice
from inrgen.loaders.keys import RowOrigins
from inrgen.loaders.order import NUM_STREAMS, EpochOrder, Pool
from inrgen.loaders.selection import Selection


@dataclass(frozen=True, kw_only=True, slots=True)
class Picks:
    """Rows that b samples serve.

    Attributes:
        index: position of each row in the selection's keys.
        shards: the shard that holds it.
        times: times that the same unit came before in this epoch, so that each repetition has
            other draws; 0 unless classes or stores have set shares.
    """

    index: Int[np.ndarray, " b"]
    shards: Int[np.ndarray, " b"]
    times: Int[np.ndarray, " b"]


def named_keys(
    named: RowOrigins, times: Int[np.ndarray, " b"], seed: int, operation: str, epoch: int
) -> Int[Tensor, " b"]:
    """Keys of an operation on each sample, from (seed, operation, item, view, epoch).

    Args:
        times: as in Picks.
    """
    items, views = torch.from_numpy(named.items), torch.from_numpy(named.views)
    keys, again = rng.keys(seed, operation, items, views, epoch), torch.from_numpy(times)
    # A unit's first time keeps the plain key, so balancing does not change its draws.
    return torch.where(again > 0, rng.fold(keys, again), keys) if times.any() else keys


class EpochSamples:
    """The samples of one epoch, by number.

    Args:
        repeats: times that each unit comes in this epoch; None for once.
        on_pool: called with each pool that will be needed next.
    """

    def __init__(
        self,
        selection: Selection,
        *,
        seed: int,
        epoch: int,
        pool_shards: int,
        repeats: UInt[np.ndarray, " u"] | None = None,
        on_pool: Callable[[Pool], None] = lambda pool: None,
    ) -> None:
        self._selection, self._seed, self._epoch = selection, seed, epoch
        self._repeats, self._on_pool = repeats, on_pool
        starts = selection.shard_starts
        counts = np.diff(starts)
        if repeats is not None:
            counts = np.add.reduceat(repeats, starts[:-1], dtype=np.int64)
        self.order = EpochOrder(counts=counts, seed=seed, epoch=epoch, pool_shards=pool_shards)
        # The last two pools of each stream, because samples are requested nearly in order.
        self._pools: dict[int, list[tuple[Pool, Int[np.ndarray, "2 n"]]]] = {}

    def units(self, samples: Int[np.ndarray, " b"]) -> Int[np.ndarray, "2 b"]:
        """The unit of each sample, and the times that it came before in this epoch."""
        # Samples of a batch lie in a few pools, each of which is handled at once.
        found = np.empty((2, len(samples)), dtype=np.int64)
        stream, position = samples % NUM_STREAMS, samples // NUM_STREAMS
        for number in np.unique(stream).tolist():
            places = np.flatnonzero(stream == number)
            while len(places):
                pool, units = self._pool(number, int(position[places[0]]))
                at = position[places] - pool.start
                inside = (at >= 0) & (at < pool.size)
                found[:, places[inside]] = units[:, at[inside]]
                places = places[~inside]
        return found

    def partners(self, samples: Int[np.ndarray, " b"]) -> Int[np.ndarray, "2 b"]:
        """The unit to mix with each sample: that of another sample in its pool.

        The choice depends on the sample's number alone, so neither batches, ranks nor resumption
        change it. A sample alone in its pool is its own partner. Where units repeat in an epoch,
        the partner may be the same unit with other draws.
        """
        keys = rng.keys(self._seed, "partner", torch.from_numpy(samples), epoch=self._epoch)
        chance = rng.uniform(keys, dtype=torch.float64).numpy()
        wanted = np.empty_like(samples)
        stream, position = samples % NUM_STREAMS, samples // NUM_STREAMS
        for number in np.unique(stream).tolist():
            places = np.flatnonzero(stream == number)
            while len(places):
                pool = self.order.pool_at(number, int(position[places[0]]))
                inside = (position[places] >= pool.start) & (position[places] < pool.stop)
                mine, num_others = places[inside], pool.size - 1
                # A uniform step of 1 to size - 1 around the pool reaches every other sample
                # equally.
                steps = 1 + (chance[mine] * num_others).astype(np.int64)
                at = pool.start + (position[mine] - pool.start + steps) % pool.size
                wanted[mine] = at * NUM_STREAMS + number
                places = places[~inside]
        return self.units(wanted)

    def _pool(self, stream: int, position: int) -> tuple[Pool, Int[np.ndarray, "2 n"]]:
        recent = self._pools.setdefault(stream, [])
        for pool, units in recent:
            if pool.start <= position < pool.stop:
                return pool, units
        pool = self.order.pool_at(stream, position)
        if not recent:
            # nobody asked for the first pool ahead of time; at least its shards come side by side
            self._on_pool(pool)
        units = self._pool_units(pool)[:, self.order.pool_order(pool)]
        recent.append((pool, units))
        # A batch may span the end of one pool and the start of the next.
        del recent[:-2]
        following = self.order.pool_after(pool)
        if following is not None:
            self._on_pool(following)
        return pool, units

    def _pool_units(self, pool: Pool) -> Int[np.ndarray, "2 n"]:
        """The units of a pool, shard by shard, each repeated as often as it comes."""
        parts = []
        for shard, first, last in zip(pool.shards, pool.firsts, pool.lasts, strict=True):
            start, stop = self._selection.shard_starts[shard : shard + 2]
            units = np.arange(start, stop)
            before = np.zeros(len(units), dtype=np.int64)
            if self._repeats is not None:
                repeats = self._repeats[start:stop].astype(np.int64)
                runs = np.repeat(np.cumsum(repeats) - repeats, repeats)
                units = np.repeat(units, repeats)
                before = np.arange(len(units)) - runs
            parts.append(np.stack([units, before])[:, first:last])
        return np.concatenate(parts, axis=1)

    def picks(self, found: Int[np.ndarray, "2 b"], choice: ViewChoice) -> tuple[Picks, ...]:
        """The rows that units serve: one Picks, or two for pairs of views."""
        units, times = found
        starts, sizes = self._selection.starts_of(units), self._selection.sizes_of(units)
        shards = self._selection.shards_of(units)
        if choice == "all":
            return (Picks(index=starts, shards=shards, times=times),)
        items = torch.from_numpy(self._selection.origins(starts).items)
        # One key for all views of an item, and another one each time that the item comes again.
        keys = rng.fold(
            rng.keys(self._seed, "view", items, epoch=self._epoch), torch.from_numpy(times)
        )
        chance = rng.uniform(keys, (2,), dtype=torch.float64).numpy()
        first = (chance[:, 0] * sizes).astype(np.int64)
        # A uniform step around the item's rows, so the second view differs from the first.
        second = (first + 1 + (chance[:, 1] * (sizes - 1)).astype(np.int64)) % sizes
        views = (first, second) if choice == "pairs" else (first,)
        return tuple(Picks(index=starts + view, shards=shards, times=times) for view in views)
