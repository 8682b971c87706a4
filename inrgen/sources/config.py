"""Choice of a data set and of a part of it."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

import tyro

from inrgen.core.config import SPLITS, Split
from inrgen.core.config_fields import changed_options, refuse_options
from inrgen.core.summary import count
from inrgen.sources.options import ignored_options, without_ignored
from inrgen.sources.shape_config import MESH_SOURCES, ShapeConfig

SplitChoice = Literal["all", "train", "val", "test"]
Channels = Literal["auto", "gray", "rgb"]
LimitOrder = Literal["stratified", "first"]


def recorded_order(identity: dict[str, Any]) -> LimitOrder | None:
    """The order of the limit in a source's identity; None where it has no limit."""
    return None if identity.get("limit") is None else identity.get("limit_order", "first")


def has_copy_name(item_id: str) -> bool:
    """Tell whether an item of a source with copies is one; copy 2 of "a" is "a~2"."""
    return re.search(r"~[0-9]+$", item_id) is not None


def describe_copies(identity: dict[str, Any]) -> str:
    """The copies in a source's identity, in words; "" where it has none."""
    number, shift = identity.get("copies", 0), identity.get("shift", 0)
    if not number:
        return ""
    changes = ["mirrored at random"] if identity.get("flip") else []
    if shift:
        changes.append(f"shifted by up to {shift} sample{'' if shift == 1 else 's'}")
    copies = "a copy" if number == 1 else f"{number} copies"
    return f"{copies} of each training item, {' and '.join(changes)}"


def describe_limit(limit: int, order: LimitOrder | None) -> str:
    """The items of a limited source, in words."""
    kind = "the first" if order == "first" else "a stratified sample of"
    return f"{kind} {count(limit, 'item')} of each split"


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceConfig:
    """A source by name, and the part of it to take.

    Attributes:
        name: digits, fashion-mnist, mnist, cifar10, image-folder, video-folder, audio-folder,
            mesh-folder, modelnet40, torchvision:NAME, array (a .npy, .npz or Zarr file), a source
            that a package adds, or your own MODULE:FUNCTION, whose code is then run.
        data: folder (or file) that holds the data set; never written to, unless download is given.
        split: splits to take; all is train, val and test, in this order.
        limit: take at most so many items of each split; the default takes all.
        limit_order: stratified samples each split in proportion to its classes, and the sample of
            a larger limit contains that of a smaller one; first takes the first items. The default
            is stratified, or the order that the store or START to resume was begun with.
        channels: auto gives gray data one output and coloured data three; gray and rgb force it.
        follow_links: read files and folders that links name outside data, as git-annex, DVC and
            the caches of hubs lay them out; by default such links are refused.
        max_side: shrink pictures whose longer side has more pixels, antialiased, to this; the
            default keeps every size.
        max_pixels: a picture of more pixels is not fitted; the default fits all that
            memory allows.
        memory_limit: memory in GB that reading one item, or one file of arrays, may take.
        read_seconds: seconds that reading one item may take.
        download: let torchvision fetch missing files into data.
        axes: for array, a letter for each axis of values: n items, c channels, any other a
            coordinate, such as nyx, NCHW, ntc or nzyxc. By default n, the grid, and at most four
            channels.
        arg: for a source of your own, NAME=VALUE that its function takes; may be repeated.
        copies: changed copies of each training item, fitted beside it; val and test have none.
        flip: mirror half of the copies, at random, along the last axis (images: left to right).
        shift: shift each copy by up to so many samples along each axis; edges repeat outwards.
        shape: settings for mesh-folder and modelnet40.
    """

    HEADINGS: ClassVar[Mapping[str, str]] = {"shape": "shape"}

    name: Annotated[str, tyro.conf.arg(metavar="SOURCE")]
    data: str | None = None
    split: SplitChoice = "all"
    limit: int | None = None
    limit_order: LimitOrder | None = None
    channels: Channels = "auto"
    follow_links: bool = False
    max_side: int | None = None
    max_pixels: int | None = None
    memory_limit: float = 2.0
    read_seconds: float = 300.0
    download: bool = False
    axes: str | None = None
    arg: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    copies: int = 0
    flip: bool = False
    shift: int = 0
    shape: tyro.conf.OmitArgPrefixes[ShapeConfig] = field(default_factory=ShapeConfig)

    def __post_init__(self) -> None:
        if self.split not in get_args(SplitChoice):
            raise ValueError(f"split must be one of {get_args(SplitChoice)}; got {self.split!r}")
        if self.channels not in get_args(Channels):
            raise ValueError(f"channels must be one of {get_args(Channels)}; got {self.channels!r}")
        if self.limit_order not in (None, *get_args(LimitOrder)):
            raise ValueError(
                f"limit_order must be one of {get_args(LimitOrder)}; got {self.limit_order!r}"
            )
        for name in ("limit", "max_side", "max_pixels"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be positive, or None for no limit; got {value}")
        self._check_copies()
        for name in ("memory_limit", "read_seconds"):
            # The comparison also refuses NaN.
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive; got {getattr(self, name)}")
        refuse_options(ignored_options(self.name), changed_options(self))

    def ignored(self) -> dict[str, str]:
        """Options without effect on this source, each with what it is for."""
        found = ignored_options(self.name)
        if self.limit is None:
            found["limit_order"] = "samples, which limit takes"
        if "shape" not in found and self.shape.target == "occupancy":
            settings = ("surface_share", "truncation")
            found |= {f"shape.{name}": "target distance, not for occupancy" for name in settings}
        return found

    def _check_copies(self) -> None:
        for name in ("copies", "shift"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative; got {getattr(self, name)}")
        if self.copies and not (self.flip or self.shift):
            raise ValueError(
                "copies needs flip or shift, without which copies would be the same as their "
                f"originals; got copies={self.copies}"
            )
        if (self.flip or self.shift) and not self.copies:
            change = "flip" if self.flip else "shift"
            raise ValueError(f"{change} needs copies, since it changes copies of items; got none")

    @property
    def shrinks(self) -> bool:
        """Tell whether max_side applies: to pictures of any size."""
        return self.name in ("image-folder", "video-folder") or self.name.startswith("torchvision:")

    @property
    def splits(self) -> tuple[Split, ...]:
        """The wanted splits, in the order of items."""
        return tuple(s for s in SPLITS if self.split in ("all", s))

    @property
    def arguments(self) -> dict[str, str]:
        """The texts in arg by the name of the argument; the last one of a name counts."""
        return {name: text for name, _, text in (one.partition("=") for one in self.arg)}

    @property
    def memory_bytes(self) -> int:
        """memory_limit in bytes."""
        return int(self.memory_limit * 1e9)

    def data_place(self, wanted: str) -> str:
        """Return data. Raises ValueError, naming the wanted place, if it is None."""
        if self.data is None:
            raise ValueError(f"{self.name} needs data, {wanted}")
        return self.data

    def data_folder(self, holding: str) -> str:
        """Return data as data_place does. Raises NotADirectoryError if it is a file."""
        wanted = f"the folder that holds {holding}"
        data = self.data_place(wanted)
        if Path(data).is_file():
            raise NotADirectoryError(f"{self.name} needs data, {wanted}; {data} is a file")
        return data

    def num_outputs(self, native: int) -> int:
        """d_out of the signals of images with 1 or 3 native channels."""
        return {"auto": native, "gray": 1, "rgb": 3}[self.channels]

    def identity(self) -> dict[str, Any]:
        """All settings that decide the signals; the place of the data does not."""
        facts: dict[str, Any] = {
            "name": self.name,
            "split": self.split,
            "limit": self.limit,
            "channels": self.channels,
        }
        # Stores from before these options have no such keys; theirs hold the first items.
        if self.limit is not None and self.limit_order != "first":
            facts["limit_order"] = "stratified"
        names = ("follow_links", "max_side", "max_pixels", "axes", "copies", "flip", "shift")
        facts |= {name: value for name in names if (value := getattr(self, name))}
        if self.arg:
            facts["arg"] = list(self.arg)
        return facts | ({"shape": self.shape.identity()} if self.name in MESH_SOURCES else {})

    def with_order(self, recorded: dict[str, Any] | None) -> "SourceConfig":
        """The config with the order of its limit settled.

        Args:
            recorded: the identity of the source that a store or START to resume was begun with.
        """
        order = self.limit_order or recorded_order(recorded or {}) or "stratified"
        return self if self.limit is None else replace(self, limit_order=order)

    @staticmethod
    def from_identity(facts: dict[str, Any], data: str | None) -> "SourceConfig":
        """Rebuild the config of an identity, with the present place of the data.

        A reading in it is no setting: the source at hand says its own.
        """
        facts = {k: v for k, v in without_ignored(facts).items() if k != "reading"}
        shape = ShapeConfig()
        facts["limit_order"] = recorded_order(facts)
        if "shape" in facts:
            noted = {name: value for name, value in facts["shape"].items() if name != "axes"}
            shape = ShapeConfig(**{**noted, "near_widths": tuple(noted["near_widths"])})
        arg = tuple(facts.get("arg", ()))
        return SourceConfig(**{**facts, "shape": shape, "arg": arg}, data=data)
