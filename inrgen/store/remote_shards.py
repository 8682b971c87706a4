"""Shards of a server: fetched ahead of time, checked, and kept on this machine."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any

import numpy as np
from jaxtyping import UInt8

from inrgen.store.errors import DamagedStore
from inrgen.store.files.cache import ShardCache
from inrgen.store.files.location import parse_bucket
from inrgen.store.files.s3 import ObjectFiles
from inrgen.store.shard_sources import Shards

# Fetches at a time, and fetched shards kept at hand until they are asked for.
_NUM_FETCHERS = 4
_MAX_READY = 32
# Fetches of a shard that does not match its checksums, until it is said to be damaged.
_MAX_FETCHES = 2

Mapped = UInt8[np.ndarray, " n"]


class Fetchers:
    """A few threads that carry out calls and end with the process, whatever they are at."""

    def __init__(self, num_threads: int) -> None:
        self._num_threads, self._started = num_threads, False
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()

    def submit(self, call: Callable[[], Mapped]) -> "Future[Mapped]":
        """What a call will give, or raise."""
        if not self._started:
            self._started = True
            for _ in range(self._num_threads):
                Thread(target=self._work, name="inrgen fetch", daemon=True).start()
        future: Future[Mapped] = Future()
        self._calls.put((future, call))
        return future

    def _work(self) -> None:
        while True:
            future, call = self._calls.get()
            try:
                future.set_result(call())
            except BaseException as error:  # handed over, not swallowed
                future.set_exception(error)


class RemoteShards:
    """Shards of a server, fetched whole ahead of time and kept in a cache on this machine.

    A shard enters the cache once it has been checked, under a name made of its version's tag, so
    that a repaired one is fetched anew; it is checked again when it is opened, since disks err.
    """

    def __init__(self, shards: Shards, cache: ShardCache) -> None:
        self._shards, self._cache = shards, cache
        self._files = ObjectFiles(shards.where, parse_bucket(shards.where))
        self._lock = Lock()
        self._fetchers = Fetchers(_NUM_FETCHERS)
        self._coming: OrderedDict[int, Future[Mapped]] = OrderedDict()

    def __reduce__(self) -> tuple[type["RemoteShards"], tuple[Shards, ShardCache]]:
        """Anew in another process: neither clients nor threads travel."""
        return RemoteShards, (self._shards, self._cache)

    def prefetch(self, block: int) -> None:
        with self._lock:
            if block in self._coming:
                return
            self._coming[block] = self._fetchers.submit(lambda: self._fetch(block))
            while len(self._coming) > _MAX_READY:
                self._coming.popitem(last=False)

    def open(self, block: int) -> UInt8[np.ndarray, " n"]:
        with self._lock:
            coming = self._coming.pop(block, None)
        # one that failed ahead of time may come now
        if coming is not None and coming.exception() is None:
            return coming.result()
        return self._fetch(block)

    def _name(self, key: str, tag: str) -> str:
        """The cache's name for a version of a shard."""
        where = self._shards.where
        return hashlib.sha256(f"{where}\n{key}\n{tag}".encode()).hexdigest()[:40] + ".shard"

    def _fetch(self, block: int) -> UInt8[np.ndarray, " n"]:
        key = self._shards.key(block)
        tag = self._files.tag(key)
        if tag is None:
            raise DamagedStore(f"{self._shards.where} is damaged: {key} is lost", key=key)
        kept = self._cache.find(self._name(key, tag))
        if kept is not None:
            try:
                self._shards.check(block, kept)
                return kept
            except DamagedStore:
                self._cache.drop(self._name(key, tag))
        return self._download(block, key)

    def _download(self, block: int, key: str) -> UInt8[np.ndarray, " n"]:
        for left in reversed(range(_MAX_FETCHES)):
            try:
                data, tag = self._files.read_tagged(key)
                self._shards.check(block, np.frombuffer(data, np.uint8))
                return self._cache.add(self._name(key, tag), data)
            except DamagedStore:
                if not left:
                    raise
        raise AssertionError("a shard is fetched once or more")
