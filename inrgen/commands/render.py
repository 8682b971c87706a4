"""`inrgen render`: pictures of a store, and of its quality."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from inrgen.core.arguments import LocalPath, StoreArgument
from inrgen.core.summary import Summary


@dataclass(frozen=True, kw_only=True, slots=True)
class RenderConfig:
    """Draw INRs beside their originals, with error and PSNR, and the quality of the whole store.

    Images are pictures, shapes surfaces, signals over one coordinate lines; volumes are cut into
    slices, films into frames, and fields of vectors have arrows.

    Attributes:
        store: the store's folder or URL.
        out: folder for reconstructions.png and quality.png.
        data: folder that holds the data set, as for build; needed for the originals.
        source: for a store of your own source, its MODULE:FUNCTION, whose code is then run to draw
            the originals.
        rows: rows to draw; by default a choice from the worst PSNR to the best.
        count: number of rows to draw if rows are not named.
        originals: draw the originals, too; without them, no data are needed.
        up: the axis of shapes that points up in the pictures, which their titles name. auto takes
            y for OBJ and GLB files and z for OFF, PLY and STL, by the habit of these formats.
    """

    store: tyro.conf.Positional[StoreArgument]
    out: LocalPath
    data: str | None = None
    source: str | None = None
    rows: tuple[int, ...] = ()
    count: int = 10
    originals: bool = True
    up: Literal["auto", "y", "z"] = "auto"

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"count must be at least 1; got {self.count}")
        if self.up not in ("auto", "y", "z"):
            raise ValueError(f"up must be auto, y or z; got {self.up!r}")

    def ignored(self) -> dict[str, str]:
        """Options without effect on these pictures, each with what it is for."""
        found = {"count": "a choice of rows, where none are named"} if self.rows else {}
        return found if self.originals else found | dict.fromkeys(("data", "source"), "originals")


@dataclass(frozen=True, kw_only=True, slots=True)
class RenderSummary(Summary):
    """Paths of the pictures."""

    reconstructions: Path
    quality: Path

    def text(self) -> str:
        """A line for each picture."""
        return f"reconstructions: {self.reconstructions}\nquality: {self.quality}"


def render(config: RenderConfig) -> RenderSummary:
    """Draw a store. Raises ValueError for rows that do not exist or hold no weights."""
    from inrgen.figures.render import render_store
    from inrgen.fit.plan import source_of_store
    from inrgen.sources.catalog import open_source
    from inrgen.store.reader import open_store

    store = open_store(config.store)
    source = None
    if config.originals:
        source = open_source(source_of_store(store, config.data, config.source))
    rows = config.rows or config.count
    pictures, quality = render_store(store, source, rows, config.out, config.up)
    return RenderSummary(reconstructions=pictures, quality=quality)
