"""Loaders of a run's rows, and the batches of its updates: changed, mixed or paired rows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from inrgen.core import rng
from inrgen.core.config import MatchConfig
from inrgen.core.mixing import mix_labels
from inrgen.core.params import Params
from inrgen.loaders.collate import Batch
from inrgen.loaders.stream import StreamLoader
from inrgen.store.queries import make_filter
from inrgen.store.reader import Store
from inrgen.training.config import MixName, TrainConfig
from inrgen.training.data import OpenData
from inrgen.training.distributed import DistributedContext
from inrgen.transforms import named
from inrgen.transforms.chain import Chain
from inrgen.transforms.mix import MixUp, contrastive_pair

_MIXUPS: dict[str, Callable[[float], MixUp]] = {
    "direct": lambda beta: MixUp(pairing="direct", beta=beta),
    "permuted": lambda beta: MixUp(pairing="random", beta=beta),
    "aligned": lambda beta: MixUp(matching=MatchConfig(kind="permutation"), beta=beta),
    "signed": lambda beta: MixUp(beta=beta),
}


def make_chain(text: str, published: bool = False) -> Chain:
    """Transforms from their text, such as negation,translate or rotation:bound_deg=30; "" is none.

    Args:
        published: use the parametrisation of the published code.

    Raises ValueError for text that is not understood.
    """
    links = named.parse_links(text, published) if text.strip() else ()
    return named.make_chain(links)


def make_mixup(name: MixName, beta: float) -> MixUp | None:
    """MixUp by its name in TrainConfig; None for "none". Shares come from Beta(beta, beta)."""
    return None if name == "none" else _MIXUPS[name](beta)


def train_loader(
    config: TrainConfig, data: OpenData, process: DistributedContext, **options: Any
) -> StreamLoader:
    """The training rows in use, in batches of this process's share.

    Args:
        options: further options of the loader. num_views replaces the config's views; None serves
            all views.
    """
    # Options override the config: moments and leaky partners read all views.
    options = {"views": "random" if config.view_mode == "random" else "all", **options}
    size, rest = divmod(config.batch_size, process.world_size)
    if rest:
        raise ValueError(
            f"batch_size must be a multiple of the {process.world_size} processes; "
            f"got {config.batch_size}"
        )
    loader = StreamLoader(
        data.train,
        filter=make_filter(data.items, options.pop("num_views", config.views)),
        batch_size=size,
        rank=process.rank,
        world_size=process.world_size,
        device=process.device,
        # Otherwise one process could wait for another's last batch.
        drop_last=process.world_size > 1,
        **options,
    )
    if process.world_size > 1 and len(loader) == 0:
        raise ValueError(
            f"batch_size must be at most the {loader.num_samples:,} rows of an epoch where "
            f"{process.world_size} processes train; got {config.batch_size}"
        )
    return loader


def eval_batch_size(device: torch.device) -> int:
    """Number of INRs to classify at once; on a CPU as many as fit into the cache."""
    return 128 if device.type == "cpu" else 1024


def eval_loader(stores: Sequence[Store], split: str, device: torch.device) -> StreamLoader:
    """The first view of each item of a split."""
    size = eval_batch_size(device)
    return StreamLoader(stores, split=split, views=[0], batch_size=size, device=device)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainBatch:
    """Rows of one update, with soft labels or with a second version of each row.

    second: versions in the order of params, for contrastive training.
    """

    params: Params
    labels: Float[Tensor, "b c"] | None = None
    second: Params | None = None

    def __len__(self) -> int:
        return len(self.params)


class TrainFeed:
    """The batches of each epoch: a function of config, data and epoch, divided over processes.

    MixUp partners come from a second loader with another order, the i-th partner for the i-th
    sample of an epoch. So they are drawn from all permitted rows, for any number of processes, and
    none comes twice in an epoch.
    """

    def __init__(self, config: TrainConfig, data: OpenData, process: DistributedContext) -> None:
        self._config, self._spec = config, data.spec
        # A table lookup without checks: a check would make a GPU wait at every update.
        self._one_hot = torch.eye(len(data.classes), device=process.device)
        self._chain = make_chain(config.augment, config.published)
        # An empty draw raises ValueError where a transform does not fit the spec.
        self._chain.draw(data.spec, torch.zeros(0, dtype=torch.int64))
        transforms = (self._chain,) if self._chain.transforms else ()
        self._mixup = make_mixup(config.mixup, config.mixup_beta)
        self.partners: StreamLoader | None = None
        if config.objective == "contrastive":
            views = {"views": "pairs"} if config.pairs == "views" else {}
            self.rows = train_loader(config, data, process, seed=config.seed, **views)
            return
        self.rows = train_loader(config, data, process, seed=config.seed, transforms=transforms)
        if self._mixup is not None:
            other = rng.hash_name(f"partners of {config.seed}")
            # Published code draws partners from views that the run does not train on.
            leaky = {"num_views": None, "views": "all"} if config.partners == "leaky" else {}
            self.partners = train_loader(
                config, data, process, seed=other, transforms=transforms, **leaky
            )

    def epoch(self, epoch: int) -> Iterator[TrainBatch]:
        """The batches of one epoch; a short last batch is left out unless it is the only one."""
        self.rows.set_epoch(epoch)
        whole = 0
        for batch, partners in self._with_partners(epoch):
            whole = whole or len(batch)
            if len(batch) == whole:
                yield self._train_batch(batch, partners)

    def _with_partners(self, epoch: int) -> Iterator[tuple[Batch, Batch | None]]:
        if self.partners is None:
            for batch in self.rows:
                yield batch, None
            return
        self.partners.set_epoch(epoch)
        # There may be more partners than rows, never fewer.
        yield from zip(self.rows, self.partners, strict=False)

    def _train_batch(self, batch: Batch, partners: Batch | None) -> TrainBatch:
        if self._config.objective == "contrastive":
            return self._pair(batch)
        labels = self._one_hot[batch.labels]
        if partners is None or self._mixup is None:
            return TrainBatch(params=batch.params, labels=labels)
        draw = self._mixup.draw(self._spec, self._keys("mixup", batch), num_rows=1)
        others = self._one_hot[partners.labels[: len(batch)]]
        mixed = self._mixup.apply(batch.params, partners.params[: len(batch)], draw)
        return TrainBatch(params=mixed, labels=mix_labels(labels, others, draw.lam))

    def _pair(self, batch: Batch) -> TrainBatch:
        """Two views of each item, changed separately, or two changes of each row."""
        keys = self._keys("pair", batch)
        if batch.second is None:
            first, second = contrastive_pair(self._chain, self._spec, batch.params, keys)
            return TrainBatch(params=first, second=second)
        first, second = (
            self._chain.apply(params, self._chain.draw(self._spec, rng.fold(keys, side)))
            for side, params in enumerate((batch.params, batch.second.params))
        )
        return TrainBatch(params=first, second=second)

    def _keys(self, operation: str, batch: Batch) -> Tensor:
        return rng.keys(self._config.seed, operation, batch.items, batch.views, batch.epoch)
