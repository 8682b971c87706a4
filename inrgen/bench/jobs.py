"""How fast offline jobs are, beside reading and writing the shards alone, in one run."""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from inrgen.bench.load_ways import Material, prepare
from inrgen.bench.report import BenchReport
from inrgen.core.matching import MatchConfig
from inrgen.core.spec import InrSpec
from inrgen.jobs.align import align_parameters
from inrgen.jobs.augment import augment_parameters
from inrgen.jobs.block import derive_block, note_template
from inrgen.jobs.chain_text import parse_chain
from inrgen.jobs.dask_run import RunConfig, run_graphs
from inrgen.jobs.plan import DeriveTask, derive_cost
from inrgen.jobs.stats import StatsTask, measure_moments
from inrgen.store.content import content_sha256
from inrgen.store.create import create_store
from inrgen.store.derivation import Derivation
from inrgen.store.files import open_files
from inrgen.store.layout import shard_key
from inrgen.store.reader import open_store
from inrgen.store.shard import encode_shard, shard_shape
from inrgen.store.writer import StoreWriter

_ALONE = "read and write shards"


@dataclass(frozen=True, kw_only=True, slots=True)
class JobsBench:
    """Runs jobs over the same made-up store, which take turns, on threads.

    "read and write shards" reads every shard, checking its checksums, and writes its rows as a
    shard that is synced to the disk, on as many threads: no records, digests or commits.

    Attributes:
        rows: INRs in the store.
        hidden: widths of the hidden layers of an INR from two coordinates to one value.
        workers: blocks at a time; by default as many as there are processors.
        repeats: turns of each job; figures are medians over them.
    """

    rows: int = 40_000
    hidden: tuple[int, ...] = (32, 32)
    workers: int | None = None
    repeats: int = 3

    def __post_init__(self) -> None:
        if min(self.rows, self.repeats) < 1:
            raise ValueError("rows and repeats must be positive")
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers must be at least 1; got {self.workers}")


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRate:
    """One job.

    rows_per_s, seconds: medians of the turns; spread: (greatest - least) / median of the seconds.
    times_shards: the median of the ratios to shards alone in the same turn; times_shards_cpu the
        same of processor time, which a busy machine changes less.
    """

    way: str
    job: str
    rows_per_s: float
    seconds: float
    spread: float
    times_shards: float
    times_shards_cpu: float


@dataclass(frozen=True, kw_only=True, slots=True)
class _Site:
    """The store that jobs read, where they write, and how many blocks they work on at a time."""

    parent: str
    out: str
    spec: InrSpec
    workers: int

    @property
    def spec_id(self) -> str:
        return self.spec.spec_id


@dataclass(frozen=True, kw_only=True, slots=True)
class _Copy:
    """One shard to read and write."""

    parent: str
    out: str
    spec_id: str
    block: int


def _copy_shard(task: _Copy) -> None:
    store = open_store(task.parent)
    layout, spec = store.layouts[task.spec_id], store.specs[task.spec_id]
    flat = store.read(layout.block_rows(task.block)).flat().numpy()
    shard = encode_shard(shard_shape(layout, spec.num_params, task.block), flat)
    open_files(task.out).put(shard_key(task.spec_id, task.block), shard)


def _blocks(site: _Site) -> range:
    return range(open_store(site.parent).layouts[site.spec_id].num_blocks)


def _run(site: _Site, function: Callable[[Any], Any], tasks: Sequence[Any]) -> Iterator[Any]:
    return run_graphs(function, tasks, RunConfig(), site.workers)


def _shards_alone(site: _Site) -> None:
    blocks = _blocks(site)
    tasks = [
        _Copy(parent=site.parent, out=site.out, spec_id=site.spec_id, block=block)
        for block in blocks
    ]
    list(_run(site, _copy_shard, tasks))


def _derive(site: _Site, operation: str, parameters: dict[str, Any], about: dict[str, Any]) -> None:
    """What the commands do, from the first look at the parent to the last commit."""
    layout = open_store(site.parent).layouts[site.spec_id]
    derivation = Derivation(
        operation=operation,
        copies=1,
        parent_sha256=content_sha256(site.parent),
        parameters=parameters,
    )
    create_store(site.out, [(site.spec, layout)], derivation.identity, about)
    tasks = [
        DeriveTask(
            parent=site.parent,
            out=site.out,
            spec_id=site.spec_id,
            block=block,
            rows_at_once=derive_cost(site.spec, layout, 1).most_rows,
        )
        for block in _blocks(site)
    ]
    with StoreWriter(site.out) as writer:
        for staged in _run(site, derive_block, tasks):
            writer.commit(staged)
        writer.finish()


def _augment(site: _Site, chain: str) -> None:
    _derive(site, "augment", augment_parameters(parse_chain(chain), seed=0), {})


def _align(site: _Site) -> None:
    template = open_store(site.parent).read([0])
    parameters = align_parameters("0", MatchConfig(), {})
    _derive(site, "align", parameters, note_template({site.spec_id: template}))


def _stats(site: _Site) -> None:
    layout = open_store(site.parent).layouts[site.spec_id]
    step = derive_cost(site.spec, layout, 1).most_rows
    tasks = [
        StatsTask(
            store=site.parent,
            spec_id=site.spec_id,
            block=block,
            rows=layout.block_rows(block),
            split="train",
            rows_at_once=step,
        )
        for block in _blocks(site)
    ]
    list(_run(site, measure_moments, tasks))


WAYS: dict[str, Callable[[_Site], None]] = {
    _ALONE: _shards_alone,
    "stats": _stats,
    "augment siren-negation": partial(_augment, chain="siren-negation"),
    "augment rotation": partial(_augment, chain="rotation"),
    "augment gaussian-noise": partial(_augment, chain="gaussian-noise"),
    "align to a row": _align,
}


def _silent(line: str) -> None:
    """For those who do not watch."""


@contextmanager
def _fresh(folder: Path) -> Iterator[str]:
    """A folder to write to, and its removal, which is not part of the work."""
    with tempfile.TemporaryDirectory(dir=folder) as out:
        yield f"{out}/store"


def run(config: JobsBench, progress: Callable[[str], None] = _silent) -> list[JobRate]:
    """Every job on the same rows, taking turns, so that they share what the machine does."""
    spec = InrSpec(widths=(2, *config.hidden, 1), omega=(30.0,) * len(config.hidden))
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    worked: dict[str, list[float]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory(prefix="inrgen-bench-") as temporary:
        folder = Path(temporary)
        material = Material(folder=folder, spec=spec, rows=config.rows, num_files=1, batch_size=1)
        progress(f"writing {config.rows:,} rows")
        prepare(material, views=next(v for v in (10, 5, 2, 1) if config.rows % v == 0))
        for turn in range(config.repeats):
            progress(f"turn {turn + 1} of {config.repeats}")
            for way, work in WAYS.items():
                with _fresh(folder) as out:
                    workers = config.workers or os.cpu_count() or 1
                    site = _Site(parent=str(material.store), out=out, spec=spec, workers=workers)
                    began, worked_before = time.perf_counter(), time.process_time()
                    work(site)
                    seconds[way].append(time.perf_counter() - began)
                    worked[way].append(time.process_time() - worked_before)
    return [
        JobRate(
            way=way,
            job=spec.job,
            rows_per_s=config.rows / statistics.median(found),
            seconds=statistics.median(found),
            spread=(max(found) - min(found)) / statistics.median(found),
            times_shards=float(np.median(np.divide(found, seconds[_ALONE]))),
            times_shards_cpu=float(np.median(np.divide(worked[way], worked[_ALONE]))),
        )
        for way, found in seconds.items()
    ]


def table(rows: Sequence[JobRate]) -> str:
    """The rates as people read them."""
    head = f"{'what':<26}{'job':<12}{'rows/s':>11}{'seconds':>10}{'spread':>9}"
    head += f"{'x shards':>10}{'x CPU':>8}"
    return "\n".join(
        [
            head,
            *(
                f"{row.way:<26}{row.job:<12}{row.rows_per_s:>11,.0f}{row.seconds:>10.3g}"
                f"{row.spread:>9.0%}{row.times_shards:>10.2f}"
                f"{row.times_shards_cpu:>8.2f}"
                for row in rows
            ),
        ]
    )


def _say(line: str) -> None:
    """Progress goes to stderr: stdout is for the table alone."""
    sys.stderr.write(line + "\n")


def bench_jobs(config: JobsBench) -> BenchReport:
    """The benchmark as a command, which says on stderr what it is at."""
    rows = run(config, _say)
    return BenchReport(rows=rows, table=table(rows))
