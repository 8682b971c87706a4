"""Compiled code that outlives a process, and never its sources.

numba keeps what it compiled on disk and tells stale code by the file of the function that was
asked for alone: not by files of functions that it calls. It does look at what a closure holds. So
a function that is kept names, in a closure, all the sources it is compiled from.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit


def sources_digest(*files: str | Path) -> int:
    """A number that changes when any of these files does."""
    digest = hashlib.sha256()
    for file in sorted(map(Path, files)):
        digest.update(file.read_bytes())
    return int.from_bytes(digest.digest()[:7], "little")


def kept_on_disk(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile without the interpreter's lock, and once a machine rather than once a process.

    numba keeps the code beside the function's file or, where it may not write there, in the
    user's own cache folder; it replaces whole files, so processes may do this at the same time.
    """
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:  # neither folder can be written to
        return njit(nogil=True)(function)
