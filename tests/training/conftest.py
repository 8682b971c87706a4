"""Small stores to train on, and a limit of one thread."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.labelled import LabelledRows


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Use one thread: batches are small, and tests run side by side."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def labelled_rows() -> type[LabelledRows]:
    """The class that makes a small store to train on."""
    return LabelledRows


@pytest.fixture(scope="session")
def labelled_store(tmp_path_factory) -> Path:
    """A small store: 36 training items of three classes, and 12 each to validate and test."""
    return LabelledRows().build(tmp_path_factory.mktemp("labelled") / "store")
