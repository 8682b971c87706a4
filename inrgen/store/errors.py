"""Errors of stores, beyond those that the file system reports itself."""


class DamagedStore(ValueError):
    """Committed data is lost or altered; the message names it.

    Attributes:
        key: name of the damaged file within the store. It has a default, because pickling
            rebuilds an error from its message alone before it restores the attributes.
    """

    def __init__(self, message: str, *, key: str = "") -> None:
        super().__init__(message)
        self.key = key


class ServerFailed(OSError):
    """A server failed a request despite all retries; the message names the object."""


class StoreBusy(ValueError):
    """Another driver is writing to the store."""
