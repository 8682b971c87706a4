"""Local files that are written whole or not at all.

A file is written under another name in the same folder and then renamed. A rename within one
folder is atomic, so readers see the old file or the new one, never half of either.
"""

import errno
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

_UNFINISHED = ".part"
# A disk with less left over after a failed write counts as full.
_FULL_BYTES = 1 << 20


def write_whole(path: Path, write: Callable[[Path], object], *, durable: bool = True) -> None:
    """Write a file under a temporary name, then rename it over path.

    The temporary name starts with "_" and ends with ".part", so no reader's pattern matches what
    a killed writer leaves. It is unique, so several threads or processes may write the same path;
    the last rename wins.

    Args:
        path: the file; missing parent folders are made.
        write: writes the content to the path that it is given.
        durable: sync the content to disk before the rename, so that a power cut cannot leave an
            empty file under the final name. Writers of many small files may turn it off where
            the files can be made again.

    Raises:
        OSError: the file cannot be written, or the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f"_{path.name}.{uuid.uuid4().hex}{_UNFINISHED}")
    try:
        write(staged)
        if durable:
            with staged.open("rb") as file:
                os.fsync(file.fileno())
        staged.replace(path)
    except Exception as error:
        # Libraries that write by themselves report a full disk as an error of their own.
        if not isinstance(error, OSError) and shutil.disk_usage(path.parent).free < _FULL_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise
    finally:
        staged.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Remove the temporary files of killed writers from a folder and everything below it.

    Call it only while no other process writes there.
    """
    for path in folder.rglob(f"_*{_UNFINISHED}"):
        path.unlink(missing_ok=True)
