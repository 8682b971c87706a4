"""Batches of a pass: rows gathered from shards, many at a time, and cut into batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int

from inrgen.loaders.collate import Batch, Collate, RawRows
from inrgen.loaders.config import OnBadShard
from inrgen.loaders.index import LoaderIndex
from inrgen.loaders.order import Pool, Share
from inrgen.loaders.samples import EpochSamples, Picks, named_keys
from inrgen.loaders.selection import Selection
from inrgen.loaders.state import Position, this_worker
from inrgen.store.errors import DamagedStore
from inrgen.store.rows import RowReader

# Rows gathered in one go: enough to hide the cost of moving from shard to shard.
_WINDOW_ROWS = 2048


class Gatherer:
    """Gathers rows from the shards of several stores, and remembers bad shards.

    Attributes:
        lost: the error of each bad shard met so far, by shard.
    """

    def __init__(
        self, selection: Selection, readers: Sequence[RowReader], on_bad_shard: OnBadShard
    ) -> None:
        self._selection, self._readers = selection, readers
        self._on_bad_shard = on_bad_shard
        self.lost: dict[int, DamagedStore] = {}

    def prefetch(self, pool: Pool) -> None:
        """Ask the readers for the shards of a pool, and return at once."""
        for shard in pool.shards:
            store = self._selection.shard_stores[shard]
            self._readers[store].prefetch(int(self._selection.shard_blocks[shard]))

    def gather(
        self, picks: Picks, rows: Int[np.ndarray, " b"], num_params: int
    ) -> tuple[Float32[np.ndarray, "b p"], Bool[np.ndarray, " b"]]:
        """The weights of picks, whose rows in their stores are given; whether each was readable."""
        flat = np.empty((len(picks.index), num_params), dtype=np.float32)
        good = np.ones(len(picks.index), dtype=bool)
        # Each shard is opened once, and its rows are copied in one call.
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
        """Copy rows of one shard to places of flat; False for a bad shard that is skipped."""
        # A shard found bad stays skipped, so that every pass serves the same rows.
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


def _cut(raw: RawRows, start: int, stop: int, good: Bool[np.ndarray, " w"]) -> RawRows:
    """The readable rows of one batch within a window."""
    kept = good[start:stop]
    if kept.all():
        return raw.map(lambda tensor: tensor[start:stop])
    places = torch.from_numpy(start + np.flatnonzero(kept))
    return raw.map(lambda tensor: tensor[places])


@dataclass(kw_only=True, slots=True)
class SkippedCount:
    """Samples that this process skipped because of bad shards, in all passes together."""

    samples: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchProducer:
    """Makes the batches of any pass.

    A sample that is mixed with another, or shown in two views, is skipped unless both are readable.
    """

    index: LoaderIndex
    gatherer: Gatherer
    collate: Collate
    seed: int
    pool_shards: int
    skipped: SkippedCount = field(default_factory=SkippedCount)

    def batches(self, position: Position, share: Share) -> Iterator[tuple[int, Batch]]:
        """This process's batches from a position on, each with its number within the share.

        Worker w of n makes batches w, w + n, ..., so workers together make what one process would.
        """
        quotas = self.index.quotas
        samples = EpochSamples(
            self.index.selection,
            seed=self.seed,
            epoch=position.epoch,
            pool_shards=self.pool_shards,
            repeats=None if quotas is None else quotas.repeats(self.seed, position.epoch),
            on_pool=self.gatherer.prefetch,
        )
        worker, num_workers = this_worker()
        # The first batch from this position on that is this worker's.
        first = position.batches + (worker - position.batches) % num_workers
        numbers = range(first, share.num_batches, num_workers)
        window = max(1, _WINDOW_ROWS // share.batch_size)
        for at in range(0, len(numbers), window):
            yield from self._window(samples, share, position.epoch, numbers[at : at + window])

    def chosen(self, index: Int[np.ndarray, " b"], epoch: int) -> Batch:
        """The rows at some numbers, each in the draws of an epoch; rows may repeat."""
        shards = self.index.selection.shards_of(index)
        raw, _ = self._read(Picks(index=index, shards=shards, times=np.zeros_like(index)), epoch)
        return self.collate.batch(raw, None, epoch, len(index))

    def _window(
        self, samples: EpochSamples, share: Share, epoch: int, numbers: range
    ) -> Iterator[tuple[int, Batch]]:
        """Gather the rows of several batches in one go and cut them into batches."""
        parts = [share.batch(number) for number in numbers]
        # Both rows of a mixed sample or pair are read, and the sample is served only if both are
        # good.
        wanted = np.concatenate(parts)
        picks = samples.picks(samples.units(wanted), self.index.choice)
        if self.collate.mixup is not None:
            picks += samples.picks(samples.partners(wanted), self.index.choice)
        gathered, goods = zip(*(self._read(pick, epoch) for pick in picks), strict=True)
        good = np.logical_and.reduce(goods)
        self.skipped.samples += int((~good).sum())
        stop = 0
        for number, part in zip(numbers, parts, strict=True):
            start, stop = stop, stop + len(part)
            cut = [_cut(raw, start, stop, good) for raw in gathered]
            yield number, self._batch(cut, epoch, share.done_after(number + 1))

    def _batch(self, cut: Sequence[RawRows], epoch: int, done: int) -> Batch:
        """A batch of single samples, of samples with partners, or of pairs of views."""
        first, second = cut[0], cut[1] if len(cut) == 2 else None
        if second is None or self.index.choice != "pairs":
            return self.collate.batch(first, second, epoch, done)
        other = self.collate.batch(second, None, epoch, done)
        return replace(self.collate.batch(first, None, epoch, done), second=other)

    def _read(self, picks: Picks, epoch: int) -> tuple[RawRows, Bool[np.ndarray, " w"]]:
        """Rows with their origins and keys, and whether each was readable."""
        selection, collate = self.index.selection, self.collate
        origins = selection.origins(picks.index)
        flat, good = self.gatherer.gather(picks, origins.rows, self.index.spec.num_params)

        def keys(operation: str, needed: bool) -> torch.Tensor:
            # Keys take time for every row, so they are made only where something is drawn.
            if not needed:
                return torch.zeros(len(picks.index), dtype=torch.int64)
            return named_keys(origins, picks.times, self.seed, operation, epoch)

        raw = RawRows(
            flat=torch.from_numpy(flat),
            labels=torch.from_numpy(origins.labels),
            rows=torch.from_numpy(origins.rows),
            stores=torch.from_numpy(selection.shard_stores[picks.shards]),
            views=torch.from_numpy(origins.views),
            items=torch.from_numpy(origins.items),
            transform_keys=keys("transform", bool(collate.transforms)),
            mixup_keys=keys("mixup", collate.mixup is not None),
        )
        return raw, good
