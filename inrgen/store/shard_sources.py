"""Sources of whole shards of one spec: mapped from a folder, or fetched from a server."""

import os
import time
from contextlib import suppress
from functools import lru_cache
from threading import Thread
from typing import Any, Protocol

import numpy as np
from jaxtyping import Bool

from inrgen.store.errors import DamagedStore
from inrgen.store.files.local import LocalFiles
from inrgen.store.files.protocol import FileIdentity, Files
from inrgen.store.fragment import BlockFacts
from inrgen.store.open_shard import OpenShard, SpecShards

# Seconds in which a repair moves a block's shard and its records, one after the other.
REPLACING_S = 0.1
# Stores of which a process remembers the chunks that it has checked.
_MAX_STORES = 16

# Identity of a file, the digest that its records gave, and its good chunks, by key.
ShardMatches = dict[str, tuple[FileIdentity, str, Bool[np.ndarray, " _c"]]]


@lru_cache(_MAX_STORES)
def find_matches(location: str) -> ShardMatches:
    """Return the matches of a store that all readers of this process share.

    Loaders of several splits read the same shards. A match holds for one version of a file, and
    grows as further chunks are checked.
    """
    return {}


class ShardSource(Protocol):
    """Source of the shards of one spec. Sources that read ahead check whole shards."""

    def prefetch(self, block: int) -> None:
        """Note that a shard will be opened soon; return at once and raise nothing."""
        ...

    def open(self, block: int) -> OpenShard:
        """Open a shard. Raises DamagedStore, naming the shard."""
        ...


class DirectShards:
    """Shards as the files give them: mapped from a folder, fetched from a server when opened."""

    def __init__(self, files: Files, shards: SpecShards) -> None:
        self._files, self._shards = files, shards
        self._matches = find_matches(shards.location)
        self._known: dict[int, tuple[FileIdentity, BlockFacts, Bool[np.ndarray, " _c"]]] = {}

    def prefetch(self, block: int) -> None:
        """Do nothing."""

    def open(self, block: int) -> OpenShard:
        with suppress(DamagedStore):
            return self._open(block)
        # between the two moves of a repair, shard and records do not belong together
        time.sleep(REPLACING_S)
        return self._open(block)

    def is_known(self, block: int) -> bool:
        """Tell whether a shard was opened before; its file may have changed since."""
        return block in self._known

    def _open(self, block: int) -> OpenShard:
        key = self._shards.key(block)
        # both sides of the mapping: a repair may replace the file in between
        before = self._files.identity(key)
        try:
            data = self._files.map(key)
        except FileNotFoundError:
            data = None
        identity = self._files.identity(key)
        known = self._known.get(block)
        if data is not None and known is not None and known[0] == identity == before:
            shard = OpenShard(self._shards, block, data, known[1])
            shard.checked = known[2]
            return shard
        # again for each reader, since the records may have been exchanged
        facts = self._shards.read_facts(self._files, block)
        if data is None or identity is None or identity != before:
            return self._shards.admit(block, data, facts)
        match = self._matches.get(key)
        if match is not None and match[:2] == (identity, facts.shard_digest):
            shard = OpenShard(self._shards, block, data, facts)
            shard.checked = match[2]
        else:
            shard = self._shards.admit(block, data, facts)
            self._matches[key] = identity, facts.shard_digest, shard.checked
        self._known[block] = identity, facts, shard.checked
        return shard


class LocalShards:
    """Shards in a folder, read ahead; a file is checked once, and again only if it changes."""

    def __init__(self, files: LocalFiles, shards: SpecShards) -> None:
        self._direct, self._root, self._shards = DirectShards(files, shards), files.root, shards
        self._checking: dict[int, Thread] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Leave out threads, which belong to this process."""
        return {**self.__dict__, "_checking": {}}

    def prefetch(self, block: int) -> None:
        """Have the kernel load a shard, and check it meanwhile if it was never checked.

        open reports a lost or damaged one.
        """
        path = self._root / self._shards.key(block)
        # a lost file is reported by open, not by a hint
        with suppress(OSError), path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)
        if not self._direct.is_known(block):
            # one thread each: after a fork, a pool would exist in name only
            thread = Thread(target=self._check_early, args=(block,))
            thread.start()
            self._checking[block] = thread

    def open(self, block: int) -> OpenShard:
        thread = self._checking.pop(block, None)
        if thread is not None:
            thread.join()
        shard = self._direct.open(block)
        # here, so that a reader never keeps a bad shard open
        shard.check()
        return shard

    def _check_early(self, block: int) -> None:
        with suppress(DamagedStore, OSError):
            self._direct.open(block).check()
