"""Rows into a batch: moved to a device, transformed, mixed, normalised."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.data._utils.collate import default_collate_fn_map

from inrgen.core import rng
from inrgen.core.mixing import mix_labels, one_hot
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.transforms.base import Transform
from inrgen.transforms.mix import MixUp
from inrgen.transforms.own import apply_checked, as_transform, draw_checked, own_label

# One change of weights or several, in order: objects with draw and apply, or functions.
Transforms = (
    Transform[Any] | Callable[..., Params] | Sequence[Transform[Any] | Callable[..., Params]]
)
_ORIGINS = ("labels", "rows", "stores", "views", "items")


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Batch:
    """INRs with labels and origins; every tensor is on the loader's device.

    Attributes:
        params: the weights of b INRs.
        labels: class of each INR; -1 where it has none.
        soft_labels: shares of the classes where INRs were mixed, else None.
        rows: row of each INR within the array of its spec.
        stores: index of its store among the loader's stores.
        views: number of the fit.
        items: hash_items of the item ids.
        epoch: number of the pass over the data.
        done: samples of the epoch served up to the end of this batch, on all ranks together.
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

    def __repr__(self) -> str:
        return f"Batch({self.params!r}, epoch {self.epoch}, {self.done:,} samples done)"

    def __len__(self) -> int:
        return len(self.labels)

    def pin_memory(self) -> "Batch":
        """The same batch in page-locked memory, from which copies to a GPU can overlap with work.

        torch calls this in DataLoader(loader, batch_size=None, pin_memory=True).
        """
        pinned = {name: getattr(self, name).pin_memory() for name in _ORIGINS}
        return replace(
            self,
            params=self.params.map(Tensor.pin_memory),
            soft_labels=None if self.soft_labels is None else self.soft_labels.pin_memory(),
            second=None if self.second is None else self.second.pin_memory(),
            **pinned,
        )


def _refuse_to_collate(batches: list[Batch], *, collate_fn_map: Any = None) -> NoReturn:
    """Stop a DataLoader that would collate whole batches into larger ones."""
    raise ValueError(
        "a StreamLoader makes whole batches, which DataLoader must not collate again: write "
        "DataLoader(loader, batch_size=None), and give the size to StreamLoader(batch_size=...)"
    )


# torch's documented way to say how its default_collate treats a type.
default_collate_fn_map[Batch] = _refuse_to_collate


def read_transforms(given: Any) -> tuple[Transform[Any], ...]:
    """The transforms that a loader was given, one or several, or functions of weights.

    Raises ValueError for anything else.
    """
    try:
        several = isinstance(given, Sequence) and not isinstance(given, str)
        return tuple(map(as_transform, given if several else [given]))
    except ValueError as error:
        raise ValueError(
            "transforms must be transforms such as SirenNegation() of inrgen.transforms, functions "
            f"of Params, or parse_chain(TEXT); got {given!r}: {error}"
        ) from error


def check_objects(*, mixup: Any, filter: Any, device: Any) -> None:
    """Raise ValueError, naming the argument, for another object than a loader takes."""
    if mixup is not None and not isinstance(mixup, MixUp):
        raise ValueError(
            f"mixup must be a MixUp, such as inrgen.transforms.MixUp(pairing='direct'), or None; "
            f"got {mixup!r}"
        )
    if isinstance(filter, str):
        raise ValueError(
            "filter must be an expression of pyarrow.dataset, such as field('psnr_db') > 30; "
            f"got the text {filter!r}"
        )
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"device must be one that torch can use here; got {str(device)!r}: {reason}"
        ) from None


@dataclass(frozen=True, kw_only=True, slots=True)
class RawRows:
    """Rows as a store holds them, with their origins and the keys of their randomness.

    transform_keys, mixup_keys: a key for each row; zeros where nothing will be drawn.
    """

    flat: Float[Tensor, "b p"]
    labels: Int[Tensor, " b"]
    rows: Int[Tensor, " b"]
    stores: Int[Tensor, " b"]
    views: Int[Tensor, " b"]
    items: Int[Tensor, " b"]
    transform_keys: Int[Tensor, " b"]
    mixup_keys: Int[Tensor, " b"]

    def map(self, function: Callable[[Tensor], Tensor]) -> "RawRows":
        """Apply function to every tensor."""
        return RawRows(**{name: function(getattr(self, name)) for name in self.__slots__})


@dataclass(frozen=True, kw_only=True, slots=True)
class Collate:
    """The steps applied to every batch, in this order: move, transform, mix, normalise.

    Attributes:
        transforms: transform t draws from each row's key folded with t.
        num_classes: number of classes in soft labels; only MixUp needs it.
        normalise_by: mean and standard deviation of every parameter, each as one INR.
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

    def batch(self, raw: RawRows, partners: RawRows | None, epoch: int, done: int) -> Batch:
        """Make a batch.

        Args:
            partners: the row to mix with each row of raw; needed where mixup is set.
        """
        raw = raw.map(self._move)
        params = self._transformed(raw)
        soft = None
        if self.mixup is not None:
            assert partners is not None, "mixing needs partners"
            partners = partners.map(self._move)
            # The loader chose the partners already, so that they do not depend on the batch.
            draw = self.mixup.draw(self.spec, raw.mixup_keys, num_rows=1)
            params = self.mixup.apply(params, self._transformed(partners), draw)
            ours, theirs = (one_hot(r.labels, self.num_classes) for r in (raw, partners))
            soft = mix_labels(ours, theirs, draw.lam)
        return Batch(
            params=self._normalised(params),
            labels=raw.labels,
            soft_labels=soft,
            rows=raw.rows,
            stores=raw.stores,
            views=raw.views,
            items=raw.items,
            epoch=epoch,
            done=done,
        )

    def _move(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device)

    def _transformed(self, raw: RawRows) -> Params:
        params = Params.from_flat(self.spec, raw.flat)
        for number, transform in enumerate(self.transforms):
            # Folding in the number makes two equal transforms draw independently.
            draw = draw_checked(transform, self.spec, rng.fold(raw.transform_keys, number))
            before, params = params, apply_checked(transform, params, draw)
            if (called := own_label(transform)) and (lost := _lost_rows(before, params)).any():
                raise ValueError(
                    f"{called} made weights that are not finite, first of row "
                    f"{int(raw.rows[lost][0])}"
                )
        return params

    def _normalised(self, params: Params) -> Params:
        if self.normalise_by is None:
            return params
        mean, deviation = (part.to(params.device, params.dtype) for part in self.normalise_by)
        # One operation on the flat rows is faster than one on each tensor.
        flat = (params.flat() - mean.flat()) / deviation.flat()
        return Params.from_flat(self.spec, flat)


def _lost_rows(before: Params, after: Params) -> Bool[Tensor, " b"]:
    """Mark the INRs that were finite and no longer are."""
    was, is_now = (params.flat().isfinite().all(dim=1) for params in (before, after))
    return was & ~is_now
