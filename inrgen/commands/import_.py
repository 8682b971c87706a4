"""Read other people's files into a store."""

import time
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Annotated, Any, Literal

import tyro

from inrgen.core.arguments import LocalPath, StoreArgument
from inrgen.exchange.formats.catalog import FormatName
from inrgen.exchange.importing import import_block, plan_import
from inrgen.exchange.stated import FAMILIES, Stated
from inrgen.executors.progress import show_progress
from inrgen.store.create import create_store
from inrgen.store.quality import Quality, measure_quality
from inrgen.store.reader import open_store
from inrgen.store.writer import StoreWriter, stage_block


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportConfig:
    """Read INRs that others wrote into a store; the same command again resumes.

    Files are read without running anything in them and without following links or paths out of
    the folder. What cannot be read becomes a row of NaN with a record that says why. Conventions
    that the files do not say must be stated, since wrong ones give wrong pictures in silence.

    Attributes:
        folder: the files.
        format: whose files they are.
        out: the store's folder; made where there is none.
        conventions: the family whose conventions hold, where nothing else is said.
        stated: what else is known of the conventions.
        widths: of all layers, input and output too; by default as the files have it.
        grid: rows and columns of the pictures, such as 28 28, which they are then drawn in.
    """

    folder: tyro.conf.Positional[LocalPath]
    format: FormatName
    out: StoreArgument
    conventions: Literal["dws", "nfn", "inr2vec"] | None = None
    stated: Annotated[Stated, tyro.conf.arg(name="")] = field(default_factory=Stated)
    widths: tuple[int, ...] | None = None
    grid: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportSummary:
    """What an import did; rows_read is this run's, quality the whole store's."""

    store: str
    rows_read: int
    seconds: float
    quality: Quality

    @property
    def failed(self) -> bool:
        return False

    def text(self) -> str:
        """What was read and what could not be."""
        done = f"{self.store}: read {self.rows_read:,} INRs in {self.seconds:.1f} s"
        return "\n".join([done, *self.quality.lines()])

    def document(self) -> dict[str, Any]:
        """The same as plain values."""
        return asdict(self)


def import_store(config: ImportConfig) -> ImportSummary:
    """Import, or go on with an import that was stopped.

    Raises:
        ValueError: conventions are not known, or the folder does not hold that format.
        OSError: it cannot be read, or the store cannot be written.
    """
    plan = plan_import(
        config.folder,
        config.format,
        config.stated,
        config.widths,
        family=FAMILIES[config.conventions] if config.conventions else None,
        grid=config.grid,
    )
    spec_id, began, read = plan.spec.spec_id, time.perf_counter(), 0
    about = {"inrgen_version": version("inrgen")}
    create_store(config.out, [(plan.spec, plan.layout)], identity=plan.identity, about=about)
    with StoreWriter(config.out) as writer:
        blocks = writer.pending(spec_id)
        left = sum(len(plan.layout.block_rows(block)) for block in blocks)
        with show_progress("import", plan.layout.rows, plan.layout.rows - left, "INRs") as progress:
            for block in blocks:
                flat, records = import_block(plan, block)
                writer.commit(stage_block(config.out, spec_id, block, flat, records))
                read += len(records)
                progress.advance(len(records))
        writer.finish()
    return ImportSummary(
        store=str(config.out),
        rows_read=read,
        seconds=time.perf_counter() - began,
        quality=measure_quality(open_store(config.out)),
    )
