"""Studies that share a folder make its stores together: one writes, the others wait."""

import sys
import time
from collections.abc import Callable
from typing import TypeVar

from inrgen.store.errors import StoreBusy

_LOOK_S = 2.0
_UNTOLD_S = 60.0
_Made = TypeVar("_Made")


def when_free(make: Callable[[], _Made]) -> _Made:
    """What make gives, once no other process writes to a store that it must write to.

    It is called until then, so it must find what is done and go on. Told on stderr at first and
    once in a minute.
    """
    told: float | None = None
    while True:
        try:
            return make()
        except StoreBusy as busy:
            if told is None or time.monotonic() - told >= _UNTOLD_S:
                told = time.monotonic()
                sys.stderr.write(f"waiting: {busy}\n")
                sys.stderr.flush()
            time.sleep(_LOOK_S)
