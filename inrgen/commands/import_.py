"""Read other people's INRs into a store."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import tyro

from inrgen.core.arguments import LocalPath, StoreArgument
from inrgen.core.memory import DEFAULT_MEMORY_GB, allow_memory
from inrgen.core.summary import Summary
from inrgen.exchange.conventions import FAMILIES, Conventions, FormatName


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportConfig:
    """Read INRs of others into a store; the same command again resumes.

    Runs nothing that a file contains, and follows no link or path out of the folder. An
    unreadable file becomes a row of NaN, whose record gives the reason. You must state the
    conventions that the files leave open, since wrong ones show wrong pictures silently.

    Attributes:
        folder: folder of the files.
        format: format of the files.
        out: the store's folder; made if missing.
        conventions: family whose conventions hold unless the files or other options differ.
        stated: single conventions.
        widths: sizes of all layers, input and output too; by default as the files have them.
        grid: rows and columns to draw pictures in, such as 28 28.
        memory_limit: memory in GB that reading one file may take.
    """

    HEADINGS: ClassVar[Mapping[str, str]] = {
        "network": "widths grid",
        "convention": "conventions stated",
    }

    folder: tyro.conf.Positional[LocalPath]
    format: FormatName
    out: StoreArgument
    conventions: Literal["dws", "nfn", "fit-a-nef", "inr2vec"] | None = None
    stated: Annotated[tyro.conf.OmitArgPrefixes[Conventions], tyro.conf.arg(name="conventions")] = (
        field(default_factory=Conventions)
    )
    widths: tuple[int, ...] | None = None
    grid: tuple[int, ...] = ()
    memory_limit: float = DEFAULT_MEMORY_GB

    def __post_init__(self) -> None:
        # The comparison also refuses NaN.
        if not 0 < self.memory_limit < math.inf:
            raise ValueError(f"memory_limit must be positive; got {self.memory_limit}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportSummary(Summary):
    """Result of an import; rows_read and seconds are this run's.

    quality is the inrgen.store.quality.Quality of the whole store.
    """

    store: str
    rows_read: int
    seconds: float
    quality: Any

    @property
    def fault(self) -> str:
        return self.quality.fault(self.store)

    def text(self) -> str:
        """The summary in a few lines."""
        done = f"{self.store}: read {self.rows_read:,} INRs in {self.seconds:.1f} s"
        return "\n".join([done, *self.quality.lines()])


def import_store(config: ImportConfig) -> ImportSummary:
    """Import a folder, or resume an import that was stopped.

    Raises:
        ValueError: conventions are unknown, or the folder does not hold the format.
        OSError: the folder cannot be read, or the store cannot be written.
    """
    from inrgen.exchange.import_plan import plan_import
    from inrgen.exchange.import_run import run_import
    from inrgen.store.quality import measure_quality
    from inrgen.store.reader import open_store

    with allow_memory(config.memory_limit):
        plan = plan_import(
            config.folder,
            config.format,
            config.stated,
            config.widths,
            family=FAMILIES[config.conventions] if config.conventions else None,
            grid=config.grid,
        )
        began = time.perf_counter()
        read = run_import(plan, config.out)
    return ImportSummary(
        store=str(config.out),
        rows_read=read,
        seconds=time.perf_counter() - began,
        quality=measure_quality(open_store(config.out)),
    )
