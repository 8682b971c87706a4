"""Who works at a run: one process at a time, in a folder that the next one goes on in."""

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
def claimed(out: Path, scale: Scale, run: Run) -> Iterator[Path | None]:
    """The run's folder for what is half done, while nobody else has it; removed with the result.

    None where the run has a result, or where another process, perhaps on another machine, is at
    it. A process that is killed leaves its folder, and its claim goes with it.
    """
    folder = out / f"running-{scale.tag}" / run.run_id
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        is_ours = _is_ours(folder, held)
        yield folder if is_ours and not is_done(out, scale, run) else None
    if is_ours and is_done(out, scale, run):
        # after its lock is closed: NFS keeps a file that is open, and with it its folder
        shutil.rmtree(folder, ignore_errors=True)


def _is_ours(folder: Path, held: ExitStack) -> bool:
    """Lock a folder for as long as held is open, unless another process has.

    The lock is that of a file open for writing: NFS, where flock reaches other machines, gives no
    other (flock(2)). The folder itself is locked where that can be, for earlier versions did so.
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
        return False  # another process was at it until now, or is
    return True
