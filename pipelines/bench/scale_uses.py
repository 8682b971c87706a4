"""Uses of a store that the scale bench measures, each in a process of its own."""

import os
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from importlib import import_module
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa  # noqa: TID251 - its pool counts the memory of records
import pyarrow.dataset as ds  # noqa: TID251 - a filter of a loader is an expression of Arrow's

from inrgen.executors.config import ExecutorConfig
from inrgen.jobs.align import template_rows
from inrgen.jobs.derive import plan_derivation
from inrgen.jobs.plan import TemplateChoice
from inrgen.jobs.stats import measure_statistics
from inrgen.loaders.stream import StreamLoader
from inrgen.store.files.location import Location
from inrgen.store.quality import measure_quality
from inrgen.store.reader import open_store
from inrgen.store.verify import verify_store
from inrgen.store.writer import StoreWriter
from pipelines.bench.scale_stores import Counts, StoreSize, serve_store, write_store

Use = Callable[[Location], object]

_SAMPLE_S = 0.005
# Rows of the store on which each use runs once before it is measured, to load code at first use.
_WARM_ROWS = 320
_ONE_CLASS = ds.field("label") == 0


def _resume(path: Location) -> None:
    spec_id = open_store(path).spec.spec_id
    with StoreWriter(path) as writer:
        writer.pending(spec_id)


def _first_batch(**options: object) -> Use:
    # numbers of split "all" grow with the store alone
    return lambda path: next(iter(StreamLoader(path, split="all", **options)))  # type: ignore[arg-type]


def _epoch(**options: object) -> Use:
    def run(path: Location) -> None:
        for _ in StreamLoader(path, split="all", batch_size=512, **options):  # type: ignore[arg-type]
            pass

    return run


def _stats(path: Location) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "stats.json"
        measure_statistics(path, "train", out, ExecutorConfig(workers=0))


def _plan_align(path: Location) -> None:
    plan = plan_derivation(path, "/nowhere/out", "align", 1, {})
    template_rows(plan.parent, plan.parent.spec.spec_id, TemplateChoice())


def _random_rows(path: Location) -> None:
    store = open_store(path)
    store.read(np.random.default_rng(0).integers(len(store), size=1000))


# Uses of a store that lacks its last block, then of the finished store.
_UNFINISHED: dict[str, Use] = {
    "unfinished: resume": _resume,
    "unfinished: records": lambda path: open_store(path).read_records(["row", "label"]),
    "unfinished: first batch": _first_batch(),
}
_FINISHED: dict[str, Use] = {
    "open": open_store,
    "records": lambda path: open_store(path).read_records(["row", "label"]),
    "first batch": _first_batch(),
    "first batch, one class": _first_batch(filter=_ONE_CLASS),
    "first batch, balance": _first_batch(balance=True),
    "first batch, pairs": _first_batch(views="pairs"),
    "epoch": _epoch(),
    "epoch, one class": _epoch(filter=_ONE_CLASS),
    "info": lambda path: measure_quality(open_store(path)),
    "verify": verify_store,
    "stats": _stats,
    "plan align": _plan_align,
    "plan augment": lambda path: plan_derivation(path, "/nowhere/out", "augment", 2, {}),
    "1,000 random rows": _random_rows,
}
USES = _UNFINISHED | _FINISHED


@dataclass(frozen=True, kw_only=True, slots=True)
class ScaleRow:
    """Cost of one use of a store.

    Attributes:
        use: its name.
        rows, blocks: size of the store.
        cpu_s: processor time in seconds.
        memory_mb: peak of private memory above the imports, or of the allocations that were
            counted, in millions of bytes.
        requests, files, fetched_mb: requests to the server, different objects among them, and
            millions of bytes that it sent; None without a server.
        times_cpu, times_memory, times_requests: ratio to the store before; None for the first.
    """

    use: str
    rows: int
    blocks: int
    cpu_s: float
    memory_mb: float
    requests: int | None = None
    files: int | None = None
    fetched_mb: float | None = None
    times_cpu: float | None = None
    times_memory: float | None = None
    times_requests: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Cost:
    cpu_s: float
    memory_bytes: int


def _private_bytes() -> int:
    """Memory of this process that no file backs; mapped shards are the page cache's."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no RssAnon: the scale bench needs Linux")


class _Peak(threading.Thread):
    """Samples private memory until it is stopped."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.highest, self._ended = 0, threading.Event()

    def run(self) -> None:
        while not self._ended.wait(_SAMPLE_S):
            self.highest = max(self.highest, _private_bytes())

    def stop(self) -> int:
        self._ended.set()
        self.join()
        return max(self.highest, _private_bytes())


class _Counted:
    """Counts what Python, numpy and Arrow allocate: exact, but slow, and blind to other libraries.

    Pages of memory vary with threads and allocators, by more than small stores take.
    """

    # buffers may outlive a measurement, and return their memory to the pool that it came from
    _pools: ClassVar[list[pa.MemoryPool]] = []

    def __init__(self) -> None:
        self._usual = pa.default_memory_pool()
        self._pool = pa.proxy_memory_pool(self._usual)
        self._pools.append(self._pool)

    def start(self) -> None:
        pa.set_memory_pool(self._pool)
        tracemalloc.start()

    def stop(self) -> int:
        peak = tracemalloc.get_traced_memory()[1] + (self._pool.max_memory() or 0)
        tracemalloc.stop()
        pa.set_memory_pool(self._usual)
        return peak


@dataclass(frozen=True, kw_only=True, slots=True)
class HowMeasured:
    """How uses are measured.

    Attributes:
        only: uses to measure; empty for all.
        remote: also measure on a server, where moto is installed.
        counted: measure memory by counting allocations.
        constants: numbers to set in the measuring process, by module and name, such as the rows of
            a batch, so that a small store is many batches.
    """

    only: Collection[str] = ()
    remote: bool = True
    counted: bool = False
    constants: Mapping[str, int] = field(default_factory=dict)


def _measure(use: str, path: Location, warm: Location, how: HowMeasured) -> _Cost:
    """Measure one use in this process."""
    for name, value in how.constants.items():
        module, _, constant = name.rpartition(".")
        setattr(import_module(module), constant, value)
    # progress of jobs is not the bench's
    sys.stderr = Path(os.devnull).open("w")
    # threads that fetch ahead may still add to it
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as cache:
        # caches begin empty and end with the measurement
        tempfile.tempdir = cache
        USES[use](warm)
        peak, before = (_Counted(), 0) if how.counted else (_Peak(), _private_bytes())
        began = time.process_time()
        peak.start()
        USES[use](path)
        cost = _Cost(cpu_s=time.process_time() - began, memory_bytes=peak.stop() - before)
    tempfile.tempdir = None
    return cost


def measure_store(
    path: Path,
    size: StoreSize,
    how: HowMeasured,
    progress: Callable[[str], None],
) -> Iterator[ScaleRow]:
    """Write a store and yield the cost of each use, while it is unfinished and then finished."""
    warm = path.with_name("warm")
    progress(f"writing {size.rows:,} rows in {size.layout.num_blocks:,} blocks")
    with write_store(warm, replace(size, rows=_WARM_ROWS), progress) as finish:
        finish()
    with write_store(path, size, progress) as finish:
        for uses, finish_now in ((_UNFINISHED, False), (_FINISHED, True)):
            if finish_now:
                finish()
            wanted = [use for use in uses if not how.only or use in how.only]
            if not wanted:
                continue
            served_too = how.remote and find_spec("moto") is not None
            with serve_store(path) if served_too else nullcontext(None) as served:
                with _clean_processes(how) as pool:
                    for use in wanted:
                        progress(f"{size.rows:,} rows: {use}")
                        yield _measure_use(pool, use, (path, warm), served, size, how)


def _measure_use(
    pool: ProcessPoolExecutor,
    use: str,
    stores: tuple[Path, Path],
    served: tuple[str, Counts] | None,
    size: StoreSize,
    how: HowMeasured,
) -> ScaleRow:
    path, warm = map(str, stores)
    cost = pool.submit(_measure, use, path, warm, how).result()
    row = ScaleRow(
        use=use,
        rows=size.rows,
        blocks=size.layout.num_blocks,
        cpu_s=cost.cpu_s,
        memory_mb=cost.memory_bytes / 1e6,
    )
    if served is None:
        return row
    url, counts = served
    counts.by_path.clear()
    counts.num_bytes = 0
    pool.submit(_measure, use, url, warm, how).result()
    return replace(
        row,
        requests=counts.requests,
        files=len(counts.by_path),
        fetched_mb=counts.num_bytes / 1e6,
    )


@contextmanager
def _clean_processes(how: HowMeasured) -> Iterator[ProcessPoolExecutor]:
    """A pool whose tasks each get a process that has imported all and used nothing.

    Counted memory needs no new process.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    tasks = None if how.counted else 1
    with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=tasks) as pool:
        yield pool
