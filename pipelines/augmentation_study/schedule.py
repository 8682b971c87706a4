"""Schedule of runs: the pending ones in order, in one or several processes, within a time."""

import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass

from pipelines.augmentation_study.execute import Setting, execute
from pipelines.augmentation_study.results import Outcome, Run, is_done, write_outcome
from pipelines.augmentation_study.rows import Row
from pipelines.augmentation_study.run_lock import claim_run


def plan_runs(rows: Sequence[Row], seeds: int) -> tuple[Run, ...]:
    """Plan all rows with the first seed, then with the second: an early end leaves no gaps."""
    return tuple(
        Run(row=row, seed=seed, fold=fold)
        for seed in range(seeds)
        for row in rows
        for fold in range(max(1, row.folds))
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """Counts of runs.

    Attributes:
        done: runs that this command gave a result.
        left: runs without a result.
        failed: runs of either kind that an error ended.
        transient: runs left because of an error that may be gone the next time.
    """

    done: int
    left: int
    failed: int = 0
    transient: int = 0


def run_pending(setting: Setting, runs: Sequence[Run], jobs: int, minutes: float | None) -> Tally:
    """Run each pending run once.

    After some minutes no run begins, but started ones finish. A run's result is on disk before the
    next one begins, and a killed training resumes after its last whole epoch. Several processes, on
    one machine or more, divide the runs among themselves.
    """
    out, scale = setting.places.out, setting.scale
    pending = [run for run in runs if not is_done(out, scale, run)]
    end = None if minutes is None else time.monotonic() + 60 * minutes
    ended: list[Outcome] = []
    for outcome in _outcomes(setting, pending, jobs, lambda: _is_over(end)):
        if outcome is None:
            continue
        ended.append(outcome)
        _print(f"{len(ended)}/{len(pending)} {outcome.run.run_id}: {_result_text(outcome)}")
    transient = sum(outcome.transient for outcome in ended)
    return Tally(
        done=len(ended) - transient,
        left=sum(not is_done(out, scale, run) for run in pending),
        failed=sum(bool(outcome.error) for outcome in ended),
        transient=transient,
    )


def execute_and_store(setting: Setting, run: Run) -> Outcome | None:
    """Execute one run and write its result; None where another process has or had it.

    A transient error is not stored; the training done so far is kept.
    """
    out, scale = setting.places.out, setting.scale
    with claim_run(out, scale, run) as folder:
        if folder is None:
            return None
        outcome = execute(setting, run, folder)
        if not outcome.transient:
            write_outcome(out, scale, outcome)
    return outcome


def _is_over(end: float | None) -> bool:
    return end is not None and time.monotonic() >= end


def _outcomes(
    setting: Setting, pending: Sequence[Run], jobs: int, is_over: Callable[[], bool]
) -> Iterator[Outcome | None]:
    """Yield outcomes as they come; None for a run that another process has."""
    if jobs == 1:
        for run in pending:
            if is_over():
                return
            yield execute_and_store(setting, run)
        return
    # Spawn: torch's threads and mapped shards do not survive a fork.
    context = multiprocessing.get_context("spawn")
    queue = iter(pending)
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        working: set[Future[Outcome | None]] = set()
        while True:
            while len(working) < jobs and not is_over():
                run = next(queue, None)
                if run is None:
                    break
                working.add(pool.submit(execute_and_store, setting, run))
            if not working:
                return
            finished, working = wait(working, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()


def _result_text(outcome: Outcome) -> str:
    """Short text of a run's result."""
    took = f"{outcome.notes['seconds']:.0f} s"
    if outcome.error:
        kept = ", and is left for the next command" if outcome.transient else ""
        return f"FAILED after {took}{kept}: {outcome.error}"
    if outcome.result is None:
        shares = outcome.recipe["accuracy"]
        parts = (f"{name} {share['percent']:.1f} %" for name, share in shares.items())
        return f"{', '.join(parts)}, {took}"
    share = 100 * outcome.result.test_accuracy
    return f"{share:.2f} % of test items, best epoch {outcome.result.best_epoch}, {took}"


def _print(line: str) -> None:
    """Print progress on stderr; stdout is for the summary."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
