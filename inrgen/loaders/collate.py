"""From rows to a batch: moved to a device, changed at random, mixed, normalised."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inrgen.core import rng
from inrgen.core.mixing import mix_labels, one_hot
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.transforms.base import Transform
from inrgen.transforms.mix import MixUp


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Some INRs and what is known of them; every tensor is on the loader's device.

    labels: -1 where there is none.
    soft_labels: shares of the classes, where INRs were mixed; else None.
    rows: within the array of the spec; stores: which of the loader's stores; views: which fit.
    items: hash_items of the item ids.
    epoch: the pass over the data; done: how many samples of it are done with this batch, on all
        ranks together.
    second: another view of the same items, in the same order, where pairs are served.
    """

    params: Params
    labels: Int[Tensor, " b"]
    soft_labels: Float[Tensor, "b c"] | None
    rows: Int[Tensor, " b"]
    stores: Int[Tensor, " b"]
    views: Int[Tensor, " b"]
    items: Int[Tensor, " b"]
    epoch: int
    done: int
    second: "Batch | None" = None

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """Rows as they lie in a store, with their records and the names of their randomness.

    changing, mixing: keys, one for the transforms and one for the mixing of each row.
    """

    flat: Float[Tensor, "b p"]
    labels: Int[Tensor, " b"]
    rows: Int[Tensor, " b"]
    stores: Int[Tensor, " b"]
    views: Int[Tensor, " b"]
    items: Int[Tensor, " b"]
    changing: Int[Tensor, " b"]
    mixing: Int[Tensor, " b"]

    def map(self, function: Any) -> "Served":
        """Apply function to every tensor."""
        return Served(**{name: function(getattr(self, name)) for name in self.__slots__})


@dataclass(frozen=True, kw_only=True, slots=True)
class Collate:
    """What is done to every batch, in this order: move, transform, mix, normalise.

    transforms: transform t draws from each row's key folded with t.
    num_classes: of soft labels; needed by mixup alone.
    normalise_by: mean and standard deviation of every parameter, each one INR.
    """

    spec: InrSpec
    device: torch.device
    transforms: tuple[Transform[Any], ...] = ()
    mixup: MixUp | None = None
    num_classes: int = 0
    normalise_by: tuple[Params, Params] | None = None

    def __post_init__(self) -> None:
        if self.normalise_by is None:
            return
        for name, params in zip(("mean", "deviation"), self.normalise_by, strict=True):
            if params.flat().shape != (1, self.spec.num_params):
                raise ValueError(
                    f"normalise_by needs a {name} of one INR of {self.spec.architecture}; "
                    f"got {tuple(params.flat().shape)} numbers"
                )
        if not bool((self.normalise_by[1].flat() > 0).all()):
            raise ValueError("normalise_by needs a deviation above 0 for every parameter")

    def batch(self, served: Served, partners: Served | None, epoch: int, done: int) -> Batch:
        """Make the batch; partners, where INRs are mixed, has one row for each of served."""
        served = served.map(self._move)
        params = self._transformed(served)
        soft = None
        if self.mixup is not None:
            assert partners is not None, "mixing needs partners"
            partners = partners.map(self._move)
            # the loader has chosen the partners, so that they do not depend on the batch
            draw = self.mixup.draw(self.spec, served.mixing, num_rows=1)
            params = self.mixup.apply(params, self._transformed(partners), draw)
            ours, theirs = (one_hot(s.labels, self.num_classes) for s in (served, partners))
            soft = mix_labels(ours, theirs, draw.lam)
        return Batch(
            params=self._normalised(params),
            labels=served.labels,
            soft_labels=soft,
            rows=served.rows,
            stores=served.stores,
            views=served.views,
            items=served.items,
            epoch=epoch,
            done=done,
        )

    def _move(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device)

    def _transformed(self, served: Served) -> Params:
        params = Params.from_flat(self.spec, served.flat)
        for place, transform in enumerate(self.transforms):
            draw = transform.draw(self.spec, rng.fold(served.changing, place))
            params = transform.apply(params, draw)
        return params

    def _normalised(self, params: Params) -> Params:
        if self.normalise_by is None:
            return params
        mean, deviation = (part.to(params.device, params.dtype) for part in self.normalise_by)
        flat = (params.flat() - mean.flat()) / deviation.flat()
        return Params.from_flat(self.spec, flat)
