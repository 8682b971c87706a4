"""Shards kept open as memory, so that rows are copied once, from the page cache to a batch.

A shard is checked in full when it is first opened; after that its rows are gathered without
looking at checksums again. That is safe because shards are never written in place: a repair moves
a new file over the old name, which a mapping does not notice and the next opening checks anew.
"""

from collections import OrderedDict
from threading import Lock
from typing import Any, no_type_check

import numpy as np
from jaxtyping import Float32, Int

from inrgen.kernels import kept_on_disk
from inrgen.store.files.cache import DEFAULT_CACHE_BYTES, ShardCache
from inrgen.store.files.local import LocalFiles
from inrgen.store.files.protocol import open_files
from inrgen.store.reader import Store
from inrgen.store.shard_sources import LocalShards, Shards, ShardSource


@kept_on_disk
@no_type_check
def _copy_rows(source, starts, target, places):
    """target[places[i]] = the numbers of source from starts[i] on, without a copy in between."""
    size = target.shape[1]
    for i in range(len(starts)):
        # views, whose indices cannot be negative: this loop is twice as fast as one with an offset
        row, place = source[starts[i] : starts[i] + size], target[places[i]]
        for j in range(size):
            place[j] = row[j]


def _source(shards: Shards, cache: ShardCache | None) -> ShardSource:
    files = open_files(shards.where)
    if isinstance(files, LocalFiles):
        return LocalShards(files, shards)
    # obstore takes a while to import, and most stores are folders
    from inrgen.store.remote_shards import RemoteShards

    return RemoteShards(shards, ShardCache(None, DEFAULT_CACHE_BYTES) if cache is None else cache)


class MappedShards:
    """The shards of one spec of a store, each mapped while it is in use; for any thread.

    cache: where the shards of a store on a server are kept, by default among temporary files; a
        store on this machine needs none.
    max_open: how many shards stay mapped; the least recently used are let go. A mapping takes
    address space and a file handle, while its memory is the page cache's.
    """

    def __init__(
        self, store: Store, spec_id: str, cache: ShardCache | None = None, max_open: int = 128
    ) -> None:
        layout = store.layouts[spec_id]
        # worked out once: they are asked for thousands of times an epoch
        self._chunk_rows, self._shard_rows = layout.chunk_rows, layout.shard_rows
        self._num_params = store.specs[spec_id].num_params
        self._shards = Shards(store.path, spec_id, layout, self._num_params)
        self._source = _source(self._shards, cache)
        self._max_open = max_open
        self._open: OrderedDict[int, Float32[np.ndarray, " n"]] = OrderedDict()
        self._opening = Lock()

    def __getstate__(self) -> dict[str, Any]:
        """Without the mappings: another process makes its own, and need not check again."""
        kept = {k: v for k, v in self.__dict__.items() if k != "_opening"}
        return {**kept, "_open": OrderedDict()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._opening = Lock()

    def prefetch(self, block: int) -> None:
        """A hint that a shard will be needed soon; a bad one is left for copy to report."""
        with self._opening:
            if block in self._open:
                return
        self._source.prefetch(block)

    def copy(
        self,
        block: int,
        rows: Int[np.ndarray, " r"],
        target: Float32[np.ndarray, "b p"],
        places: Int[np.ndarray, " r"],
    ) -> None:
        """Put rows of the store's array, all of one block, at some places of target.

        The one function here that writes into an argument: it fills a batch from many shards.

        Raises:
            DamagedStore: the shard is lost or does not match its checksums; it is named.
            OSError: a server does not give it, however often it is asked.
        """
        within = rows - block * self._shard_rows
        # after each chunk comes its checksum, as wide as one number
        starts = within * self._num_params + within // self._chunk_rows
        _copy_rows(self._numbers(block), starts, target, places)

    def _numbers(self, block: int) -> Float32[np.ndarray, " n"]:
        """The chunks of a shard as one row of numbers, checksums among them."""
        with self._opening:
            if block in self._open:
                self._open.move_to_end(block)
                return self._open[block]
        # threads that want the same one at the same time each open it, which is harmless
        numbers = self._shards.numbers(block, self._source.open(block))
        with self._opening:
            self._open[block] = numbers
            if len(self._open) > self._max_open:
                self._open.popitem(last=False)
        return numbers
