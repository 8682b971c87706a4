"""A map-style data set: any row by its number, for torch's samplers and DataLoader."""

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.loaders.collate import Batch, Transforms
from inrgen.loaders.config import LoaderConfig, replace_fields
from inrgen.loaders.index import Stores
from inrgen.loaders.stream import open_producer

# Fields that order samples or deal them out, which torch's samplers do here.
_STREAM_ALONE = ("balance", "weights", "rank", "world_size", "drop_last", "batch_size")


class WeightDataset(Dataset[tuple[Tensor, int]]):
    """The usable rows of one or more stores by number: dataset[i] is (weights, label).

    weights is the flat row, (P,) float32 on the CPU, and Params.from_flat(dataset.spec, batch) cuts
    a batch of rows into layers. torch's DataLoader fetches a whole batch at once, so
    DataLoader(WeightDataset(store), batch_size=64, shuffle=True) reads each shard once a batch.
    A StreamLoader reads faster, since it goes shard by shard.

    Rows lie in the order of the stores. Draws of transforms are named by (seed, item, view, epoch),
    as in StreamLoader: call set_epoch, or every epoch has the same draws.

    Args:
        stores, config, transforms, normalise_by, filter: as StreamLoader takes them.
        fields: fields of LoaderConfig by keyword; views is "all" or numbers.

    Raises:
        ValueError: nothing is left to serve, an argument does not fit the stores, or a field is for
            streams alone.
    """

    def __init__(
        self,
        stores: Stores,
        config: LoaderConfig | None = None,
        *,
        transforms: Transforms = (),
        normalise_by: tuple[Params, Params] | str | None = None,
        filter: Any = None,
        **fields: Any,
    ) -> None:
        self.config = replace_fields(config or LoaderConfig(), fields)
        if stray := [name for name in _STREAM_ALONE if name in fields]:
            raise ValueError(
                f"{', '.join(stray)} is for StreamLoader; here a DataLoader and its sampler decide"
            )
        if self.config.view_choice != "all" or self.config.on_bad_shard != "raise":
            raise ValueError(
                "views must be 'all' or numbers, and on_bad_shard 'raise', where rows are served "
                "by number; StreamLoader serves pairs and random views"
            )
        self._producer = open_producer(
            stores,
            self.config,
            transforms=transforms,
            mixup=None,
            normalise_by=normalise_by,
            filter=filter,
            device="cpu",
        )
        self._epoch = 0

    @property
    def spec(self) -> InrSpec:
        """The architecture of the INRs."""
        return self._producer.index.spec

    def set_epoch(self, epoch: int) -> None:
        """Choose the draws of transforms; without worker processes that outlive an epoch."""
        if epoch < 0:
            raise ValueError(f"epoch must not be negative; got {epoch}")
        self._epoch = epoch

    def __len__(self) -> int:
        return self._producer.index.selection.num_units

    def __repr__(self) -> str:
        return (
            f"WeightDataset({self.spec.spec_id}, split {self.config.split!r}: {len(self):,} rows)"
        )

    def batch(self, indices: Sequence[int]) -> Batch:
        """The rows at some indices, with their labels and origins.

        Raises IndexError for an index that does not exist.
        """
        index = np.array([operator.index(each) for each in indices], dtype=np.int64)
        index = np.where(index < 0, index + len(self), index)
        if len(index) and not 0 <= index.min() <= index.max() < len(self):
            raise IndexError(f"there are {len(self)} rows; got the indices {indices}")
        return self._producer.chosen(index, self._epoch)

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Tensor, int]]:
        """Several samples; torch's DataLoader calls this where it is there."""
        batch = self.batch(indices)
        return list(zip(batch.params.flat(), batch.labels.tolist(), strict=True))

    def __getitem__(self, index: Any) -> tuple[Tensor, int]:
        # Samplers give integers of numpy and torch, too; a list or a slice would be several rows.
        try:
            index = operator.index(index)
        except TypeError as error:
            raise TypeError(
                f"an index must be a whole number; got {index!r:.100}; batch(indices) takes several"
            ) from error
        return self.__getitems__([index])[0]
