"""The write lock of a store on a server: a lease that its holder keeps renewing.

The lease is one object. Every change replaces it on condition that it is still the version last
seen, so of two processes that change it, one fails. The holder replaces it every few seconds. A
process that sees the lease unchanged for LEASE_S on its own clock takes it over. Clocks of two
machines are never compared, so they may differ.

The holder checks its lease before each write, and stops once another process has taken over. A
write that was under way when the lease ran out may still arrive. It can bring a shard under
another process's records, which verification finds. It never commits a block twice, because
records are created on condition that they are new.
"""

import json
import os
import socket
import threading
import time
import uuid
from contextlib import suppress
from typing import Protocol

from inrgen.store.errors import StoreBusy
from inrgen.store.layout import LOCK

LEASE_S = 15.0
# Shares of LEASE_S: the interval between renewals, and the age at which a write renews first.
_BEAT, _FRESH = 1 / 5, 1 / 2
_POLL_S = 0.25


class SwappableFiles(Protocol):
    """Files whose versions have tags."""

    @property
    def location(self) -> str:
        """Location of the store, for messages."""
        ...

    def read_tagged(self, key: str) -> tuple[bytes, str]:
        """Return the content of a file and the tag of its version."""
        ...

    def swap(self, key: str, data: bytes, tag: str | None) -> str | None:
        """Replace the version with this tag (None: no file) and return the new tag.

        Returns None, and writes nothing, if another version is there by now.
        """
        ...


class Lease:
    """A lease that this process holds until it is released or another process takes over.

    The constructor waits for a killed holder's lease to run out. It raises StoreBusy after a few
    seconds if the holder is alive.
    """

    def __init__(self, files: SwappableFiles) -> None:
        self._files = files
        self._name, self._beats = uuid.uuid4().hex, 0
        self._changing = threading.Lock()
        self._ended = threading.Event()
        self._lost = False
        # the time before the last renewal that succeeded: the lease is held at least since then
        self._sure = time.monotonic()
        self._tag = self._take()
        self._heart = threading.Thread(target=self._beat, name="inrgen lease", daemon=True)
        self._heart.start()

    def check(self) -> None:
        """Return if the lease is still held; raise StoreBusy if another process has it."""
        if time.monotonic() - self._sure > LEASE_S * _FRESH:
            self._renew()
        if self._lost:
            raise StoreBusy(
                f"another process has taken over {self._files.location}, because this one did "
                f"not renew its lease for {LEASE_S:.0f} s; committed blocks are whole"
            )

    def release(self) -> None:
        """End the lease, so that the next driver need not wait."""
        self._ended.set()
        if time.monotonic() - self._sure > LEASE_S:
            # the server does not answer, and the lease has run out anyway
            return
        self._heart.join()
        with self._changing:
            # if this fails, the lease runs out by itself
            with suppress(OSError):
                if not self._lost:
                    self._files.swap(LOCK, self._document(released=True), self._tag)

    def _document(self, released: bool = False) -> bytes:
        """Return the next content of the lease; no two are equal."""
        self._beats += 1
        facts = {"holder": self._name, "host": socket.gethostname(), "pid": os.getpid()}
        return json.dumps({**facts, "beat": self._beats, "released": released}).encode()

    def _take(self) -> str:
        found, tag = self._read()
        while True:
            if found is not None and not found["released"]:
                self._wait_for_end(found, tag)
            # before the request, which may take long
            self._sure = time.monotonic()
            taken = self._files.swap(LOCK, self._document(), tag)
            if taken is not None:
                taken = self._test_conditions(taken)
            if taken is not None:
                return taken
            found, tag = self._read()

    def _test_conditions(self, tag: str) -> str | None:
        """Renew the lease once and return its tag; None if another process has it by now.

        Raises OSError if the server ignores conditions.
        """
        # there, every lock and commit would be a lie
        renewed = self._files.swap(LOCK, self._document(), tag)
        for header, wrong in {"If-None-Match": None, "If-Match": tag}.items():
            if self._files.swap(LOCK, self._document(), wrong) is not None:
                raise OSError(
                    f"the server of {self._files.location} ignores {header}: stores can be read "
                    "there, but not written"
                )
        return renewed

    def _read(self) -> tuple[dict | None, str | None]:
        try:
            data, tag = self._files.read_tagged(LOCK)
        except FileNotFoundError:
            return None, None
        if not data:
            # a store copied from a folder brings the empty lock file of LocalFiles
            return None, tag
        try:
            found = json.loads(data)
            return {name: found[name] for name in ("released", "pid", "host")}, tag
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"{LOCK} of {self._files.location} must be a lease or empty, and it is neither; "
                "remove it if no process is writing there"
            ) from error

    def _wait_for_end(self, found: dict, tag: str | None) -> None:
        """Wait until a lease has run out; raise StoreBusy if its holder renews it."""
        began = time.monotonic()
        while time.monotonic() - began < LEASE_S:
            time.sleep(_POLL_S)
            # any change shows a living holder; only the tag is compared, never a clock
            now, now_tag = self._read()
            if now_tag != tag:
                if now is not None and now["released"]:
                    return
                raise StoreBusy(
                    f"another process is writing to {self._files.location}: process "
                    f"{found['pid']} on {found['host']}"
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
                # the server may be back before the next beat; writes check for themselves
                continue
