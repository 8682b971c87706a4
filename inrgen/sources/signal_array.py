"""Signals of one shape as a single array: (n, *grid, channels), or (n, points, channels)."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped

from inrgen.core.config import SPLITS, Split
from inrgen.core.spec import ValueKind
from inrgen.sources.axes import read_axes
from inrgen.sources.base import BadSignal, Item, Signal, SourceFacts
from inrgen.sources.items import ItemRun, NumberedItems, bucket_split

PREFIX = "array"
# A pass over an array on disk holds about so many values at a time.
_VALUES_AT_ONCE = 4_000_000
_POINT_NAMES = "xyztuvw"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SignalArray:
    """A Source over an array; items[i] is entry positions[i].

    Attributes:
        values: all signals on one grid, or at equally many points; may be mapped from a file.
        coords: points of each signal, or of all signals; None on a grid.
        weights: weights of the points of each signal, or of all signals; None weighs them alike.
        peak: the value that counts as intensity 1; 1 keeps values as they are.
    """

    facts: SourceFacts
    items: Sequence[Item]
    positions: Int[np.ndarray, " n"]
    values: Shaped[np.ndarray, "_all ..."]
    coords: Shaped[np.ndarray, "..."] | None = None
    weights: Shaped[np.ndarray, "..."] | None = None
    peak: float = 1.0

    @property
    def data_sha256(self) -> str:
        """Digest of dtype, shape and bytes of values, coordinates and weights."""
        digest = hashlib.sha256()
        for array in (self.values, self.coords, self.weights):
            if array is None:
                continue
            digest.update(repr((array.dtype.str, array.shape)).encode())
            for part in _parts(array):
                digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()

    def load(self, index: int) -> Signal:
        """The signal of items[index]. Raises BadSignal for numbers that are not finite."""
        position = int(self.positions[index])
        # astype copies, so nothing shares the memory of a file or of another process.
        with np.errstate(over="ignore"):
            values = self.values[position].astype(np.float32) / np.float32(self.peak)
        if not np.isfinite(values).all():
            raise BadSignal("has values that are not finite")
        grid = () if self.coords is not None else values.shape[:-1]
        coords = None
        if self.coords is not None:
            points = self.coords if self.coords.ndim == 2 else self.coords[position]
            coords = torch.from_numpy(points.astype(np.float32))
            if not bool(coords.isfinite().all()):
                raise BadSignal("has coordinates that are not finite")
        flat, weights = torch.from_numpy(values.reshape(-1, values.shape[-1])), self.weights
        if weights is not None:
            own = weights[position] if weights.ndim == self.values.ndim - 1 else weights
            weights = torch.from_numpy(own.astype(np.float32).reshape(-1))
        return Signal(values=flat, grid=grid, coords=coords, weights=weights)


def _parts(array: Shaped[np.ndarray, "n ..."]) -> Iterator[Shaped[np.ndarray, "_k ..."]]:
    """Cut an array along its first axis, so that a file larger than memory can be read."""
    step = max(1, _VALUES_AT_ONCE // max(1, math.prod(array.shape[1:])))
    return (array[start : start + step] for start in range(0, len(array), step))


def finite_range(arrays: Sequence[np.ndarray]) -> tuple[float, float]:
    """The least and greatest finite value, widened if they are equal."""
    low, high = math.inf, -math.inf
    for array in arrays:
        for part in _parts(array):
            finite = part[np.isfinite(part)]
            if finite.size:
                low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if not low <= high:
        raise ValueError("the values need at least one finite number; got none")
    return (low, high) if low < high else (low, low + 1.0)


def full_value(dtype: np.dtype) -> float:
    """The value that counts as intensity 1; 1 for numbers that are no unsigned integers."""
    return float(np.iinfo(dtype).max) if dtype.kind == "u" else 1.0


def kind_of_values(
    dtype: np.dtype, d_in: int, d_out: int, value_range: tuple[float, float]
) -> tuple[ValueKind, tuple[float, float], float]:
    """The kind of values, their range, and the value that counts as intensity 1.

    Unsigned integers are intensities, up to the largest of their type. So are floating-point
    images of one or three channels that lie in [0, 1]. All others are quantities in their own
    units, with the range found in the data.
    """
    if dtype.kind == "u":
        return "intensity", (0.0, 1.0), full_value(dtype)
    is_image = d_in == 2 and d_out in (1, 3) and dtype.kind == "f"
    if is_image and 0.0 <= value_range[0] and value_range[1] <= 1.0:
        return "intensity", (0.0, 1.0), 1.0
    return "quantity", value_range, 1.0


def number_labels(
    labels: Any, num: int, names: Sequence[str]
) -> tuple[Int[np.ndarray, " n"], tuple[str, ...]]:
    """Class numbers and class names from numbers, or from names, which are numbered in order."""
    if labels is None:
        return np.full(num, -1), tuple(names)
    found = np.asarray(labels)
    if found.shape != (num,):
        raise ValueError(f"labels needs one for each of {num} signals; got shape {found.shape}")
    if found.dtype.kind in "US":
        known = tuple(names) or tuple(map(str, np.unique(found)))
        missing = set(map(str, found)) - set(known)
        if missing:
            raise ValueError(f"labels must be among {known}; got {min(missing)!r}")
        return np.array([known.index(str(name)) for name in found]), known
    if found.dtype.kind not in "iub":
        raise ValueError(f"labels must be whole numbers or names; got {found.dtype}")
    if num and found.min() < -1:
        raise ValueError(f"labels must be class numbers from 0, or -1 for none; got {found.min()}")
    return found.astype(np.int64), tuple(map(str, names))


def numbered_items(
    prefix: str,
    num: int,
    labels: Any = None,
    splits: Any = None,
    label_names: Sequence[str] = (),
) -> tuple[NumberedItems, Int[np.ndarray, " n"]]:
    """Items in the order of splits, and the position of each in the data.

    Args:
        splits: train, val or test for each signal, or one for all; None splits by a hash of ids.
    """
    numbers, names = number_labels(labels, num, label_names)
    if splits is None:
        splits = [bucket_split(f"{prefix}/{number:05d}") for number in range(num)]
    of = np.asarray(splits).astype(str)
    of = np.broadcast_to(of, (num,)) if of.ndim == 0 else of
    if of.shape != (num,):
        raise ValueError(f"splits needs one for each of {num} signals; got shape {of.shape}")
    unknown = set(of.tolist()) - set(SPLITS)
    if unknown:
        raise ValueError(f"splits must be among {SPLITS}; got {min(unknown)!r}")
    places: dict[Split, np.ndarray] = {split: np.flatnonzero(of == split) for split in SPLITS}
    runs = tuple(
        ItemRun(split=split, prefix=prefix, numbers=at, labels=numbers[at])
        for split, at in places.items()
        if len(at)
    )
    items = NumberedItems(runs=runs, label_names=names)
    return items, np.concatenate([run.numbers for run in runs] or [np.zeros(0, np.int64)])


def make_signal_array(
    values: Any,
    *,
    labels: Any = None,
    splits: Any = None,
    coords: Any = None,
    weights: Any = None,
    axes: str | None = None,
    label_names: Sequence[str] = (),
) -> SignalArray:
    """A source of signals in one array.

    Args:
        values: numbers, by default (n, *grid, channels) with a grid of 1 to 4 axes and at most 4
            channels; with coords (n, points, channels).
        labels: class numbers or class names, (n,).
        splits: train, val or test for each signal, or one for all; by default a hash of the ids.
        coords: (points, d_in) for all signals, or (n, points, d_in); in [-1, 1] as a rule.
        weights: shares of the points in loss and PSNR, (n, points) or (n, *grid), or without n
            for all signals; not negative.
        axes: a letter for each axis of values, such as nyx or ncyx; with coords, the names of the
            coordinates, such as txy.
        label_names: names of the classes by number.

    Raises ValueError for arrays that do not fit together.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "uif":
        raise ValueError(f"values must be real numbers; got {array.dtype}")
    if not array.size:
        raise ValueError(f"values needs at least one signal; got the shape {array.shape}")
    points = None if coords is None else np.asarray(coords)
    if points is None:
        stated = read_axes(axes, array.shape)
        array, order = stated.arrange(array), stated.coord_order
    else:
        order = _check_points(array, points, axes)
    shares = None if weights is None else np.asarray(weights)
    if shares is not None:
        _check_weights(array, shares)
    d_out = array.shape[-1]
    low_high = (0.0, 1.0) if array.dtype.kind == "u" else finite_range([array])
    kind, value_range, peak = kind_of_values(
        array.dtype, len(order) if points is None else 0, d_out, low_high
    )
    items, positions = numbered_items(PREFIX, len(array), labels, splits, label_names)
    facts = SourceFacts(
        name=PREFIX,
        value_kind=kind,
        d_in=len(order),
        d_out=d_out,
        value_range=value_range,
        coord_order=order,
        weighted=shares is not None,
    )
    return SignalArray(
        facts=facts,
        items=items,
        positions=positions,
        values=array,
        coords=points,
        weights=shares,
        peak=peak,
    )


def _check_weights(values: np.ndarray, weights: np.ndarray) -> None:
    """Refuse weights that are not a number for each point of every signal, or of one."""
    shapes = (values.shape[:-1], values.shape[1:-1])
    if weights.dtype.kind not in "uif" or weights.shape not in shapes:
        raise ValueError(
            f"weights needs numbers of the shape {shapes[0]} or {shapes[1]}; "
            f"got {weights.shape} of {weights.dtype}"
        )


def _check_points(
    values: Float[np.ndarray, "..."], coords: Float[np.ndarray, "..."], names: str | None
) -> str:
    """The names of the coordinates of points, which must fit the values."""
    fits = values.ndim == 3 and coords.shape[:-1] in (values.shape[1:2], values.shape[:2])
    if not fits:
        raise ValueError(
            "coords needs (points, d_in) or (n, points, d_in) beside values of (n, points, "
            f"channels); got {coords.shape} and {values.shape}"
        )
    order = _POINT_NAMES[: coords.shape[-1]] if names is None else names
    if len(order) != coords.shape[-1]:
        raise ValueError(f"axes must name the {coords.shape[-1]} coordinates; got {order!r}")
    return order
