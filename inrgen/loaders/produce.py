"""The batches of a pass, one after another: which samples, their rows, and what is done to them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Bool

from inrgen.loaders.collate import Batch, Collate, Served
from inrgen.loaders.contents import Contents
from inrgen.loaders.order import Share
from inrgen.loaders.position import Position, this_worker
from inrgen.loaders.samples import EpochSamples, Picks, named_keys
from inrgen.loaders.shards import Gatherer

# Rows gathered in one go: enough that the cost of going from shard to shard does not show.
_WINDOW_ROWS = 2048


def _cut(served: Served, start: int, stop: int, good: Bool[np.ndarray, " w"]) -> Served:
    """The rows of one batch within a window, less those that could not be had."""
    kept = good[start:stop]
    if kept.all():
        return served.map(lambda tensor: tensor[start:stop])
    places = torch.from_numpy(start + np.flatnonzero(kept))
    return served.map(lambda tensor: tensor[places])


@dataclass(kw_only=True, slots=True)
class Loss:
    """How many samples this process could not serve for bad shards, all passes together."""

    samples: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Producer:
    """Makes the batches of any pass over the contents, and counts in loss what it must leave out.

    A sample that is mixed with another, or shown in two views, needs both to be had.
    """

    contents: Contents
    gatherer: Gatherer
    collate: Collate
    seed: int
    pool_shards: int
    loss: Loss = field(default_factory=Loss)

    def batches(self, position: Position, share: Share) -> Iterator[tuple[int, Batch]]:
        """This process's batches from a position on, each with its number within the share.

        Worker w of n makes batches w, w + n, ..., so workers together make what one process would.
        """
        quotas = self.contents.quotas
        samples = EpochSamples(
            self.contents.selection,
            seed=self.seed,
            epoch=position.epoch,
            pool_shards=self.pool_shards,
            times=None if quotas is None else quotas.times(self.seed, position.epoch),
            on_pool=self.gatherer.prefetch,
        )
        worker, num_workers = this_worker()
        first = position.batches + (worker - position.batches) % num_workers
        numbers = range(first, share.num_batches, num_workers)
        window = max(1, _WINDOW_ROWS // share.batch_size)
        for at in range(0, len(numbers), window):
            yield from self._window(samples, share, position.epoch, numbers[at : at + window])

    def _window(
        self, samples: EpochSamples, share: Share, epoch: int, numbers: range
    ) -> Iterator[tuple[int, Batch]]:
        """Gather the rows of several batches in one go and cut them into batches."""
        parts = [share.batch(number) for number in numbers]
        wanted = np.concatenate(parts)
        picks = samples.picks(samples.units(wanted), self.contents.choice)
        if self.collate.mixup is not None:
            picks += samples.picks(samples.partners(wanted), self.contents.choice)
        served, goods = zip(*(self._serve(pick, epoch) for pick in picks), strict=True)
        good = np.logical_and.reduce(goods)
        self.loss.samples += int((~good).sum())
        stop = 0
        for number, part in zip(numbers, parts, strict=True):
            start, stop = stop, stop + len(part)
            cut = [_cut(one, start, stop, good) for one in served]
            yield number, self._batch(cut, epoch, share.done_after(number + 1))

    def _batch(self, cut: Sequence[Served], epoch: int, done: int) -> Batch:
        """A batch of single samples, of samples and partners, or of pairs of views."""
        first, second = cut[0], cut[1] if len(cut) == 2 else None
        if second is None or self.contents.choice != "pairs":
            return self.collate.batch(first, second, epoch, done)
        other = self.collate.batch(second, None, epoch, done)
        return replace(self.collate.batch(first, None, epoch, done), second=other)

    def _serve(self, picks: Picks, epoch: int) -> tuple[Served, Bool[np.ndarray, " w"]]:
        """Rows with their labels and keys, and which of them could be had."""
        selection, collate = self.contents.selection, self.collate
        flat, good = self.gatherer.gather(picks, self.contents.spec.num_params)
        columns = selection.keys

        def keys(operation: str, needed: bool) -> torch.Tensor:
            if not needed:
                return torch.zeros(len(picks.index), dtype=torch.int64)
            return named_keys(selection, picks, self.seed, operation, epoch)

        served = Served(
            flat=torch.from_numpy(flat),
            labels=torch.from_numpy(columns.labels[picks.index]),
            rows=torch.from_numpy(columns.rows[picks.index]),
            stores=torch.from_numpy(selection.shard_stores[picks.shards]),
            views=torch.from_numpy(columns.views[picks.index].astype(np.int64)),
            items=torch.from_numpy(columns.items[picks.index]),
            changing=keys("transform", bool(collate.transforms)),
            mixing=keys("mixup", collate.mixup is not None),
        )
        return served, good
