"""The lock of a store that lies on a server: a lease, kept alive by a beating heart.

The lease is one object that every change replaces on condition that it is still the version last
seen, so of any two processes that change it one fails. Its holder replaces it every few seconds;
who finds one that does not change for LEASE_S by the clock of its own takes it over. No two
machines' clocks are ever compared, so that they may differ.

Before each write the holder makes sure of the lease, and gives up where another has taken it. A
write that was under way when the lease ran out can still arrive; it can bring a shard whose records
are another's, which a verification finds, but never commits a block twice, since records are
created on condition that they are new.
"""

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

import numpy as np
import pyarrow.fs
from jaxtyping import UInt8

from inrgen.store.errors import StoreBusy
from inrgen.store.files.local import Bytes
from inrgen.store.files.protocol import Files
from inrgen.store.layout import LOCK

LEASE_S = 15.0
# Of the lease's time: how often it is renewed, and how old it may be before a write renews it.
_BEAT, _FRESH = 1 / 5, 1 / 2
_LOOK_S = 0.25


class SwappableFiles(Files, Protocol):
    """Files whose versions have tags."""

    def read_tagged(self, key: str) -> tuple[bytes, str]:
        """A file and the tag of its version."""
        ...

    def swap(self, key: str, data: bytes, tag: str | None) -> str | None:
        """Replace the version of a tag (None: no file at all); None where it is another by now."""
        ...


class Lease:
    """A lease that this process holds, until another takes it or it is released."""

    def __init__(self, files: SwappableFiles) -> None:
        self._files = files
        self._name, self._beats = uuid.uuid4().hex, 0
        self._changing = threading.Lock()
        self._ended = threading.Event()
        self._lost = False
        self._sure = time.monotonic()
        self._tag = self._take()
        self._heart = threading.Thread(target=self._beat, name="inrgen lease", daemon=True)
        self._heart.start()

    def check(self) -> None:
        """Return while the lease is held; raises StoreBusy once another process has it."""
        if time.monotonic() - self._sure > LEASE_S * _FRESH:
            self._renew()
        if self._lost:
            raise StoreBusy(
                f"another process has taken over {self._files.where}, since this one was not "
                f"heard of for {LEASE_S:.0f} s; what was committed is whole"
            )

    def release(self) -> None:
        """Let the next driver begin at once."""
        self._ended.set()
        if time.monotonic() - self._sure > LEASE_S:
            # the server is not to be had, and the lease has run out
            return
        self._heart.join()
        with self._changing:
            # where that fails the lease runs out by itself
            with suppress(OSError):
                if not self._lost:
                    self._files.swap(LOCK, self._document(released=True), self._tag)

    def _document(self, released: bool = False) -> bytes:
        """What the lease says now; never twice the same."""
        self._beats += 1
        facts = {"holder": self._name, "host": socket.gethostname(), "pid": os.getpid()}
        return json.dumps({**facts, "beat": self._beats, "released": released}).encode()

    def _take(self) -> str:
        found, tag = self._look()
        while True:
            if found is not None and not found["released"]:
                self._wait_for_end(found, tag)
            self._sure = time.monotonic()
            taken = self._files.swap(LOCK, self._document(), tag)
            if taken is not None:
                taken = self._renewed_where_conditions_hold(taken)
            if taken is not None:
                return taken
            found, tag = self._look()

    def _renewed_where_conditions_hold(self, tag: str) -> str | None:
        """The tag of the lease renewed once; None where another process has it by now.

        Refuses a server that overlooks conditions: there every lock and commit would be a lie.
        """
        renewed = self._files.swap(LOCK, self._document(), tag)
        for header, wrong in {"If-None-Match": None, "If-Match": tag}.items():
            if self._files.swap(LOCK, self._document(), wrong) is not None:
                raise OSError(
                    f"the server of {self._files.where} overlooks {header}: stores can be read "
                    "there, but not written"
                )
        return renewed

    def _look(self) -> tuple[dict | None, str | None]:
        try:
            data, tag = self._files.read_tagged(LOCK)
        except FileNotFoundError:
            return None, None
        if not data:
            # a store that was copied here from a folder brings the empty file of the kernel's lock
            return None, tag
        try:
            found = json.loads(data)
            return {name: found[name] for name in ("released", "pid", "host")}, tag
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"{LOCK} of {self._files.where} must be a lease, or empty: it is none, so remove "
                "it if no process is writing there"
            ) from error

    def _wait_for_end(self, found: dict, tag: str | None) -> None:
        """Wait until a lease has run out; raises StoreBusy when it is seen to be alive."""
        began = time.monotonic()
        while time.monotonic() - began < LEASE_S:
            time.sleep(_LOOK_S)
            now, now_tag = self._look()
            if now_tag != tag:
                if now is not None and now["released"]:
                    return
                raise StoreBusy(
                    f"another process is writing to {self._files.where}: process {found['pid']} "
                    f"on {found['host']}"
                )

    def _renew(self) -> None:
        with self._changing:
            if self._lost:
                return
            began = time.monotonic()
            renewed = self._files.swap(LOCK, self._document(), self._tag)
            if renewed is None:
                self._lost = True
            else:
                self._tag, self._sure = renewed, began

    def _beat(self) -> None:
        while not self._ended.wait(LEASE_S * _BEAT) and not self._lost:
            try:
                self._renew()
            except OSError:
                # the server may be back before the next beat; a write looks for itself
                continue


class FencedFiles:
    """Files that are written to only while a lease is held."""

    def __init__(self, files: Files, lease: Lease) -> None:
        self._files, self._lease = files, lease

    @property
    def where(self) -> str:
        return self._files.where

    @property
    def max_maps(self) -> int:
        return self._files.max_maps

    def prepare(self) -> None:
        self._files.prepare()

    @contextmanager
    def lock(self) -> Iterator[Files]:
        """The lease is held already."""
        yield self

    def read(self, key: str) -> bytes:
        return self._files.read(key)

    def size_bytes(self, key: str) -> int | None:
        return self._files.size_bytes(key)

    def map(self, key: str) -> UInt8[np.ndarray, " n"]:
        return self._files.map(key)

    def top_names(self) -> set[str]:
        return self._files.top_names()

    def names(self, folder: str) -> list[str]:
        return self._files.names(folder)

    def all_keys(self) -> Iterator[str]:
        return self._files.all_keys()

    def put(self, key: str, data: Bytes) -> None:
        self._lease.check()
        self._files.put(key, data)

    def create(self, key: str, data: Bytes) -> bool:
        self._lease.check()
        return self._files.create(key, data)

    def move(self, source: str, target: str) -> None:
        self._lease.check()
        self._files.move(source, target)

    def remove(self, key: str) -> None:
        self._lease.check()
        self._files.remove(key)

    def arrow(self) -> pyarrow.fs.FileSystem:
        return self._files.arrow()


@contextmanager
def hold_lease(files: SwappableFiles) -> Iterator[Files]:
    """Be the one driver of a store; gives the files to write through.

    Raises StoreBusy where another process is, after a few seconds of listening for it; a killed
    one's lease runs out while this waits.
    """
    lease = Lease(files)
    try:
        yield FencedFiles(files, lease)
    finally:
        lease.release()
