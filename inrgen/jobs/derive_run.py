"""Run the blocks of a derived store, each at the next while the last is on its way to the disk."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from inrgen.executors.config import ExecutorConfig
from inrgen.executors.runner import run_tasks
from inrgen.jobs.block import begin_block, derive_block
from inrgen.jobs.plan import DeriveTask
from inrgen.store.writer import StagedBlock


def derive_blocks(
    tasks: Sequence[DeriveTask],
    config: ExecutorConfig,
    on_wait: Callable[[], None] = lambda: None,
) -> Iterator[StagedBlock]:
    """Blocks as they are staged, by whomever config says; arguments and errors of run_tasks.

    Threads of this process are at the next block while one is on its way to the disk, and none is
    on its way any more when this ends.
    """
    if not config.in_process:
        yield from run_tasks(derive_block, tasks, config, on_wait)
        return
    with ThreadPoolExecutor(config.max_tasks or 1, "inrgen-stage") as aside:
        begin = partial(begin_block, aside=aside)
        for staging in run_tasks(begin, tasks, config, on_wait):
            yield staging.wait()
