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
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

# Work for which a thread pays, in entries of gain matrices.
_ENTRIES_A_THREAD = 32_768


@cache
def has_numba() -> bool:
    """Return whether numba is installed, without the second that importing it takes."""
    return find_spec("numba") is not None


def sources_digest(*files: str | Path) -> int:
    """A number that changes when any of these source files changes."""
    digest = hashlib.sha256()
    # Sorted, so that the order of arguments does not matter.
    for file in sorted(map(Path, files)):
        digest.update(file.read_bytes())
    # Seven bytes fit into the int64 that kernels return.
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


def share_out(work: Callable[[int, int], None], num: int, entries_each: int) -> None:
    """Call work(start, stop) on parts of 0..num-1, in at most as many threads as torch uses.

    Args:
        work: compiled code that releases the interpreter.
        num: number of problems.
        entries_each: size of one problem, which decides whether more threads pay.
    """
    import torch

    threads = min(torch.get_num_threads(), num * entries_each // _ENTRIES_A_THREAD)
    if threads < 2:
        work(0, num)
        return
    # Several parts a thread, because some problems take longer.
    cuts = np.linspace(0, num, min(num, 4 * threads) + 1).astype(int).tolist()
    # Plain threads: two of them must not enter numba's own thread pool at once.
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work, low, high) for low, high in pairwise(cuts)]:
            done.result()
