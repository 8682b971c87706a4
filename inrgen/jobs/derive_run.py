"""Run the blocks of a derived store, each at the next while the last is on its way to the disk."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from inrgen.executors.config import RunConfig
from inrgen.executors.dask_run import run_graphs
from inrgen.jobs.block import begin_block, derive_block
from inrgen.jobs.plan import DeriveTask
from inrgen.store.writer import StagedBlock


def derive_blocks(
    tasks: Sequence[DeriveTask],
    config: RunConfig,
    at_once: int | None,
    on_wait: Callable[[], None] = lambda: None,
) -> Iterator[StagedBlock]:
    """Blocks as they are staged, by whomever config says; arguments and errors of run_graphs.

    Threads of this process are at the next block while one is on its way to the disk, and none is
    on its way any more when this ends.
    """
    if config.where != "threads":
        yield from run_graphs(derive_block, tasks, config, at_once, on_wait)
        return
    with ThreadPoolExecutor(at_once or 1, "inrgen-stage") as aside:
        begin = partial(begin_block, aside=aside)
        for staging in run_graphs(begin, tasks, config, at_once, on_wait):
            yield staging.wait()
