"""Whatever a reader does, it costs its item a record, and neither the build nor the machine."""

import re
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import inrgen
from inrgen.sources.base import BadSignal, Item, Signal, SourceFacts
from inrgen.sources.bounds import load_item
from inrgen.sources.config import SourceConfig

CONFIG = SourceConfig(name="digits", memory_limit=0.05, read_seconds=0.2)


class Reader:
    """A source of one item whose reader does as it is told."""

    facts = SourceFacts(name="told", value_kind="intensity", d_in=2, d_out=1)
    items = (Item(item_id="a", split="train"),)

    def __init__(self, read):
        self._read = read

    def load(self, index):
        self._read()
        return Signal(values=torch.zeros(1, 1), grid=(1, 1))


def fail(error):
    raise error


def swallow():
    """A reader that catches everything, as some do, and goes on."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        try:
            time.sleep(5)
        except BaseException:
            time.sleep(0.01)
            raise


def test_every_reader_of_items_is_bounded():
    """Whoever wants a signal asks load_item: starts, probes and pictures as well as builds."""
    root = Path(inrgen.__file__).parent
    rooms = [path for path in root.rglob("*.py") if path.parent.name != "sources"]
    calls = re.compile(r"\bsource\.load\(")
    assert not [path.name for path in rooms if calls.search(path.read_text())]
    assert calls.search((root / "sources/bounds.py").read_text())


@pytest.mark.parametrize(
    ("read", "reason"),
    [
        (lambda: fail(IndexError("list index out of range")), "IndexError: list index out of"),
        (lambda: fail(RecursionError()), "cannot be read: RecursionError"),
        (lambda: fail(OSError(5, "Input/output error", "/home/me/a.png")), "OSError: Input/outp"),
        (lambda: fail(MemoryError()), "more than the 0.05 GB of --memory-limit"),
        (lambda: fail(BadSignal("is an empty file")), "is an empty file"),
        (lambda: np.ones(20_000_000), "more than the 0.05 GB of --memory-limit"),
        (lambda: time.sleep(5), "more than the 0.2 s of --read-seconds"),
        (swallow, "more than the 0.2 s of --read-seconds"),
    ],
)
def test_a_failing_reader_costs_one_record(read, reason):
    began = time.monotonic()
    found = load_item(Reader(read), 0, CONFIG)
    assert isinstance(found, BadSignal)
    assert reason in str(found)
    assert "/home/me" not in str(found)
    assert time.monotonic() - began < 3
    # Nothing of the bounds is left behind.
    assert isinstance(load_item(Reader(lambda: None), 0, CONFIG), Signal)
    assert len(np.ones(20_000_000)) == 20_000_000
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_a_user_still_stops_a_build(stop):
    with pytest.raises(stop):
        load_item(Reader(lambda: fail(stop())), 0, CONFIG)


def test_items_are_read_in_other_threads_too():
    found = []
    thread = threading.Thread(
        target=lambda: found.append(load_item(Reader(lambda: None), 0, CONFIG))
    )
    thread.start()
    thread.join()
    assert isinstance(found[0], Signal)
