"""Sample i of an epoch: which unit it is, which row it serves, and under which name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from inrgen.core import rng
from inrgen.loaders.order import NUM_STREAMS, EpochOrder, Pool
from inrgen.loaders.selection import Selection

ViewChoice = Literal["all", "random", "pairs"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Picks:
    """What b samples serve: index is their place in the selection's keys; shards, where that lies.

    times: how often the same unit came before in the same epoch, so that it is changed in another
        way each time; 0 unless classes or stores have set shares.
    """

    index: Int[np.ndarray, " b"]
    shards: Int[np.ndarray, " b"]
    times: Int[np.ndarray, " b"]


def named_keys(
    selection: Selection, picks: Picks, seed: int, operation: str, epoch: int
) -> Int[Tensor, " b"]:
    """The randomness of an operation on each sample: (seed, operation, item, view, epoch)."""
    keys = rng.keys(
        seed,
        operation,
        torch.from_numpy(selection.keys.items[picks.index]),
        torch.from_numpy(selection.keys.views[picks.index].astype(np.int64)),
        epoch,
    )
    times = torch.from_numpy(picks.times)
    return torch.where(times > 0, rng.fold(keys, times), keys) if bool(times.any()) else keys


class EpochSamples:
    """The samples of one epoch by number.

    times: how often each unit comes in this epoch; None for once.
    on_pool: told of each pool that will be needed next.
    """

    def __init__(
        self,
        selection: Selection,
        *,
        seed: int,
        epoch: int,
        pool_shards: int,
        times: Int[np.ndarray, " u"] | None = None,
        on_pool: Callable[[Pool], None] = lambda pool: None,
    ) -> None:
        self._selection, self._seed, self._epoch = selection, seed, epoch
        self._times, self._on_pool = times, on_pool
        starts = selection.shard_starts
        counts = np.diff(starts) if times is None else np.add.reduceat(times, starts[:-1])
        self.order = EpochOrder(counts=counts, seed=seed, epoch=epoch, pool_shards=pool_shards)
        # of each stream the two pools last used: samples are asked for nearly in order
        self._pools: dict[int, list[tuple[Pool, Int[np.ndarray, "2 n"]]]] = {}

    def units(self, samples: Int[np.ndarray, " b"]) -> Int[np.ndarray, "2 b"]:
        """Of each sample its unit, and how often that came before in this epoch."""
        found = np.empty((2, len(samples)), dtype=np.int64)
        stream, position = samples % NUM_STREAMS, samples // NUM_STREAMS
        for which in np.unique(stream).tolist():
            places = np.flatnonzero(stream == which)
            while len(places):
                pool, units = self._pool(which, int(position[places[0]]))
                at = position[places] - pool.start
                inside = (at >= 0) & (at < pool.size)
                found[:, places[inside]] = units[:, at[inside]]
                places = places[~inside]
        return found

    def partners(self, samples: Int[np.ndarray, " b"]) -> Int[np.ndarray, "2 b"]:
        """For each sample another one of its pool, chosen by the sample's number alone.

        So whom a sample is mixed with does not depend on batches, ranks or resumption. A sample
        that has a pool to itself is its own partner; where units come more than once an epoch,
        another sample may be the same unit, changed in another way.
        """
        keys = rng.keys(self._seed, "partner", torch.from_numpy(samples), epoch=self._epoch)
        chance = rng.uniform(keys, dtype=torch.float64).numpy()
        wanted = np.empty_like(samples)
        stream, position = samples % NUM_STREAMS, samples // NUM_STREAMS
        for which in np.unique(stream).tolist():
            places = np.flatnonzero(stream == which)
            while len(places):
                pool = self.order.pool_at(which, int(position[places[0]]))
                inside = (position[places] >= pool.start) & (position[places] < pool.stop)
                mine, num_others = places[inside], pool.size - 1
                steps = 1 + (chance[mine] * num_others).astype(np.int64)
                at = pool.start + (position[mine] - pool.start + steps) % pool.size
                wanted[mine] = at * NUM_STREAMS + which
                places = places[~inside]
        return self.units(wanted)

    def _pool(self, stream: int, position: int) -> tuple[Pool, Int[np.ndarray, "2 n"]]:
        recent = self._pools.setdefault(stream, [])
        for pool, units in recent:
            if pool.start <= position < pool.stop:
                return pool, units
        pool = self.order.pool_at(stream, position)
        units = self._pool_units(pool)[:, self.order.pool_order(pool)]
        recent.append((pool, units))
        del recent[:-2]
        following = self.order.pool_after(pool)
        if following is not None:
            self._on_pool(following)
        return pool, units

    def _pool_units(self, pool: Pool) -> Int[np.ndarray, "2 n"]:
        """The units of a pool, shard after shard, each as often as it comes."""
        parts = []
        for shard, first, last in zip(pool.shards, pool.firsts, pool.lasts, strict=True):
            start, stop = self._selection.shard_starts[shard : shard + 2]
            units = np.arange(start, stop)
            before = np.zeros(len(units), dtype=np.int64)
            if self._times is not None:
                times = self._times[start:stop]
                runs = np.repeat(np.cumsum(times) - times, times)
                units = np.repeat(units, times)
                before = np.arange(len(units)) - runs
            parts.append(np.stack([units, before])[:, first:last])
        return np.concatenate(parts, axis=1)

    def picks(self, found: Int[np.ndarray, "2 b"], choice: ViewChoice) -> tuple[Picks, ...]:
        """The rows that units serve: one each, or two where pairs of views are asked for."""
        units, times = found
        starts, sizes = self._selection.unit_starts[units], self._selection.unit_sizes[units]
        shards = self._selection.shard_of(units)
        if choice == "all":
            return (Picks(index=starts, shards=shards, times=times),)
        items = torch.from_numpy(self._selection.keys.items[starts])
        # one name for whichever view it will be, and another each time the item comes
        keys = rng.fold(
            rng.keys(self._seed, "view", items, epoch=self._epoch), torch.from_numpy(times)
        )
        chance = rng.uniform(keys, (2,), dtype=torch.float64).numpy()
        one = (chance[:, 0] * sizes).astype(np.int64)
        other = (one + 1 + (chance[:, 1] * (sizes - 1)).astype(np.int64)) % sizes
        views = (one, other) if choice == "pairs" else (one,)
        return tuple(Picks(index=starts + view, shards=shards, times=times) for view in views)
