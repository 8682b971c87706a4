"""Which runs are left, in order, in one process or several, until all are done or time is up."""

import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass

from pipelines.augmentation_study.claims import claimed
from pipelines.augmentation_study.execute import Setting, execute
from pipelines.augmentation_study.results import Outcome, Run, is_done, write_outcome
from pipelines.augmentation_study.rows import Row


def plan_runs(rows: Sequence[Row], seeds: int) -> tuple[Run, ...]:
    """All rows with the first seed, then all with the second: an early end leaves no gaps."""
    return tuple(Run(row=row, seed=seed) for seed in range(seeds) for row in rows)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """How many runs have a result now that had none, and how many have none.

    failed: of either, those that an error ended; passing: of those that are left, those that an
        error ended which may be gone the next time.
    """

    done: int
    left: int
    failed: int = 0
    passing: int = 0


def run_pending(setting: Setting, runs: Sequence[Run], jobs: int, minutes: float | None) -> Tally:
    """Run what has no result yet, each once.

    No run is begun after so many minutes; those at work are finished. A run's result is on disk
    before the next one begins, and a training that is killed goes on after its last whole epoch.
    Several of these at the same time, on one machine or more, share the runs out among themselves.
    """
    out, scale = setting.places.out, setting.scale
    pending = [run for run in runs if not is_done(out, scale, run)]
    end = None if minutes is None else time.monotonic() + 60 * minutes
    ended: list[Outcome] = []
    for outcome in _outcomes(setting, pending, jobs, lambda: _is_over(end)):
        if outcome is None:
            continue
        ended.append(outcome)
        _say(f"{len(ended)}/{len(pending)} {outcome.run.run_id}: {_said(outcome)}")
    passing = sum(outcome.passing for outcome in ended)
    return Tally(
        done=len(ended) - passing,
        left=sum(not is_done(out, scale, run) for run in pending),
        failed=sum(bool(outcome.error) for outcome in ended),
        passing=passing,
    )


def carry_out(setting: Setting, run: Run) -> Outcome | None:
    """One run and its result on disk; None where it is another process's, or was meanwhile.

    An error that passes is no result: nothing of it is kept but what was trained until then.
    """
    out, scale = setting.places.out, setting.scale
    with claimed(out, scale, run) as folder:
        if folder is None:
            return None
        outcome = execute(setting, run, folder)
        if not outcome.passing:
            write_outcome(out, scale, outcome)
    return outcome


def _is_over(end: float | None) -> bool:
    return end is not None and time.monotonic() >= end


def _outcomes(
    setting: Setting, pending: Sequence[Run], jobs: int, is_over: Callable[[], bool]
) -> Iterator[Outcome | None]:
    """Outcomes as they come; None for a run that another process has."""
    if jobs == 1:
        for run in pending:
            if is_over():
                return
            yield carry_out(setting, run)
        return
    # spawned: neither torch's threads nor mapped shards outlive a fork in good order
    context = multiprocessing.get_context("spawn")
    queue = iter(pending)
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        working: set[Future[Outcome | None]] = set()
        while True:
            while len(working) < jobs and not is_over():
                run = next(queue, None)
                if run is None:
                    break
                working.add(pool.submit(carry_out, setting, run))
            if not working:
                return
            finished, working = wait(working, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()


def _said(outcome: Outcome) -> str:
    """A run's result in a few words."""
    took = f"{outcome.notes['seconds']:.0f} s"
    if outcome.error:
        kept = ", and is left for the next command" if outcome.passing else ""
        return f"FAILED after {took}{kept}: {outcome.error}"
    if outcome.result is None:
        shares = outcome.recipe["accuracy"]
        parts = (f"{name} {share['percent']:.1f} %" for name, share in shares.items())
        return f"{', '.join(parts)}, {took}"
    share = 100 * outcome.result.test_accuracy
    return f"{share:.2f} % of test items, best epoch {outcome.result.best_epoch}, {took}"


def _say(line: str) -> None:
    """Progress goes to stderr: stdout is for the summary."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
