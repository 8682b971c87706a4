"""Write a store in the files that other people's code reads."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import tyro

from inrgen.core.arguments import LocalPath, StoreArgument
from inrgen.core.config import SPLITS, Split
from inrgen.core.summary import Summary
from inrgen.exchange.conventions import ExportOptions, FormatName

_INDEX = "index.html"


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportConfig:
    """Write a store's INRs as other people's code reads them; the same command again resumes.

    Converts weights exactly to each format's conventions (coordinate order, value range, offset,
    frequency). Leaves out rows without weights, and counts them.

    Attributes:
        store: the store's folder.
        format: format to write; huggingface and safetensors suit readers without code of their
            own.
        out: folder to write; it must be new, empty, or hold this export unfinished.
        split: split to write, or all.
        views: views to write, such as 0 1 2; by default all, or the first if the format has none.
        spec: spec_id of the networks to write, if the store holds several.
        options: choices that depend on the format.
        workers: number of threads; 0 and 1 write part after part; by default one a core, up to
            eight.
        page: for huggingface: write index.html, too, the page of `inrgen view` for these rows,
            which a static Space shows.
    """

    HEADINGS: ClassVar[Mapping[str, str]] = {
        "rows": "split views spec",
        "format": "options page",
    }

    store: tyro.conf.Positional[StoreArgument]
    format: FormatName
    out: LocalPath
    split: Literal["train", "val", "test", "all"] = "all"
    views: tuple[int, ...] | None = None
    spec: str | None = None
    options: tyro.conf.OmitArgPrefixes[ExportOptions] = field(default_factory=ExportOptions)
    workers: int | None = None
    page: bool = True

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 0:
            raise ValueError(f"workers must be 0 or more; got {self.workers}")

    def ignored(self) -> dict[str, str]:
        """Options without effect on this export, each with what it is for."""
        return {} if self.format == "huggingface" else {"page": "format huggingface"}


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportSummary(Summary):
    """Result of an export; rows_written and seconds are this run's."""

    out: str
    format: str
    rows: int
    rows_written: int
    left_out: int
    items: int
    views: int
    seconds: float
    values: str

    def text(self) -> str:
        """The summary in two or three lines."""
        lines = [
            f"{self.out}: {self.rows:,} INRs of {self.items:,} items as {self.format}; "
            f"{self.rows_written:,} written in {self.seconds:.1f} s",
            f"values: {self.values}",
        ]
        if self.left_out:
            lines.append(f"left out: {self.left_out:,} rows without weights, or of such an item")
        return "\n".join(lines)


def export(config: ExportConfig) -> ExportSummary:
    """Export a store, or resume an export that was stopped.

    Raises:
        ValueError: the format cannot hold the store's rows.
        OSError: the folder holds something else, or cannot be written.
    """
    from inrgen.exchange.export_plan import plan_export
    from inrgen.exchange.export_run import run_export

    splits: tuple[Split, ...] = SPLITS if config.split == "all" else (config.split,)
    plan = plan_export(
        config.store,
        config.format,
        config.out,
        splits=splits,
        views=config.views,
        spec_id=config.spec,
        options=config.options,
    )
    began = time.perf_counter()
    written = run_export(plan, config.workers)
    if config.format == "huggingface" and config.page and not (config.out / _INDEX).exists():
        _write_page(config, plan.selection.rows["row"].to_pylist())
    target, rows = plan.context.target, plan.selection.rows
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


def _write_page(config: ExportConfig, rows: list[int]) -> None:
    from inrgen.commands.view import page_of_store
    from inrgen.core.atomic import write_whole
    from inrgen.figures.viewer.page import can_draw
    from inrgen.store.reader import open_store

    store = open_store(config.store)
    # The files are whole without it.
    if not can_draw(store.specs[config.spec] if config.spec else store.spec):
        return
    page = page_of_store(store, spec=config.spec, among=rows)
    write_whole(config.out / _INDEX, lambda to: to.write_text(page.html, encoding="utf-8"))
