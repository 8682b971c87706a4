"""Small stores to train on, and one thread to do it with."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.labelled import LabelledRows


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Batches are small here, and tests run side by side."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def labelled_rows() -> type[LabelledRows]:
    """How a small store to train on is made."""
    return LabelledRows


@pytest.fixture(scope="session")
def labelled_store(tmp_path_factory) -> Path:
    """A small store to train on: 36 items of three classes to learn from, 12 and 12 to look at."""
    return LabelledRows().build(tmp_path_factory.mktemp("labelled") / "store")
