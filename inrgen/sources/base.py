"""Where signals come from: the source protocol, its items and their signals."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from jaxtyping import Float
from torch import Tensor

from inrgen.core.spec import ValueKind
from inrgen.core.splits import Split
from inrgen.sources.shape_check import ShapeCheck


class BadSignal(Exception):
    """One item that cannot be read; its message is the reason its record will carry."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One thing to fit. item_id is "train/00017" or a relative POSIX path; label -1 means none."""

    item_id: str
    split: Split
    label: int = -1
    label_name: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Signal:
    """The samples that an INR is fitted to.

    values: n points of d_out values; intensities in [0, 1], distances in coordinate units.
    grid: the shape of a regular grid, row-major, (rows, columns) for images; () for loose points.
    coords: where loose points are; None on a grid, whose coordinates the spec's convention gives.
    check: what fits to a shape are measured against; no part of what they are fitted to.
    """

    values: Float[Tensor, "n d_out"]
    grid: tuple[int, ...] = ()
    coords: Float[Tensor, "n d_in"] | None = None
    check: ShapeCheck | None = None

    def sha256(self) -> str:
        """A digest of the decoded signal: its shape, values and coordinates as float32 bytes."""
        digest = hashlib.sha256(repr((self.grid, tuple(self.values.shape))).encode())
        digest.update(self.values.contiguous().numpy().tobytes())
        if self.coords is not None:
            digest.update(self.coords.contiguous().numpy().tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceFacts:
    """What a source says of all its signals, before any is read: value_range is what they span."""

    name: str
    value_kind: ValueKind
    d_in: int
    d_out: int
    value_range: tuple[float, float] = (0.0, 1.0)


class Source(Protocol):
    """A data set: its items in a fixed order (train, then val, then test) and their signals."""

    @property
    def facts(self) -> SourceFacts:
        """The kind and dimensions of the signals."""
        ...

    @property
    def items(self) -> Sequence[Item]:
        """Every item of the splits asked for, by its place in the order."""
        ...

    def load(self, index: int) -> Signal:
        """The signal of items[index]. Raises BadSignal where the item cannot be read."""
        ...
