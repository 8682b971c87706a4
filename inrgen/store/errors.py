"""What can be wrong with a store, apart from what the file system itself reports."""


class DamagedStore(ValueError):
    """Something that was committed is lost or altered; its message names it.

    key is the damaged file's name within the store. It has a default, since an error that comes
    from another process is made anew from its message alone before its fields are filled in.
    """

    def __init__(self, message: str, *, key: str = "") -> None:
        super().__init__(message)
        self.key = key


class ServerFailed(OSError):
    """A server did not do what it was asked, however often; its message names the object."""


class StoreBusy(ValueError):
    """Another driver is writing to the store."""
