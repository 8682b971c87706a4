"""Small stores to test with."""

from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import pytest

from tests.made_up import MadeUp


class Sample(MadeUp):
    """A store with 129 views, which make chunks of 129 rows, the smallest possible.

    33 such items make 17 shards of two chunks, of which the last shard's second is absent.
    """

    views = 129
    bad = (5, -1)
    splits = ("train",)

    def __init__(self, items: int = 33) -> None:
        super().__init__(rows=items * self.views, widths=(2, 3, 1))


@pytest.fixture(scope="session")
def sample() -> Sample:
    return Sample()


@pytest.fixture
def quickly() -> Iterator[None]:
    """Switch type checks off in a test that does the same thing hundreds of times."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def small_sample() -> Sample:
    """Two blocks, so that a test can try every moment of a run."""
    return Sample(items=2)


@pytest.fixture
def store(sample: Sample, tmp_path: Path) -> Path:
    """A separate finished store for each test."""
    return sample.build(tmp_path / "store")
