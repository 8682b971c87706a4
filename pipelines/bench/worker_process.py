"""Time fits in processes of their own, so that threads, caches and memory do not mix."""

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

# Fits in one timed turn are between a job's compared ones and this many, some at a time: a build
# fits its items in groups, too.
_MOST_FITS = 4096
_FITS_AT_ONCE = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """One timed turn of one worker; cpu_seconds is what its threads worked in that time."""

    inr_steps: int
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Finish:
    """What a worker knows when all turns are over: mean PSNR of the compared INRs, and memory."""

    psnr_db: float
    peak_memory_bytes: int


def _peak_memory_bytes() -> int:
    """The most that this process ever held; Linux counts in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _settle(core: int) -> None:
    """Keep to one core with one thread, whatever a library's own pool would do."""
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[core % len(cores)]})


def _turn(fit: Contender, job: FitJob, num: int) -> tuple[Turn, Params]:
    """Fit so many INRs, a group after another; the clock stands while signals are made.

    Also the weights of the INRs that are compared.
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


def _work(pipe: Connection, job_name: str, name: str, core: int, seconds: float, fits: int) -> None:
    """A worker: compile and warm up, then a timed turn for each message, until it is None."""
    _settle(core)
    job, fit = JOBS[job_name], contender(name)
    _turn(fit, job, job.num_compared)
    brief, compared = _turn(fit, job, job.num_compared)
    whole = round(seconds / brief.seconds) * job.num_compared
    num = fits or max(job.num_compared, min(whole, _MOST_FITS))
    pipe.send(None)
    while pipe.recv() is not None:
        turn, compared = _turn(fit, job, num)
        pipe.send(turn)
    peak = _peak_memory_bytes()
    batch = make_batch(job, job.num_compared)
    values = evaluate(job.spec, compared, batch.coords[0])
    quality = psnr_db(values, batch.values, job.spec.value_width)
    pipe.send(Finish(psnr_db=float(quality.mean()), peak_memory_bytes=peak))


@dataclass(frozen=True, kw_only=True, slots=True)
class Team:
    """Workers that fit the same job by the same means, a core each.

    seconds: about how long a turn takes. fits: INRs a turn; 0 takes as many as fill the time.
    """

    job: str
    engine: str
    workers: int
    seconds: float
    fits: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Crew:
    """A team at work, a pipe to each worker."""

    team: Team
    pipes: tuple[Connection, ...]

    def receive(self) -> list:
        """A message of each worker. Raises ValueError where one has died."""
        try:
            return [pipe.recv() for pipe in self.pipes]
        except EOFError as error:
            raise ValueError(
                f"engine {self.team.engine!r} cannot fit job {self.team.job!r} here"
            ) from error

    def turn(self) -> list[Turn]:
        """Let all workers fit at the same time."""
        for pipe in self.pipes:
            pipe.send(True)
        return self.receive()

    def finish(self) -> list[Finish]:
        """End all workers."""
        for pipe in self.pipes:
            pipe.send(None)
        return self.receive()


@contextmanager
def at_work(team: Team) -> Iterator[Crew]:
    """Start a team, compiled and warm; its processes end with the block."""
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        pipes = []
        for core in range(team.workers):
            ours, theirs = context.Pipe()
            facts = (theirs, team.job, team.engine, core, team.seconds, team.fits)
            process = context.Process(target=_work, args=facts, daemon=True)
            process.start()
            theirs.close()
            stack.callback(process.join)
            stack.callback(process.terminate)
            pipes.append(stack.enter_context(ours))
        crew = Crew(team=team, pipes=tuple(pipes))
        crew.receive()
        yield crew
