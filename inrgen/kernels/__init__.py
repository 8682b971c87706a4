"""Compiled loops behind core, fit, transforms and training; private to the package.

numba compiles them for the CPU (Triton compiles the GPU's, in inrgen.fit). A kernel takes numpy
arrays of checked shapes and does not check them again: call it through the function of core, fit
or transforms that prepares its arguments. Every caller also has a path without numba, because
numba is slow to load and absent on bare GPU machines; so import kernels inside functions.

Machine code outlives the process: numba keeps it on disk. numba notices a changed source only in
the file of the function that was called, not in files of functions that it calls, but it does
compare the values in a closure. So a kernel compiled from several files holds their digest in a
closure and returns it. tests/kernels checks that each digest names every source file, and
tests/core and tests/contracts compare results with plain torch.
"""

import hashlib
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any


@cache
def has_numba() -> bool:
    """Whether numba is installed, without the second that importing it takes."""
    return find_spec("numba") is not None


def sources_digest(*files: str | Path) -> int:
    """A number that changes when any of these source files changes."""
    digest = hashlib.sha256()
    for file in sorted(map(Path, files)):
        digest.update(file.read_bytes())
    return int.from_bytes(digest.digest()[:7], "little")


def kept_on_disk(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile without the interpreter's lock, once per machine instead of once per process.

    numba keeps the code beside the function's file or, if that folder is read-only, in the user's
    cache folder. It replaces whole files, so several processes may compile at the same time.
    """
    from numba import njit

    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:  # numba can write to neither folder
        return njit(nogil=True)(function)
