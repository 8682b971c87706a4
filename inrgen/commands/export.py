"""Write a store in the files of others."""

import time
from dataclasses import asdict, dataclass
from typing import Any, Literal

import tyro

from inrgen.core.arguments import LocalPath, StoreArgument
from inrgen.core.splits import SPLITS, Split
from inrgen.exchange.export_plan import plan_export
from inrgen.exchange.exporting import Export
from inrgen.exchange.formats.base import Wishes
from inrgen.exchange.formats.catalog import FormatName
from inrgen.executors.progress import show_progress


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportConfig:
    """Write a store's INRs as other people's code reads them; the same command again resumes.

    Weights are converted exactly to each format's conventions (coordinate order, value range,
    offset, frequency). Rows without weights are left out and counted.

    Attributes:
        store: the store's folder.
        format: whose files to write; huggingface and safetensors are for everyone else.
        out: the folder to write; it must be new, empty, or this export unfinished.
        split: whose items are written; all takes every split.
        views: which views, such as 0 1 2; by default all, or the first where a format has one.
        spec: which networks, by their spec_id, where the store holds several.
        path_prefix: what goes before the paths in splits.json; by default what the format is used
            to (absolute paths for dws, relative ones for the others).
        like: whose layout, for formats that have one for each data set; by default that of the
            store's own source.
        omega: frequency of every sine layer; by default what the format is used to.
        value_mean: for fit-a-nef: mean of the pixels, which values are standardised by; known for
            mnist, fashion-mnist and cifar10.
        value_std: for fit-a-nef: standard deviation of the pixels.
        workers: threads; 0 and 1 write one part after the other; by default as many as there are
            cores, up to eight.
    """

    store: tyro.conf.Positional[StoreArgument]
    format: FormatName
    out: LocalPath
    split: Literal["train", "val", "test", "all"] = "all"
    views: tuple[int, ...] | None = None
    spec: str | None = None
    path_prefix: str | None = None
    like: Literal["mnist", "fashion-mnist", "cifar10"] | None = None
    omega: float | None = None
    value_mean: tuple[float, ...] | None = None
    value_std: tuple[float, ...] | None = None
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 0:
            raise ValueError(f"workers must be 0 or more; got {self.workers}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportSummary:
    """What an export wrote; rows_written and seconds are this run's."""

    out: str
    format: str
    rows: int
    rows_written: int
    left_out: int
    items: int
    views: int
    seconds: float
    values: str

    @property
    def failed(self) -> bool:
        return False

    def text(self) -> str:
        """What is there now, and what was not taken along."""
        lines = [
            f"{self.out}: {self.rows:,} INRs of {self.items:,} items as {self.format}; "
            f"{self.rows_written:,} written in {self.seconds:.1f} s",
            f"values: {self.values}",
        ]
        if self.left_out:
            lines.append(f"left out: {self.left_out:,} rows without weights, or of such an item")
        return "\n".join(lines)

    def document(self) -> dict[str, Any]:
        """The same as plain values."""
        return asdict(self)


def export(config: ExportConfig) -> ExportSummary:
    """Export, or go on with an export that was stopped.

    Raises:
        ValueError: the format cannot hold the store's rows.
        OSError: the folder holds something else, or cannot be written.
    """
    splits: tuple[Split, ...] = SPLITS if config.split == "all" else (config.split,)
    plan = plan_export(
        config.store,
        config.format,
        config.out,
        splits=splits,
        views=config.views,
        spec_id=config.spec,
        wishes=Wishes(
            path_prefix=config.path_prefix,
            like=config.like,
            omega=config.omega,
            value_mean=config.value_mean,
            value_std=config.value_std,
        ),
    )
    began, written, made = time.perf_counter(), 0, Export(plan)
    rows = plan.selection.rows
    if made.prepare():
        left = sum(len(plan.parts[part]) for part in made.pending())
        with show_progress("export", rows.num_rows, rows.num_rows - left, "INRs") as progress:
            for count in made.run(config.workers):
                written += count
                progress.advance(count)
    target = plan.writing.target
    values = f"{target.spec.value_kind} in {target.spec.value_range}"
    if target.mean is not None:
        values += f", standardised by mean {target.mean} and deviation {target.std}"
    return ExportSummary(
        out=str(config.out),
        format=config.format,
        rows=rows.num_rows,
        rows_written=written,
        left_out=plan.selection.left_out,
        items=int(rows["item"].to_numpy()[-1]) + 1,
        views=len(plan.selection.views),
        seconds=time.perf_counter() - began,
        values=values,
    )
