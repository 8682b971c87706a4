"""Loading bench: the rate of the loader beside other ways to read the same rows."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from inrgen.core.spec import InrSpec
from inrgen.probes.report import TableReport, ignore_progress, print_progress

if TYPE_CHECKING:
    from pipelines.bench.load_readers import Reader, RowFiles

_BASE = "zarr, whole shards"


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadBench:
    """Read the same random weights with several readers, in turns.

    "inrgen, first epoch" checks every shard on arrival; later epochs do not check again. "unbound"
    believes each chunk's own checksum and does not ask the records whose it is. "inrgen, signed
    mixup" mixes each sample with another one, aligned to it up to signs on the fly. "zarr,
    whole shards" reads shards in random order with zarr alone and shuffles nothing within. "mapped
    gather" takes random rows of one file in memory, without a store. "a file each" loads and
    stacks one torch file per INR. litdata and webdataset read weights and labels, shuffled, from
    files of their own writers, in this process and with two workers, where they are installed (pip
    install 'inrgen[bench]').

    All data is in the page cache, so disks are not measured. Each reader first has an untimed turn,
    which loads compiled code. Figures are of the quickest turn, because other programs only add
    time; the spread says how much.

    Attributes:
        rows: INRs in the store.
        hidden: widths of the hidden layers of an INR from two coordinates to one value.
        batch_size: rows per batch.
        num_files: INRs that are also written to one file each, which are read far slower.
        repeats: timed turns of each reader.
    """

    rows: int = 40_000
    hidden: tuple[int, ...] = (32, 32)
    batch_size: int = 512
    num_files: int = 1_000
    repeats: int = 7

    def __post_init__(self) -> None:
        for name in ("rows", "batch_size", "num_files", "repeats"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive; got {getattr(self, name)}")
        if not self.hidden or min(self.hidden) < 1:
            raise ValueError(f"hidden needs at least one positive width; got {self.hidden}")
        if self.num_files > self.rows:
            raise ValueError(f"num_files must be at most rows={self.rows}; got {self.num_files}")


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadRate:
    """Rate of one reader.

    Attributes:
        way: the reader by name.
        job: the networks by their widths.
        rows_per_s: rate of the quickest turn.
        spread: extra time of the slowest turn, as a share of the quickest.
        times_zarr: ratio to plain zarr's rate.
    """

    way: str
    job: str
    rows_per_s: float
    spread: float
    times_zarr: float


def _prepare(
    files: "RowFiles", progress: Callable[[str], None]
) -> "dict[str, Callable[[RowFiles, int], Reader]]":
    """Write the rows in every form that a reader needs, and list the readers."""
    from pipelines.bench import other_loaders
    from pipelines.bench.load_readers import READERS, write_rows

    write_rows(files)
    readers = dict(READERS)
    for loader in other_loaders.list_loaders():
        if loader.is_installed:
            loader.write(files)
            readers |= loader.readers
        else:
            progress(f"{loader.package} is left out: it is not installed")
    return readers


def run(config: LoadBench, progress: Callable[[str], None] = ignore_progress) -> list[LoadRate]:
    """Time every reader on the same rows, in turns, so that they share the machine."""
    from pipelines.bench.load_readers import RowFiles

    spec = InrSpec(widths=(2, *config.hidden, 1), omega=(30.0,) * len(config.hidden))
    with tempfile.TemporaryDirectory(prefix="inrgen-bench-") as folder:
        files = RowFiles(
            folder=Path(folder),
            spec=spec,
            rows=config.rows,
            num_files=config.num_files,
            batch_size=config.batch_size,
            views=next(v for v in (10, 5, 2, 1) if config.rows % v == 0),
        )
        progress(f"writing {config.rows:,} rows")
        readers = _prepare(files, progress)
        rates: dict[str, list[float]] = {name: [] for name in readers}
        for turn in range(config.repeats + 1):
            # Readers alternate within a turn, so that a slow moment of the machine hits all.
            progress(f"turn {turn} of {config.repeats}" if turn else "an untimed turn")
            for name, make in readers.items():
                read = make(files, turn)
                began = time.perf_counter()
                num_rows = read()
                if turn:
                    rates[name].append(num_rows / (time.perf_counter() - began))
    return [
        LoadRate(
            way=name,
            job=spec.architecture,
            rows_per_s=max(found),
            spread=max(found) / min(found) - 1.0,
            times_zarr=max(found) / max(rates[_BASE]),
        )
        for name, found in rates.items()
    ]


def table(rows: Sequence[LoadRate]) -> str:
    """Print the rates as text."""
    lines = [f"{'way':<22}{'job':<12}{'rows/s':>12}{'spread':>9}{'x zarr':>9}"]
    lines += [
        f"{row.way:<22}{row.job:<12}{row.rows_per_s:>12,.0f}{row.spread:>9.0%}"
        f"{row.times_zarr:>9.3g}"
        for row in rows
    ]
    return "\n".join(lines)


def bench_load(config: LoadBench) -> TableReport:
    """Run the bench as a command, with progress on stderr."""
    rows = run(config, print_progress)
    return TableReport(rows=rows, table=table(rows))
