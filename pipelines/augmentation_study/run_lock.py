"""Lock of a run: one process at a time, in a folder from which the next one resumes."""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pipelines.augmentation_study.results import Run, is_done
from pipelines.augmentation_study.scales import Scale

_LOCK = "_lock"


@contextmanager
def claim_run(out: Path, scale: Scale, run: Run) -> Iterator[Path | None]:
    """Lock a run and yield the folder of its unfinished work, removed once there is a result.

    Yields None where the run has a result, or another process, perhaps on another machine, holds
    it. A killed process leaves its folder and loses its lock.
    """
    folder = out / f"running-{scale.tag}" / run.run_id
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        is_ours = _is_ours(folder, held)
        yield folder if is_ours and not is_done(out, scale, run) else None
    if is_ours and is_done(out, scale, run):
        # Only after the lock is closed: NFS keeps an open file, and with it the folder.
        shutil.rmtree(folder, ignore_errors=True)


def _is_ours(folder: Path, held: ExitStack) -> bool:
    """Lock a folder for as long as held is open, unless another process has locked it.

    The lock is on a file open for writing, the only kind that NFS shares with other machines
    (flock(2)). The folder itself is locked, too, where possible, because earlier versions did that.
    """
    try:
        for path, flags in ((folder, os.O_RDONLY), (folder / _LOCK, os.O_RDWR | os.O_CREAT)):
            handle = os.open(path, flags, 0o666)
            held.callback(os.close, handle)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if path != folder or error.errno != errno.EBADF:
                    raise
    except (FileNotFoundError, BlockingIOError):
        return False  # another process holds the run, or has just finished it
    return True
