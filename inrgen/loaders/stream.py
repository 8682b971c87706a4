"""The streaming loader: batches of weights in a random order that can be resumed anywhere."""

import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch.utils.data import IterableDataset, get_worker_info

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.loaders.batches import BatchProducer, Gatherer
from inrgen.loaders.collate import Batch, Collate, Transforms, check_objects, read_transforms
from inrgen.loaders.config import LoaderConfig, replace_fields
from inrgen.loaders.index import LoaderIndex, Stores, read_index
from inrgen.loaders.order import Share
from inrgen.loaders.prefetch import read_ahead
from inrgen.loaders.state import NextPass, Position, check_state, make_state, this_worker
from inrgen.store.files.cache import ShardCache
from inrgen.store.files.location import is_bucket
from inrgen.store.statistics import read_statistics
from inrgen.transforms.mix import MixUp

# Rows made ahead of the trainer; the batches of a window share their memory.
_AHEAD_ROWS = 4096


class StreamLoader(IterableDataset[Batch]):
    """Batches of the rows of one or more stores, in another random order each pass.

    StreamLoader(store, split="train", batch_size=256, seed=0) is the common call. Every iteration
    is one pass: epoch 0, then 1, and so on. A pass that is broken off is over, and load_state_dict
    makes the next one continue where a state was saved. Each pass serves every sample once over
    all ranks together. Seed and epoch alone decide the order (order.py), and neither batch, rank,
    worker nor resumption changes a sample. Only rows whose status is ok or below_target are served.

    The loader is a torch IterableDataset of whole batches, for DataLoader(loader, batch_size=None)
    and StatefulDataLoader, one of them at a time. Worker w of n makes batches w, w + n, ..., so the
    sequence is the same with any number of workers, persistent or not. No worker is fastest,
    because a thread reads ahead.

    Args:
        stores: a store or its path, or several whose specs are the same.
        config: rows, order, batches and ranks.
        transforms: random changes, applied in order: objects with draw and apply, or functions
            as inrgen.transform takes them.
        mixup: mixes each sample with another one of its pool, chosen by name; a sample alone in
            its pool is mixed with itself.
        normalise_by: mean and standard deviation of each parameter, applied last; or the split
            whose statistics the first store keeps (`inrgen stats` measures them).
        filter: a pyarrow.dataset expression over the records, such as field("psnr_db") > 30.
        device: device on which batches are placed and changed.
        fields: fields of LoaderConfig by keyword, which replace those of config.

    Raises:
        ValueError: nothing is left to serve, or an argument does not fit the stores.
        TypeError: a keyword is not a field; the message names the nearest one.
    """

    def __init__(
        self,
        stores: Stores,
        config: LoaderConfig | None = None,
        *,
        transforms: Transforms = (),
        mixup: MixUp | None = None,
        normalise_by: tuple[Params, Params] | str | None = None,
        filter: Any = None,
        device: torch.device | str = "cpu",
        **fields: Any,
    ) -> None:
        self.config = replace_fields(config or LoaderConfig(), fields)
        self._producer = open_producer(
            stores,
            self.config,
            transforms=transforms,
            mixup=mixup,
            normalise_by=normalise_by,
            filter=filter,
            device=device,
        )
        self._index, self._gatherer = self._producer.index, self._producer.gatherer
        self._next_pass = NextPass()
        self._now: Position | None = None
        self._warned: set[int] = set()

    @property
    def spec(self) -> InrSpec:
        """The architecture of the INRs served."""
        return self._index.spec

    @property
    def num_samples(self) -> int:
        """Samples of an epoch, over all ranks."""
        return self._index.selection.num_units

    @property
    def bad_shards(self) -> list[str]:
        """The error of each shard that this process skipped, in the order met."""
        return [str(error) for error in self._gatherer.lost.values()]

    @property
    def skipped_rows(self) -> int:
        """Samples that this process skipped because of bad shards, all passes together."""
        return self._producer.skipped.samples

    def __repr__(self) -> str:
        config = self.config
        return (
            f"StreamLoader({self.spec.spec_id}, split {config.split!r}: {self.num_samples:,} "
            f"samples, batches of {config.batch_size:,})"
        )

    def __len__(self) -> int:
        """Batches of a whole epoch on this rank."""
        return self._share(Position(epoch=0)).num_batches

    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration this epoch, from its beginning."""
        if epoch < 0:
            raise ValueError(f"epoch must not be negative; got {epoch}")
        self._now = None
        self._next_pass.set(Position(epoch=epoch))

    def state_dict(self) -> dict[str, Any]:
        """The position after the last batch given out, as plain JSON values.

        All ranks have the same state after the same number of batches, and any number of ranks
        may resume from it. At the end of an epoch it is the start of the next one.

        Raises RuntimeError where a DataLoader's worker processes make the batches, because they
        are ahead of the trainer by an unknown number.
        """
        if get_worker_info() is None and self._next_pass.in_workers:
            raise RuntimeError(
                "worker processes are ahead of the trainer, so state_dict cannot tell which "
                "batches were used; save state_after(batch) of the last one, or the state of a "
                "StatefulDataLoader"
            )
        now = self._now or self._next_pass.peek()
        return make_state(self._index.identity, self._share(now), now)

    def state_after(self, batch: Batch) -> dict[str, Any]:
        """The state after a given batch; worker processes may have made later ones already."""
        position = Position(epoch=batch.epoch, start=batch.done)
        return make_state(self._index.identity, self._share(position), position)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Make the next iteration continue from a state.

        Raises ValueError for the state of another selection or seed, naming the differences.
        """
        position = check_state(state, self._index.identity, self._share(Position(epoch=0)))
        self._now = None
        self._next_pass.set(position)

    def __iter__(self) -> Iterator[Batch]:
        # The pass begins with its first batch: StatefulDataLoader makes iterators it never uses.
        self._now = None
        self._next_pass.open()
        return self._iterate()

    def _iterate(self) -> Iterator[Batch]:
        position = self._next_pass.begin()
        _, num_workers = this_worker()
        self._now = position
        # At least two batches, so that one is ready while the next is made.
        depth = max(2, _AHEAD_ROWS // self.config.batch_size)
        batches = self._producer.batches(position, self._share(position))
        for number, batch in read_ahead(batches, depth):
            # The next batch of this worker is num_workers further on.
            self._now = replace(position, batches=number + num_workers)
            self._warn()
            # A batch can be empty where bad shards are skipped.
            if len(batch):
                yield batch
        # StatefulDataLoader asks a worker for its state after the last batch, too.
        if get_worker_info() is None:
            self._now = None

    def _share(self, position: Position) -> Share:
        """This rank's share of an epoch, from a position on."""
        return Share(
            start=position.start,
            total=self.num_samples,
            rank=self.config.rank,
            world_size=self.config.world_size,
            batch_size=self.config.batch_size,
            drop_last=self.config.drop_last,
        )

    def _warn(self) -> None:
        for shard, error in list(self._gatherer.lost.items()):
            if shard not in self._warned:
                self._warned.add(shard)
                warnings.warn(f"a shard is skipped: {error}", RuntimeWarning, stacklevel=3)


def open_producer(
    stores: Stores,
    config: LoaderConfig,
    *,
    transforms: Transforms,
    mixup: MixUp | None,
    normalise_by: tuple[Params, Params] | str | None,
    filter: Any,
    device: torch.device | str,
) -> BatchProducer:
    """Open the stores and select the rows of a loader; arguments and errors are StreamLoader's."""
    changes = read_transforms(transforms)
    check_objects(mixup=mixup, filter=filter, device=device)
    if mixup is not None and config.view_choice == "pairs":
        raise ValueError("mixup mixes single samples; it has no meaning for views='pairs'")
    index = read_index(stores, config, filter)
    if isinstance(normalise_by, str):
        normalise_by = read_statistics(index.stores[0], normalise_by, index.spec_ids[0])
    collate = Collate(
        spec=index.spec,
        device=torch.device(device),
        transforms=changes,
        mixup=mixup,
        num_classes=config.num_classes or index.selection.max_label + 1,
        normalise_by=normalise_by,
    )
    return BatchProducer(
        index=index,
        gatherer=_make_gatherer(index, config),
        collate=collate,
        seed=config.seed,
        pool_shards=config.pool_shards,
    )


def _make_gatherer(index: LoaderIndex, config: LoaderConfig) -> Gatherer:
    """Map the shards of every store; those in a bucket pass through the cache."""
    remote = [is_bucket(store.path) for store in index.stores]
    # Local shards are mapped where they are; the hub's own library keeps a copy of its files.
    cache = ShardCache(config.cache_dir, config.cache_bytes) if any(remote) else None
    readers = []
    for number, (store, spec_id) in enumerate(zip(index.stores, index.spec_ids, strict=True)):
        layout, wanted = store.layouts[spec_id], None
        if remote[number]:
            wanted = index.selection.wanted_chunks(number, layout)
        readers.append(store.open_rows(spec_id, cache, wanted=wanted))
    return Gatherer(index.selection, readers, config.on_bad_shard)
