"""Errors of stores, beyond those that the file system reports itself."""

from collections.abc import Iterator
from contextlib import contextmanager

from inrgen.store.layout import ROOT_DOCUMENT


class DamagedStore(ValueError):
    """Committed data is lost or altered; the message names it.

    Attributes:
        key: name of the damaged file within the store. It has a default, because pickling
            rebuilds an error from its message alone before it restores the attributes.
    """

    def __init__(self, message: str, *, key: str = "") -> None:
        super().__init__(message)
        self.key = key


@contextmanager
def recorded_facts(subject: str) -> Iterator[None]:
    """Raise DamagedStore where facts that a root document records have another form.

    The document's self-checksum is right then, so somebody wrote it so.

    Args:
        subject: the facts in words, such as "the operation".
    """
    try:
        yield
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise DamagedStore(
            f"{subject} in the store's {ROOT_DOCUMENT} cannot be read: {said}", key=ROOT_DOCUMENT
        ) from error


class ServerFailed(OSError):
    """A server failed a request despite all retries; the message names the object."""


class StoreBusy(ValueError):
    """Another driver is writing to the store."""
