"""Read other people's files into a store."""

import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import tyro

from inrgen.core.spec import Activation, CoordOrder, ValueKind
from inrgen.exchange.catalog import FormatName
from inrgen.exchange.importing import import_block, plan_import
from inrgen.exchange.stated import FAMILIES, Stated
from inrgen.journeys.progress import show_progress
from inrgen.journeys.store_argument import StoreArgument
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
        omega: frequency of the hidden layers, one number or one for each.
        coord_order: xy where coordinate 0 is the column, ij where it is the row.
        coord_range: from where to where coordinates go; -1 1 by default.
        value_range: from where to where values go, such as 0 1.
        value_kind: what values are; intensity by default.
        output_offset: what is added to the last layer's output.
        activation: sine by default.
        value_mean: mean that values were standardised by; they are brought back to value_range.
        value_std: standard deviation that values were standardised by.
        widths: of all layers, input and output too; by default as the files have it.
    """

    folder: tyro.conf.Positional[Path]
    format: FormatName
    out: StoreArgument
    conventions: Literal["dws", "nfn", "inr2vec"] | None = None
    omega: tuple[float, ...] | None = None
    coord_order: CoordOrder | None = None
    coord_range: tuple[float, float] | None = None
    value_range: tuple[float, float] | None = None
    value_kind: ValueKind | None = None
    output_offset: float | None = None
    activation: Activation | None = None
    value_mean: tuple[float, ...] | None = None
    value_std: tuple[float, ...] | None = None
    widths: tuple[int, ...] | None = None


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


def _stated(config: ImportConfig) -> Stated:
    said = Stated(
        omega=config.omega,
        coord_order=config.coord_order,
        coord_range=config.coord_range,
        value_range=config.value_range,
        value_kind=config.value_kind,
        output_offset=config.output_offset,
        activation=config.activation,
        value_mean=config.value_mean,
        value_std=config.value_std,
    )
    return said.over(FAMILIES[config.conventions]) if config.conventions else said


def import_store(config: ImportConfig) -> ImportSummary:
    """Import, or go on with an import that was stopped.

    Raises:
        ValueError: conventions are not known, or the folder does not hold that format.
        OSError: it cannot be read, or the store cannot be written.
    """
    plan = plan_import(config.folder, config.format, _stated(config), config.widths)
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
