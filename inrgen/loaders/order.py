"""Order of the samples of an epoch: a pure function of seed, epoch and shard sizes.

The shards are shuffled and laid end to end as a tape. The tape is cut into eight streams of equal
length, to within one sample. A stream takes a few shards at a time, its pool, and hands out the
pool's samples in random order. Sample i of the epoch is sample i // 8 of stream i % 8.

Neither ranks, workers nor batches enter this order. Rank r of w takes the samples i with
i % w == r. So every sample is taken once for any w, and ranks differ by one sample at most. A
single number, the samples of the epoch already served, is enough to resume on any number of ranks.

Where w divides eight, a rank has streams to itself and reads only their shards. With 16 ranks two
share each stream. With other counts every rank reads from all streams, which is correct but slow.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int

from inrgen.core import rng

NUM_STREAMS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Pool:
    """A few shards of one stream, whose samples are handed out in random order.

    Attributes:
        number: index of the pool within its stream.
        start: samples of the stream that come before the pool's.
        shards, firsts, lasts: shard shards[k] gives its samples firsts[k] to lasts[k] - 1. Only
            the shards at the two ends of a stream may be shared with the neighbouring stream.
    """

    stream: int
    number: int
    start: int
    shards: tuple[int, ...]
    firsts: tuple[int, ...]
    lasts: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of samples."""
        return sum(self.lasts) - sum(self.firsts)

    @property
    def stop(self) -> int:
        """Sample of the stream that follows the pool."""
        return self.start + self.size


def _shuffle(seed: int, operation: str, part: int, epoch: int, num: int) -> Int[np.ndarray, " n"]:
    """A random permutation: the order of 64-bit draws, among which ties are negligible."""
    key = rng.keys(seed, operation, torch.tensor([part]), epoch=epoch)
    return np.argsort(rng.bits(key, num)[0].numpy())


class EpochOrder:
    """The streams and pools of one epoch.

    Args:
        counts: samples that each shard gives to this epoch; (s,).
        pool_shards: number of shards in a pool.
    """

    def __init__(
        self, *, counts: Int[np.ndarray, " s"], seed: int, epoch: int, pool_shards: int
    ) -> None:
        self._seed, self._epoch, self._pool_shards = seed, epoch, pool_shards
        shuffled = _shuffle(seed, "order of shards", 0, epoch, len(counts))
        # An empty shard would take a place in a pool.
        self._shards = shuffled[counts[shuffled] > 0]
        # Shard k of the tape has the samples ends[k] to ends[k + 1] - 1.
        self._ends = np.concatenate([[0], np.cumsum(counts[self._shards])])
        share, rest = divmod(self.num_samples, NUM_STREAMS)
        sizes = share + (np.arange(NUM_STREAMS) < rest)
        self._cuts = np.concatenate([[0], np.cumsum(sizes)])
        self._first_shard = np.searchsorted(self._ends, self._cuts[:-1], side="right") - 1

    @property
    def num_samples(self) -> int:
        """Number of samples in the epoch."""
        return int(self._ends[-1])

    def pool_at(self, stream: int, position: int) -> Pool:
        """The pool that holds sample `position` of a stream."""
        cut, stop = self._cuts[stream], self._cuts[stream + 1]
        assert 0 <= position < stop - cut, "the position lies beyond the end of the stream"
        first_shard = self._first_shard[stream]
        at = np.searchsorted(self._ends, cut + position, side="right") - 1
        number = int(at - first_shard) // self._pool_shards
        begin = first_shard + number * self._pool_shards
        shards = np.arange(begin, min(begin + self._pool_shards, len(self._shards)))
        # The last pool ends with its stream, inside a shard that the next stream begins with.
        shards = shards[self._ends[shards] < stop]
        starts = self._ends[shards]
        firsts = np.maximum(starts, cut)
        lasts = np.minimum(self._ends[shards + 1], stop)
        return Pool(
            stream=stream,
            number=number,
            start=int(firsts[0] - cut),
            shards=tuple(self._shards[shards].tolist()),
            firsts=tuple((firsts - starts).tolist()),
            lasts=tuple((lasts - starts).tolist()),
        )

    def pool_after(self, pool: Pool) -> Pool | None:
        """The next pool of the same stream, or None after the last."""
        size = self._cuts[pool.stream + 1] - self._cuts[pool.stream]
        return self.pool_at(pool.stream, pool.stop) if pool.stop < size else None

    def pool_order(self, pool: Pool) -> Int[np.ndarray, " n"]:
        """A permutation of the pool's samples: the k-th one served is sample order[k]."""
        # A number that no other pool of the epoch has.
        part = pool.number * NUM_STREAMS + pool.stream
        return _shuffle(self._seed, "order within a pool", part, self._epoch, pool.size)


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """Batches of one rank in an epoch, counted from sample `start` on.

    Attributes:
        total: number of samples in the epoch.
        drop_last: leave out the last samples that do not fill a batch on every rank.
    """

    start: int
    total: int
    rank: int
    world_size: int
    batch_size: int
    drop_last: bool

    @property
    def _step(self) -> int:
        """Samples that one batch on every rank takes together."""
        return self.batch_size * self.world_size

    @property
    def _first(self) -> int:
        return self.start + (self.rank - self.start) % self.world_size

    @property
    def num_batches(self) -> int:
        """Number of batches for this rank."""
        if self.drop_last:
            return max(0, self.total - self.start) // self._step
        # Ceiling division, here and below.
        mine = -(-(self.total - self._first) // self.world_size)
        return -(-max(0, mine) // self.batch_size)

    def batch(self, number: int) -> Int[np.ndarray, " b"]:
        """The samples of the epoch in a batch, by number."""
        first = self._first + number * self._step
        return np.arange(first, min(first + self._step, self.total), self.world_size)

    def done_after(self, num_batches: int) -> int:
        """Samples of the epoch served once every rank has had this number of batches."""
        return min(self.start + num_batches * self._step, self.total)

    def finished_after(self, num_batches: int) -> bool:
        """Tell whether no rank serves anything more after this number of batches."""
        rest = self.total - self.done_after(num_batches)
        return rest < (self._step if self.drop_last else 1)
