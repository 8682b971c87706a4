"""What a format of somebody else's is: how a store is written in it, and how it is read."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
from jaxtyping import Float32
from torch import Tensor

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.core.splits import Split
from inrgen.exchange.files import BadEntry
from inrgen.exchange.moments import Moments
from inrgen.exchange.stated import Stated

# What was exported, and under which conventions: the last file of an export, and its commit.
SIDECAR = "inrgen-export.json"

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """What an exporter cannot know.

    path_prefix: what goes before the paths in splits.json; None is what the format is used to.
    like: whose files to look like where a format has several layouts: mnist, fashion-mnist or
        cifar10.
    omega: the frequency of every hidden layer; None is what the format is used to.
    value_mean, value_std: what values are standardised by, one number or one for each output.
    """

    path_prefix: str | None = None
    like: str | None = None
    omega: float | None = None
    value_mean: tuple[float, ...] | None = None
    value_std: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.omega is not None and not 0 < self.omega < math.inf:
            raise ValueError(f"omega must be positive; got {self.omega}")
        if (self.value_mean is None) != (self.value_std is None):
            raise ValueError(
                f"value_mean and value_std go together; got {self.value_mean} and {self.value_std}"
            )

    @property
    def stated(self) -> list[str]:
        """The names of those that were wished for."""
        return [field.name for field in fields(self) if getattr(self, field.name) is not None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """What the exported weights are: conventions, and what values were standardised by."""

    spec: InrSpec
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Writing:
    """An export under way, as its formats see it.

    folder: where files go.
    source: the name of the data set that the store was fitted to; "" where it is not known.
    views: the views that go out, in order.
    """

    folder: Path
    target: Target
    wishes: Wishes
    source: str
    views: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Exporter:
    """What the common machinery must know of a format.

    rows_per_part: rows that one task writes: many for files of many rows.
    one_view: the format has no views, and takes the first unless told.
    whole_items: it cannot hold an item that lacks one of its views.
    labelled: it cannot hold rows without a class.
    heeds: the wishes that mean something to it.
    cut_at_folder: its loader cuts paths where the folder's name comes first, so what goes before
        them must not hold that name.
    """

    rows_per_part: int
    one_view: bool = False
    whole_items: bool = False
    labelled: bool = False
    heeds: tuple[str, ...] = ()
    cut_at_folder: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """Where one INR is to be found: a file within the folder, and a row of it.

    label is -1 where only the file itself says it.
    """

    item_id: str
    view: int
    split: Split
    path: str
    row: int = 0
    label: int = -1


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """One INR as a file has it: its widths, a flat row in the store's order, and its class.

    flat is None where the widths are not those asked for.
    """

    widths: tuple[int, ...]
    flat: Float32[Tensor, " p"] | None
    label: int = -1


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """What a folder holds: entries in no particular order, and what files say of themselves."""

    entries: Sequence[Entry]
    label_names: dict[int, str] = field(default_factory=dict)
    stated: Stated = field(default_factory=Stated)
    widths: tuple[int, ...] | None = None


class Format(Protocol):
    """One layout of files. Everything it is given was checked, everything it reads was not."""

    @property
    def exporter(self) -> Exporter:
        """How it wants to be driven."""
        ...

    def target(self, spec: InrSpec, source: str, wishes: Wishes) -> Target:
        """The conventions that weights are converted to. ValueError where it cannot hold them."""
        ...

    def write(self, writing: Writing, part: int, rows: Sequence[Row], params: Params) -> None:
        """Write the files of one part, each all at once; params are in the target's conventions."""
        ...

    def finish(self, writing: Writing, rows: pa.Table, moments: Moments) -> None:
        """Write what is about all rows; moments are those of the training rows."""
        ...

    def survey(self, folder: Path) -> Survey:
        """List what a folder holds. Raises ValueError or OSError where that cannot be told."""
        ...

    def load(
        self, folder: Path, entries: Sequence[Entry], widths: tuple[int, ...] | None
    ) -> Iterator[Loaded | BadEntry]:
        """Read entries, in order; None for widths reads any."""
        ...
