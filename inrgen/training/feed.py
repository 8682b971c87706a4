"""What an update sees: changed and mixed rows with their labels, or pairs of rows."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from inrgen.core import rng
from inrgen.core.mixing import mix_labels
from inrgen.core.params import Params
from inrgen.loaders.collate import Batch
from inrgen.loaders.stream import StreamLoader
from inrgen.training.changes import make_chain, make_mixup
from inrgen.training.config import TrainConfig
from inrgen.training.data import OpenData, Place, train_loader
from inrgen.transforms.mix import contrastive_pair


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """Rows to learn from: with soft labels, or with another version of each in the same order."""

    params: Params
    labels: Float[Tensor, "b c"] | None = None
    second: Params | None = None

    def __len__(self) -> int:
        return len(self.params)


class TrainFeed:
    """The updates of each epoch: a function of config, data and epoch, shared out over processes.

    Partners for mixing come from a loader of their own with another order, the i-th sample of an
    epoch with the i-th partner: so they are drawn from all rows that they may be drawn from,
    whatever the number of processes, and none comes twice in an epoch.
    """

    def __init__(self, config: TrainConfig, data: OpenData, place: Place) -> None:
        self._config, self._spec = config, data.spec
        # Looked up and not checked again: a check would have a GPU wait at every update.
        self._one_hot = torch.eye(len(data.classes), device=place.device)
        self._chain = make_chain(config.augment, config.published)
        self._chain.draw(data.spec, torch.zeros(0, dtype=torch.int64))  # says what has no meaning
        transforms = (self._chain,) if self._chain.transforms else ()
        self._mixup = make_mixup(config.mixup, config.mixup_beta)
        self.partners: StreamLoader | None = None
        if config.objective == "contrastive":
            views = {"views": "pairs"} if config.pairs == "views" else {}
            self.rows = train_loader(config, data, place, seed=config.seed, **views)
            return
        self.rows = train_loader(config, data, place, seed=config.seed, transforms=transforms)
        if self._mixup is not None:
            other = rng.hash_name(f"partners of {config.seed}")
            leaky = {"num_views": None, "views": "all"} if config.partners == "leaky" else {}
            self.partners = train_loader(
                config, data, place, seed=other, transforms=transforms, **leaky
            )

    def epoch(self, epoch: int) -> Iterator[Example]:
        """The examples of one epoch; a last batch that is short is left out, unless it is all."""
        self.rows.set_epoch(epoch)
        whole = 0
        for batch, partners in self._with_partners(epoch):
            whole = whole or len(batch)
            if len(batch) == whole:
                yield self._example(batch, partners)

    def _with_partners(self, epoch: int) -> Iterator[tuple[Batch, Batch | None]]:
        if self.partners is None:
            for batch in self.rows:
                yield batch, None
            return
        self.partners.set_epoch(epoch)
        # There may be more partners than rows, never fewer.
        yield from zip(self.rows, self.partners, strict=False)

    def _example(self, batch: Batch, partners: Batch | None) -> Example:
        if self._config.objective == "contrastive":
            return self._pair(batch)
        labels = self._one_hot[batch.labels]
        if partners is None or self._mixup is None:
            return Example(params=batch.params, labels=labels)
        draw = self._mixup.draw(self._spec, self._keys("mixup", batch), num_rows=1)
        others = self._one_hot[partners.labels[: len(batch)]]
        mixed = self._mixup.apply(batch.params, partners.params[: len(batch)], draw)
        return Example(params=mixed, labels=mix_labels(labels, others, draw.lam))

    def _pair(self, batch: Batch) -> Example:
        """Two views of each item, changed separately, or two changes of each row."""
        keys = self._keys("pair", batch)
        if batch.second is None:
            first, second = contrastive_pair(self._chain, self._spec, batch.params, keys)
            return Example(params=first, second=second)
        first, second = (
            self._chain.apply(params, self._chain.draw(self._spec, rng.fold(keys, side)))
            for side, params in enumerate((batch.params, batch.second.params))
        )
        return Example(params=first, second=second)

    def _keys(self, operation: str, batch: Batch) -> Tensor:
        return rng.keys(self._config.seed, operation, batch.items, batch.views, batch.epoch)
