"""Scale bench: time, memory and requests at two sizes of store, and how they grow."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from inrgen.probes.report import TableReport, columns_text, ignore_progress, print_progress

if TYPE_CHECKING:
    from pipelines.bench.scale_uses import ScaleRow

ClassOrder = Literal["runs", "shuffled", "sorted"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ScaleBench:
    """Measure each use of a store on made-up stores of several sizes.

    Stores are written through the public interface: networks 2-2-1, ten views of each item, ten
    classes in runs of ten items, eight items in ten of split train. Each use is measured in a new
    process that has imported everything and used a tiny store. Memory is the peak of private memory
    above what it had then; mapped files are not part of it. Time is processor time, all threads
    together.

    Requests are those of the same use on an S3 server in this process (moto). They are left out
    where moto is not installed (pip install 'inrgen[test]').

    Attributes:
        rows: rows of each store; multiples of 10. Growth compares each store with the one before.
        chunk_rows: most rows of a chunk. Blocks shrink with it, so small chunks make many blocks.
        hidden: hidden units of the networks.
        classes: order of the classes: runs of ten items, shuffled items, or sorted items.
        only: measurements to make, by name; the default is all.
        remote: also measure on a server.
        counted: measure memory as the peak of what Python, numpy and Arrow allocate, instead of
            pages. This is slow, but repeats to a few per cent even where stores are small.
    """

    rows: tuple[int, ...] = (250_000, 1_000_000)
    chunk_rows: int = 256
    hidden: int = 2
    classes: ClassOrder = "runs"
    only: tuple[str, ...] = ()
    remote: bool = True
    counted: bool = False

    def __post_init__(self) -> None:
        if not self.rows or any(rows < 10 or rows % 10 for rows in self.rows):
            raise ValueError(f"rows must be positive multiples of 10; got {self.rows}")
        for name in ("chunk_rows", "hidden"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive; got {getattr(self, name)}")


def run(
    config: ScaleBench,
    progress: Callable[[str], None] = ignore_progress,
    constants: Mapping[str, int] = MappingProxyType({}),
) -> "list[ScaleRow]":
    """Write the stores and measure every use of each; constants is of HowMeasured."""
    from pipelines.bench.scale_stores import StoreSize
    from pipelines.bench.scale_uses import USES, HowMeasured, measure_store

    unknown = sorted(set(config.only) - set(USES))
    if unknown:
        raise ValueError(f"only must name some of {', '.join(USES)}; got {unknown[0]}")
    how = HowMeasured(
        only=config.only,
        remote=config.remote,
        counted=config.counted,
        constants=dict(constants),
    )
    found: list[ScaleRow] = []
    for rows in config.rows:
        before = {row.use: row for row in found[-len(USES) :]}
        with tempfile.TemporaryDirectory(prefix="inrgen-bench-") as folder:
            size = StoreSize(
                rows=rows,
                chunk_rows=config.chunk_rows,
                hidden=config.hidden,
                classes=config.classes,
            )
            store = Path(folder) / "store"
            for row in measure_store(store, size, how, progress):
                found.append(_with_growth(row, before.get(row.use)))
    return sorted(found, key=lambda row: list(USES).index(row.use))


def _with_growth(row: "ScaleRow", before: "ScaleRow | None") -> "ScaleRow":
    if before is None:
        return row
    requests = row.requests / before.requests if row.requests and before.requests else None
    return replace(
        row,
        times_cpu=row.cpu_s / max(before.cpu_s, 1e-3),
        times_memory=row.memory_mb / max(before.memory_mb, 0.1),
        times_requests=requests,
    )


def _number(value: float | None, form: str = ",.1f") -> str:
    return "" if value is None else format(value, form)


def table(rows: "Sequence[ScaleRow]") -> str:
    """Print the figures as text."""
    columns: dict[str, Callable[[ScaleRow], str]] = {
        "use": lambda row: row.use,
        "rows": lambda row: f"{row.rows:,}",
        "blocks": lambda row: f"{row.blocks:,}",
        "CPU s": lambda row: f"{row.cpu_s:.2f}",
        "x": lambda row: _number(row.times_cpu),
        "MB": lambda row: f"{row.memory_mb:,.0f}",
        "x ": lambda row: _number(row.times_memory),
        "requests": lambda row: _number(row.requests, ",d"),
        "x  ": lambda row: _number(row.times_requests),
        "files": lambda row: _number(row.files, ",d"),
        "MB fetched": lambda row: _number(row.fetched_mb),
    }
    return columns_text(columns, rows, 1)


def bench_scale(config: ScaleBench) -> TableReport:
    """Run the bench as a command, with progress on stderr."""
    rows = run(config, print_progress)
    return TableReport(rows=rows, table=table(rows))
