"""The streaming loader: batches of weights in an order that can be resumed anywhere."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import IterableDataset, get_worker_info

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.loaders.ahead import read_ahead
from inrgen.loaders.collate import Batch, Collate
from inrgen.loaders.config import LoaderConfig
from inrgen.loaders.contents import Stores, Views, read_contents
from inrgen.loaders.order import Share
from inrgen.loaders.position import Passes, Position, this_worker
from inrgen.loaders.produce import Producer
from inrgen.loaders.shards import Gatherer, OnBadShard
from inrgen.loaders.state import check_state, make_state
from inrgen.store.files.cache import DEFAULT_CACHE_BYTES, ShardCache
from inrgen.store.files.location import is_remote
from inrgen.store.mapped import MappedShards
from inrgen.store.statistics import read_statistics
from inrgen.transforms.base import Transform
from inrgen.transforms.mix import MixUp

# Rows made ahead of the trainer; batches of a window share its memory.
_AHEAD_ROWS = 4096


class StreamLoader(IterableDataset[Batch]):
    """Iterate over the rows of one or more stores in batches, each pass in another random order.

    Every iteration is one pass: epoch 0, then 1, and so on; one that is broken off is over, and
    load_state_dict makes the next one go on from where a state was saved. Each pass gives every
    sample once over all ranks together, in an order that seed and epoch alone decide (order.py);
    what a sample looks like depends on neither batch, rank, worker nor resumption. Rows whose
    status is ok or below_target are served, others never.

    It is a torch IterableDataset of whole batches, for DataLoader(loader, batch_size=None) and
    StatefulDataLoader; worker w of n makes batches w, w + n, ..., so the sequence is the same
    with any number of workers. None is needed, and none is fastest: a thread reads ahead.

    Args:
        stores: a store or its path, or several whose specs are the same.
        split: train, val, test or all.
        views: "all", a sample being a row; numbers of views, the same with those alone;
            "random", a sample being an item, of which each epoch serves one view; "pairs", a
            sample being an item, of which each epoch serves two different views, the other one
            as batch.second; items with only one view to serve are left out.
        where: an expression of pyarrow.dataset over the records, such as field("psnr_db") > 30.
        batch_size: samples of a batch on this rank.
        transforms: random changes, one after another.
        mixup: mixes each sample with another one of its pool, by name; with itself if it is alone.
        normalise_by: mean and standard deviation of each parameter, applied last; or the split
            whose statistics the first store keeps (`inrgen stats` makes them).
        balance: every class comes equally often: frequent ones in part, another part each epoch,
            rare ones repeated, each time with other draws of the transforms.
        weights: the shares of the stores in an epoch; by default their sizes.
        seed: names all randomness.
        rank, world_size: which of how many processes this is; each is given a share of its own.
        device: where batches are put and changed.
        drop_last: leave out the samples at an epoch's end that do not fill a batch on every rank.
        pool_shards: shards of each of the eight streams among which samples are shuffled.
        on_bad_shard: "raise" DamagedStore, or "skip": serve the rest, warn once for each shard,
            and count in bad_shards and skipped_rows.
        num_classes: of the soft labels that mixup makes; by default the largest label and one.
        spec_id: the architecture to read, where stores hold several.
        cache_dir: where shards of stores on a server are kept; any number of processes may share
            it. By default a folder of this user's own among the temporary files.
        cache_bytes: what all that is kept there takes at most; room for two pools and more keeps
            a shard from being fetched twice an epoch.

    Raises ValueError where nothing is left to serve, and for arguments that do not fit the stores.
    """

    def __init__(
        self,
        stores: Stores,
        *,
        split: str = "train",
        views: Views = "all",
        where: Any = None,
        batch_size: int = 256,
        transforms: Transform[Any] | Sequence[Transform[Any]] = (),
        mixup: MixUp | None = None,
        normalise_by: tuple[Params, Params] | str | None = None,
        balance: bool = False,
        weights: Sequence[float] | None = None,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | str = "cpu",
        drop_last: bool = False,
        pool_shards: int = 2,
        on_bad_shard: OnBadShard = "raise",
        num_classes: int | None = None,
        spec_id: str | None = None,
        cache_dir: str | Path | None = None,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
    ) -> None:
        self._config = LoaderConfig(
            batch_size=batch_size,
            drop_last=drop_last,
            seed=seed,
            rank=rank,
            world_size=world_size,
            pool_shards=pool_shards,
            on_bad_shard=on_bad_shard,
            num_classes=num_classes,
        )
        if mixup is not None and views == "pairs":
            raise ValueError("mixup mixes single samples; it has no meaning for views='pairs'")
        self._contents = read_contents(
            stores,
            spec_id=spec_id,
            split=split,
            views=views,
            where=where,
            balance=balance,
            weights=weights,
        )
        chain = tuple(transforms) if isinstance(transforms, Sequence) else (transforms,)
        self._gatherer = self._make_gatherer(cache_dir, cache_bytes)
        self._producer = Producer(
            contents=self._contents,
            gatherer=self._gatherer,
            collate=self._make_collate(torch.device(device), chain, mixup, normalise_by),
            seed=seed,
            pool_shards=pool_shards,
        )
        self._facts = {**self._contents.facts, "seed": seed, "pool_shards": pool_shards}
        self._passes = Passes()
        self._now: Position | None = None
        self._warned: set[int] = set()

    def _make_gatherer(self, cache_dir: str | Path | None, cache_bytes: int) -> Gatherer:
        stores = self._contents.stores
        remote = any(is_remote(store.path) for store in stores)
        cache = ShardCache(cache_dir, cache_bytes) if remote else None
        readers = [
            MappedShards(store, of, cache)
            for store, of in zip(stores, self._contents.spec_ids, strict=True)
        ]
        return Gatherer(self._contents.selection, readers, self._config.on_bad_shard)

    def _make_collate(
        self,
        device: torch.device,
        transforms: tuple[Transform[Any], ...],
        mixup: MixUp | None,
        normalise_by: tuple[Params, Params] | str | None,
    ) -> Collate:
        contents = self._contents
        if isinstance(normalise_by, str):
            normalise_by = read_statistics(contents.stores[0], normalise_by, contents.spec_ids[0])
        largest = int(contents.selection.keys.labels.max())
        return Collate(
            spec=contents.spec,
            device=device,
            transforms=transforms,
            mixup=mixup,
            num_classes=self._config.num_classes or largest + 1,
            normalise_by=normalise_by,
        )

    @property
    def spec(self) -> InrSpec:
        """The architecture of the INRs served."""
        return self._contents.spec

    @property
    def num_samples(self) -> int:
        """Samples of an epoch, over all ranks."""
        return self._contents.selection.num_units

    @property
    def bad_shards(self) -> list[str]:
        """What is wrong with each shard that was skipped in this process, in the order met."""
        return [str(error) for error in self._gatherer.lost.values()]

    @property
    def skipped_rows(self) -> int:
        """How many samples this process has not served because of that, all passes together."""
        return self._producer.loss.samples

    def __len__(self) -> int:
        """Batches of a whole epoch on this rank."""
        return self._share(Position(epoch=0)).num_batches

    def set_epoch(self, epoch: int) -> None:
        """Have the next iteration be this epoch, from its beginning."""
        if epoch < 0:
            raise ValueError(f"epoch must not be negative; got {epoch}")
        self._now = None
        self._passes.set(Position(epoch=epoch))

    def state_dict(self) -> dict[str, Any]:
        """The place after the last batch given out, as plain JSON values.

        Every rank's state says the same after the same number of batches, and any number of ranks
        may go on from it. At the end of an epoch it is the start of the next one.
        """
        now = self._now or self._passes.peek()
        return make_state(self._facts, self._share(now), now)

    def state_after(self, batch: Batch) -> dict[str, Any]:
        """The same after a certain batch, for where worker processes have made others since."""
        share = self._share(Position(epoch=batch.epoch, start=batch.done))
        return make_state(self._facts, share, Position(epoch=batch.epoch, start=batch.done))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Have the next iteration go on from a state.

        Raises ValueError for the state of another selection or seed, naming what differs.
        """
        position = check_state(state, self._facts, self._share(Position(epoch=0)))
        self._now = None
        self._passes.set(position)

    def __iter__(self) -> Iterator[Batch]:
        # begun when the first batch is asked for: StatefulDataLoader makes iterators it never uses
        self._now = None
        return self._iterate()

    def _iterate(self) -> Iterator[Batch]:
        position = self._passes.begin()
        _, num_workers = this_worker()
        self._now = position
        depth = max(2, _AHEAD_ROWS // self._config.batch_size)
        batches = self._producer.batches(position, self._share(position))
        for number, batch in read_ahead(batches, depth):
            self._now = replace(position, batches=number + num_workers)
            self._warn()
            if len(batch):
                yield batch
        if get_worker_info() is None:
            self._now = None

    def _share(self, position: Position) -> Share:
        return self._config.share(position, self.num_samples)

    def _warn(self) -> None:
        for shard, error in list(self._gatherer.lost.items()):
            if shard not in self._warned:
                self._warned.add(shard)
                warnings.warn(f"a shard is skipped: {error}", RuntimeWarning, stacklevel=3)
