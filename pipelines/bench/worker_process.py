"""Worker processes for timed fits, so that threads, caches and memory do not mix."""

import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection

import torch

from inrgen.core.metrics import psnr_db
from inrgen.core.params import Params
from inrgen.core.siren import evaluate
from pipelines.bench.contenders import Contender, contender
from pipelines.bench.fit_jobs import JOBS, FitJob, make_batch

# A turn fits at most this many INRs, a group at a time, as a build fits its items.
_MOST_FITS = 4096
_FITS_AT_ONCE = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """Timed turn of one worker.

    Attributes:
        inr_steps: updates, summed over INRs.
        seconds: wall time.
        cpu_seconds: processor time of the worker's threads.
    """

    inr_steps: int
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerSummary:
    """Mean PSNR of a worker's compared INRs, and its peak memory, after all turns."""

    psnr_db: float
    peak_memory_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerGroup:
    """Workers that fit the same job with the same engine, one core each.

    Attributes:
        job: the job by name.
        engine: the contender by name.
        workers: number of processes.
        seconds: approximate length of a turn.
        fits: INRs per turn; 0 takes as many as fill the time.
    """

    job: str
    engine: str
    workers: int
    seconds: float
    fits: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningGroup:
    """A started worker group, with a pipe to each worker."""

    group: WorkerGroup
    pipes: tuple[Connection, ...]

    def receive(self) -> list:
        """Receive a message from each worker. Raises ValueError where one has died."""
        try:
            return [pipe.recv() for pipe in self.pipes]
        except EOFError as error:
            raise ValueError(
                f"engine {self.group.engine!r} cannot fit job {self.group.job!r} here"
            ) from error

    def turn(self) -> list[Turn]:
        """Let all workers fit at the same time."""
        for pipe in self.pipes:
            pipe.send(True)
        return self.receive()

    def finish(self) -> list[WorkerSummary]:
        """End all workers."""
        for pipe in self.pipes:
            pipe.send(None)
        return self.receive()


@contextmanager
def start_workers(group: WorkerGroup) -> Iterator[RunningGroup]:
    """Start a group, compiled and warm; its processes end with the block."""
    # Spawn: the threads of torch, numba and JAX do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        pipes = []
        for core in range(group.workers):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, group, core), daemon=True)
            process.start()
            # With our copy open, a dead worker would block us instead of raising EOFError.
            theirs.close()
            stack.callback(process.join)
            stack.callback(process.terminate)
            pipes.append(stack.enter_context(ours))
        running = RunningGroup(group=group, pipes=tuple(pipes))
        running.receive()
        yield running


def _work(pipe: Connection, group: WorkerGroup, core: int) -> None:
    """Run a worker: compile, warm up, then a timed turn for each message until None."""
    _pin(core)
    job, fit = JOBS[group.job], contender(group.engine)
    # The first turn compiles, and the second one tells how many INRs fill a turn.
    _turn(fit, job, job.num_compared)
    brief, compared = _turn(fit, job, job.num_compared)
    whole = round(group.seconds / brief.seconds) * job.num_compared
    num = group.fits or max(job.num_compared, min(whole, _MOST_FITS))
    pipe.send(None)
    while pipe.recv() is not None:
        turn, compared = _turn(fit, job, num)
        pipe.send(turn)
    # Read before the PSNR, whose memory does not belong to the fits.
    peak = _peak_memory_bytes()
    batch = make_batch(job, job.num_compared)
    values = evaluate(job.spec, compared, batch.coords[0])
    quality = psnr_db(values, batch.values, job.spec.value_width)
    pipe.send(WorkerSummary(psnr_db=float(quality.mean()), peak_memory_bytes=peak))


def _pin(core: int) -> None:
    """Keep this process to one core with one thread, even where a library has its own pool."""
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[core % len(cores)]})


def _turn(fit: Contender, job: FitJob, num: int) -> tuple[Turn, Params]:
    """Fit num INRs, group by group; making their signals is not timed.

    Returns the turn, and the weights of the compared INRs.
    """
    seconds, worked, compared = 0.0, 0.0, []
    for first in range(0, num, _FITS_AT_ONCE):
        batch = make_batch(job, min(_FITS_AT_ONCE, num - first), first)
        began, worked_before = time.perf_counter(), time.process_time()
        params = fit(job.spec, job.config, batch)
        seconds += time.perf_counter() - began
        worked += time.process_time() - worked_before
        compared = compared or [params[: job.num_compared]]
    turn = Turn(inr_steps=num * job.num_steps, seconds=seconds, cpu_seconds=worked)
    return turn, compared[0]


def _peak_memory_bytes() -> int:
    """Peak resident memory of this process; Linux counts in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
