"""How fast rows come out of a store, beside other ways to read the same weights, in one run."""

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from inrgen.core.spec import InrSpec
from inrgen.probes.report import TableReport
from pipelines.bench.load_neighbours import neighbours
from pipelines.bench.load_ways import WAYS, Material, Pass, prepare

_BASE = "zarr, whole shards"


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadBench:
    """Read the same made-up weights in several ways that take turns.

    "inrgen, first epoch" checks every shard as it comes, which later epochs need not; "inrgen,
    signed mixup" mixes each sample with another one, aligned to it up to signs as it is loaded;
    "zarr, whole shards" reads shards in random order with zarr alone and shuffles nothing within;
    "mapped gather" takes random rows of one file in memory, without a store; "a file each" loads
    and stacks one torch file an INR; litdata and webdataset read weights and labels, shuffled, from
    files of their own writers, in this process and by two workers, where they are installed (pip
    install 'inrgen[bench]'). All data is in the page cache: disks are not measured. Each way has a
    turn that does not count, in which compiled code is loaded; figures are of the quickest of the
    others: whatever else goes on in a machine only ever adds time. The spread says how much.

    Attributes:
        rows: INRs in the store.
        hidden: widths of the hidden layers of an INR from two coordinates to one value.
        batch_size: rows a batch.
        num_files: INRs that are also written to files of their own; these are read far slower.
        repeats: turns of each way that count.
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
            raise ValueError(f"hidden needs one positive width or more; got {self.hidden}")
        if self.num_files > self.rows:
            raise ValueError(f"num_files must be at most rows={self.rows}; got {self.num_files}")


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadRate:
    """One way of reading.

    rows_per_s: of the quickest turn; spread: how much longer the slowest took, as a share of it.
    times_zarr: the ratio to plain zarr's.
    """

    way: str
    job: str
    rows_per_s: float
    spread: float
    times_zarr: float


def _silent(line: str) -> None:
    """Say nothing of the progress."""


def _prepare(
    material: Material, progress: Callable[[str], None]
) -> dict[str, Callable[[Material, int], Pass]]:
    """Write the rows in every form that something here reads, and say what there is to read."""
    prepare(material)
    ways = dict(WAYS)
    for neighbour in neighbours():
        if neighbour.is_there:
            neighbour.write(material)
            ways |= neighbour.ways
        else:
            progress(f"{neighbour.package} is left out: it is not installed")
    return ways


def run(config: LoadBench, progress: Callable[[str], None] = _silent) -> list[LoadRate]:
    """Every way at the same rows, taking turns, so that they share what the machine does."""
    spec = InrSpec(widths=(2, *config.hidden, 1), omega=(30.0,) * len(config.hidden))
    with tempfile.TemporaryDirectory(prefix="inrgen-bench-") as folder:
        material = Material(
            folder=Path(folder),
            spec=spec,
            rows=config.rows,
            num_files=config.num_files,
            batch_size=config.batch_size,
            views=next(v for v in (10, 5, 2, 1) if config.rows % v == 0),
        )
        progress(f"writing {config.rows:,} rows")
        ways = _prepare(material, progress)
        rates: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(config.repeats + 1):
            progress(f"turn {turn} of {config.repeats}" if turn else "a turn that does not count")
            for way, make in ways.items():
                read = make(material, turn)
                began = time.perf_counter()
                num_rows = read()
                if turn:
                    rates[way].append(num_rows / (time.perf_counter() - began))
    return [
        LoadRate(
            way=way,
            job=spec.architecture,
            rows_per_s=max(found),
            spread=max(found) / min(found) - 1.0,
            times_zarr=max(found) / max(rates[_BASE]),
        )
        for way, found in rates.items()
    ]


def table(rows: Sequence[LoadRate]) -> str:
    """The rates as people read them."""
    lines = [f"{'way':<22}{'job':<12}{'rows/s':>12}{'spread':>9}{'x zarr':>9}"]
    lines += [
        f"{row.way:<22}{row.job:<12}{row.rows_per_s:>12,.0f}{row.spread:>9.0%}"
        f"{row.times_zarr:>9.3g}"
        for row in rows
    ]
    return "\n".join(lines)


def _say(line: str) -> None:
    """Progress goes to stderr: stdout is for the table alone."""
    sys.stderr.write(line + "\n")


def bench_load(config: LoadBench) -> TableReport:
    """The benchmark as a command, which says on stderr what it is at."""
    rows = run(config, _say)
    return TableReport(rows=rows, table=table(rows))
