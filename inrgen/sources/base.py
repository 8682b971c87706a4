"""The source protocol: items in a fixed order, and the signal of each."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from jaxtyping import Float
from torch import Tensor

from inrgen.core.config import Split
from inrgen.core.spec import ValueKind
from inrgen.sources.mesh import Placement, ShapeReference


class BadSignal(Exception):
    """An item that cannot be read; the message is the reason that its record carries."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """An image or shape to fit.

    Attributes:
        item_id: "train/00017", or a path below the source's folder, with slashes.
        label: the class number; -1 for none.
    """

    item_id: str
    split: Split
    label: int = -1
    label_name: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Signal:
    """Samples that an INR is fitted to.

    Attributes:
        values: n points of d_out values; intensities in [0, 1], distances in coordinate units.
        grid: the shape of a regular grid, row-major, (rows, columns) for images; () for points.
        coords: positions of the points; None on a grid, whose coordinates follow from the spec.
        weights: share of each point in the loss and in the PSNR, relative to the others of its
            signal; None weighs all alike.
        reference: measures fits of shapes; no fit sees it.
        placement: the map from the units of the item's file, such as seconds, to coordinates;
            records keep it.
    """

    values: Float[Tensor, "n d_out"]
    grid: tuple[int, ...] = ()
    coords: Float[Tensor, "n d_in"] | None = None
    reference: ShapeReference | None = None
    placement: Placement | None = None
    weights: Float[Tensor, " n"] | None = None

    def __post_init__(self) -> None:
        held = self.weights
        if held is None:
            return
        if held.shape != self.values.shape[:1] or not bool(held.isfinite().all()):
            raise BadSignal(f"needs a finite weight for each of {len(self.values)} points")
        if float(held.min()) < 0 or not float(held.sum()) > 0:
            raise BadSignal("has weights that are negative, or all zero")

    def sha256(self) -> str:
        """Digest of the decoded signal: its shape, values, coordinates and weights as bytes."""
        digest = hashlib.sha256(repr((self.grid, tuple(self.values.shape))).encode())
        digest.update(self.values.contiguous().numpy().tobytes())
        if self.coords is not None:
            digest.update(self.coords.contiguous().numpy().tobytes())
        if self.weights is not None:
            digest.update(b"weights" + self.weights.contiguous().numpy().tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceFacts:
    """Facts about all signals of a source, known before any is read.

    Attributes:
        value_range: the least and greatest value that signals can have.
        notes: sentences for a person to check before any work, such as the splits and classes that
            were found in the names of folders.
        coord_order: a letter for each coordinate, as InrSpec has them; "" leaves it to a recipe.
        weighted: whether signals have weights, which engine torch alone knows.
        usual_recipe: the recipe of a build that names none; "" leaves it to the kind of signal.
    """

    name: str
    value_kind: ValueKind
    d_in: int
    d_out: int
    value_range: tuple[float, float] = (0.0, 1.0)
    notes: tuple[str, ...] = ()
    coord_order: str = ""
    usual_recipe: str = ""
    weighted: bool = False


class Source(Protocol):
    """A data set: its items in a fixed order (train, then val, then test) and their signals.

    A source may also have data_sha256, a digest of its data. A store records it, so that a build
    cannot resume on other data under the same names.
    """

    @property
    def facts(self) -> SourceFacts:
        """The kind and dimensions of the signals."""
        ...

    @property
    def items(self) -> Sequence[Item]:
        """Every item of the requested splits, in order."""
        ...

    def load(self, index: int) -> Signal:
        """Read the signal of items[index]. Raises BadSignal if the item cannot be read."""
        ...
