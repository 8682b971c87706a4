"""A small made-up store to derive others from."""

from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import pytest

from tests.made_up import MadeUp


@pytest.fixture
def quickly() -> Iterator[None]:
    """Without checks of types, where a test does what others have done with them."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def made_up() -> MadeUp:
    return MadeUp()


@pytest.fixture(scope="session")
def parent(made_up, tmp_path_factory) -> Path:
    """The made-up store, which tests only read."""
    return made_up.build(tmp_path_factory.mktemp("journeys") / "parent")
