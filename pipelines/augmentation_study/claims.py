"""Who works at a run: one process at a time, in a folder that the next one goes on in."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.augmentation_study.results import Run, is_done
from pipelines.augmentation_study.scales import Scale


@contextmanager
def claimed(out: Path, scale: Scale, run: Run) -> Iterator[Path | None]:
    """The run's folder for what is half done, while nobody else has it; removed with the result.

    None where the run has a result, or where another process, perhaps on another machine, is at
    it. A process that is killed leaves its folder, and its claim goes with it.
    """
    folder = out / f"running-{scale.tag}" / run.run_id
    folder.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        yield None  # another process was at it until now
        return
    try:
        if not _is_ours(handle):
            yield None
            return
        yield None if is_done(out, scale, run) else folder
        if is_done(out, scale, run):
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(handle)


def _is_ours(handle: int) -> bool:
    """Lock an open folder for as long as it is open, unless another process has."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
