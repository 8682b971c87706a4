"""Which data set to take signals from, and which part of it."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args

import tyro

from inrgen.core.splits import SPLITS, Split
from inrgen.sources.shape_config import MESH_SOURCES, ShapeConfig

SplitChoice = Literal["all", "train", "val", "test"]
Channels = Literal["auto", "gray", "rgb"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceConfig:
    """A source by name, and what to take of it.

    Attributes:
        name: digits, fashion-mnist, mnist, cifar10, image-folder, mesh-folder, modelnet40, or
            torchvision:NAME.
        data: the folder (or file) that holds the data set; only read, unless download is set.
        split: which splits to take; all is train, val and test, in this order.
        limit: the first so many items of each split asked for; None takes all.
        channels: auto gives gray data one output and coloured data three; gray and rgb insist.
        download: let torchvision fetch what is missing into data.
        shape: how meshes become signals; no other source looks at it.
    """

    name: str
    data: str | None = None
    split: SplitChoice = "all"
    limit: int | None = None
    channels: Channels = "auto"
    download: bool = False
    shape: Annotated[ShapeConfig, tyro.conf.arg(name="")] = field(default_factory=ShapeConfig)

    def __post_init__(self) -> None:
        if self.split not in get_args(SplitChoice):
            raise ValueError(f"split must be one of {get_args(SplitChoice)}; got {self.split!r}")
        if self.channels not in get_args(Channels):
            raise ValueError(f"channels must be one of {get_args(Channels)}; got {self.channels!r}")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit must be positive, or None for no limit; got {self.limit}")

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits asked for, in the order that items have."""
        return tuple(s for s in SPLITS if self.split in ("all", s))

    def data_folder(self, holding: str) -> str:
        """data, where the source cannot do without; ValueError names what it should hold."""
        if self.data is None:
            raise ValueError(f"{self.name} needs data, the folder that holds {holding}")
        return self.data

    def num_outputs(self, native: int) -> int:
        """d_out of the signals of a data set whose images have native channels, 1 or 3."""
        return {"auto": native, "gray": 1, "rgb": 3}[self.channels]

    def identity(self) -> dict[str, Any]:
        """What decides which signals come out, wherever the data lie: not data, not download."""
        facts = {
            "name": self.name,
            "split": self.split,
            "limit": self.limit,
            "channels": self.channels,
        }
        return facts | ({"shape": self.shape.identity()} if self.name in MESH_SOURCES else {})

    @staticmethod
    def from_identity(facts: dict[str, Any], data: str | None) -> "SourceConfig":
        """The config that an identity was taken of, with the data where they are now."""
        shape = ShapeConfig()
        if "shape" in facts:
            noted = {name: value for name, value in facts["shape"].items() if name != "axes"}
            shape = ShapeConfig(**{**noted, "near_widths": tuple(noted["near_widths"])})
        return SourceConfig(**{**facts, "shape": shape}, data=data)
