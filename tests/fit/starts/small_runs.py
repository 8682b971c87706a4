"""Runs of learn-start that take a second."""

from pathlib import Path

from inrgen.fit.starts.config import LearnStartConfig
from inrgen.fit.starts.learn import learn_start
from inrgen.fit.starts.start import LearnedStart, load_start
from inrgen.sources.config import SourceConfig

DIGITS = SourceConfig(name="digits", limit=60)


def config(folder: Path, **changes) -> LearnStartConfig:
    """A few outer steps on small networks: a second of work."""
    small = {
        "source": DIGITS,
        "views": 2,
        "hidden": (8, 8),
        "inner_steps": 2,
        "outer_steps": 6,
        "batch": 4,
        "threads": 1,
    }
    return LearnStartConfig(**{"out": folder / "start.safetensors", **small, **changes})


def learned(out: Path, **changes) -> LearnedStart:
    out.mkdir(exist_ok=True)
    summary = learn_start(config(out, **changes))
    assert not summary.found
    return load_start(summary.out)
