"""Shards kept open as mapped files, so that rows are copied once, from the page cache to a batch.

A shard is checked in full when it is first opened; after that its rows are gathered without
looking at checksums again. That is safe because shards are never written in place: a repair moves
a new file over the old name, which a mapping does not notice and the next opening checks anew.
"""

import os
from collections import OrderedDict
from typing import Any, no_type_check

import numpy as np
from jaxtyping import Float32, Int
from numba import njit

from inrgen.store.files import open_files
from inrgen.store.layout import shard_key
from inrgen.store.reader import Store
from inrgen.store.shard import good_chunks, shard_shape
from inrgen.store.shard_file import bad_chunk, map_shard


@njit(nogil=True, cache=True)
@no_type_check
def _copy_rows(source, starts, target, places):
    """target[places[i]] = the numbers of source from starts[i] on, without a copy in between."""
    size = target.shape[1]
    for i in range(len(starts)):
        # views, whose indices cannot be negative: this loop is twice as fast as one with an offset
        row, place = source[starts[i] : starts[i] + size], target[places[i]]
        for j in range(size):
            place[j] = row[j]


class MappedShards:
    """The shards of one spec of a local store, each mapped while it is in use.

    max_open: how many shards stay mapped; the least recently used are let go. A mapping takes
    address space and a file handle, while its memory is the page cache's.
    """

    def __init__(self, store: Store, spec_id: str, max_open: int = 128) -> None:
        self._path, self._spec_id = store.path, spec_id
        self._layout = store.layouts[spec_id]
        self._num_params = store.specs[spec_id].num_params
        self._files = open_files(store.path)
        self._max_open = max_open
        self._open: OrderedDict[int, Float32[np.ndarray, " n"]] = OrderedDict()
        self._checked: dict[int, tuple[int, int, int]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Without the mappings: another process makes its own, and need not check again."""
        return {**self.__dict__, "_open": OrderedDict()}

    def prefetch(self, block: int) -> None:
        """Ask the kernel to have a shard in memory soon; a lost one is left for copy to report."""
        try:
            fd = os.open(self._files.root / shard_key(self._spec_id, block), os.O_RDONLY)
        except OSError:
            return
        try:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_WILLNEED)
        finally:
            os.close(fd)

    def copy(
        self,
        block: int,
        rows: Int[np.ndarray, " r"],
        target: Float32[np.ndarray, "b p"],
        places: Int[np.ndarray, " r"],
    ) -> None:
        """Put rows of the store's array, all of one block, at some places of target.

        The one function here that writes into an argument: it fills a batch from many shards.

        Raises DamagedStore, naming the shard, where it is lost or does not match its checksums.
        """
        layout = self._layout
        chunk, row = np.divmod(rows - block * layout.shard_rows, layout.chunk_rows)
        # after each chunk comes its checksum, as wide as one number
        per_chunk = layout.chunk_rows * self._num_params + 1
        starts = chunk * per_chunk + row * self._num_params
        _copy_rows(self._numbers(block), starts, target, places)

    def _numbers(self, block: int) -> Float32[np.ndarray, " n"]:
        """The chunks of a shard as one row of numbers, checksums among them."""
        if block in self._open:
            self._open.move_to_end(block)
            return self._open[block]
        numbers = self._map(block)
        self._open[block] = numbers
        if len(self._open) > self._max_open:
            self._open.popitem(last=False)
        return numbers

    def _identity(self, key: str) -> tuple[int, int, int] | None:
        """What tells a file from another of the same name; None where there is none."""
        try:
            facts = (self._files.root / key).stat()
        except FileNotFoundError:
            return None
        return facts.st_ino, facts.st_size, facts.st_mtime_ns

    def _map(self, block: int) -> Float32[np.ndarray, " n"]:
        key = shard_key(self._spec_id, block)
        shape = shard_shape(self._layout, self._num_params, block)
        # before the file is mapped: a repair in between then costs one check more, and none is left
        # out
        identity = self._identity(key)
        data = map_shard(self._files, self._path, key, shape)
        if identity is None or self._checked.get(block) != identity:
            good = good_chunks(shape, data, np.arange(shape.num_chunks))
            if not good.all():
                first = block * self._layout.shard_rows
                raise bad_chunk(self._path, key, shape, int(np.flatnonzero(~good)[0]), first)
            if identity is not None:
                self._checked[block] = identity
        return data[: shape.index_start].view("<f4")
