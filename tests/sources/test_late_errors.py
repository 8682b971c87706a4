"""Errors that a user's code raises late name its function, file and line, and blame nobody else."""

import sys

import pytest

from inrgen.cli import main
from inrgen.sources.base import BadSignal, Signal
from inrgen.sources.bounds import load_item
from inrgen.sources.catalog import open_source
from inrgen.sources.config import SourceConfig

LATE = """
import torch
from inrgen.sources import Item, Signal, SourceFacts
class Waves:
    facts = SourceFacts(name="waves", value_kind="quantity", d_in=1, d_out=1)
    items = [Item(item_id=str(number), split="train") for number in range(5)]
    def load(self, index):
        if index == 1: return 1 / 0
        if index == 2: return None
        num, grid = (2, (9,)) if index == 3 else (1, (8,)) if index == 4 else (1, (9,))
        return Signal(values=torch.zeros(9, num), grid=grid)
class Listless(Waves):
    @property
    def items(self): raise ValueError("not yet")
class Samples:
    def __len__(self): return 3
    def __getitem__(self, index): return torch.zeros(4, 1) if index < 1 else {}[index]
def stream():
    for number in range(9):
        if number == 5: raise KeyError("five")
        yield Waves().load(0)
"""


@pytest.fixture(autouse=True)
def late(tmp_path, monkeypatch):
    (tmp_path / "late_waves.py").write_text(LATE)
    monkeypatch.chdir(tmp_path)
    # import_own finds modules in the current folder; the path must not outlive the test
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    sys.modules.pop("late_waves", None)


def test_an_item_that_own_code_cannot_load_is_a_record_that_names_the_code(tmp_path):
    source = open_source(SourceConfig(name="late_waves:Waves"))
    loaded = [load_item(source, index) for index in range(5)]
    assert isinstance(loaded[0], Signal)
    assert [str(bad) for bad in loaded[1:] if isinstance(bad, BadSignal)] == [
        "cannot be read: ZeroDivisionError: division by zero in Waves.load (late_waves.py, line 8)",
        "is no Signal: the source's load returned NoneType",
        "has 1 coordinates and 2 outputs, where the source has 1 and 1",
        "has 9 values for 8 points",
    ]
    samples = open_source(SourceConfig(name="late_waves:Samples"))
    places = [str(load_item(samples, index)) for index in (1, 2)]
    assert all(
        "KeyError" in p and "Samples.__getitem__ (late_waves.py, line 17)" in p for p in places
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "stream",
            "signal 5 of the source's iterable failed in stream (late_waves.py, line 20): Key",
        ),
        (
            "Listless",
            "your own code failed in Listless.items (late_waves.py, line 14): ValueError: ",
        ),
    ],
)
def test_a_command_names_the_code_that_failed(name, said, tmp_path, capsys):
    assert main(["build", f"late_waves:{name}", "--out", str(tmp_path / "s")]) == 1
    assert said in capsys.readouterr().err
