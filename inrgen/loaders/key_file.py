"""Key columns of a large store in one file, which the processes of a machine map.

The file lies in the local cache. Its name follows from the store's location, the tags of its
records and the conditions on rows, so a store that changes gets another file. Mapped
pages belong to the page cache: ranks, workers and later runs share them and need not read records.
"""

import mmap
import os
import pickle
import struct
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from io import BufferedRandom
from pathlib import Path

import numpy as np
from blake3 import blake3
from jaxtyping import UInt8

from inrgen.loaders.keys import (
    KeyArrays,
    KeyColumns,
    KeyRequest,
    LabelsOfRows,
    array_types,
    read_key_columns,
)
from inrgen.store.errors import ServerFailed
from inrgen.store.files.cache import ShardCache, cache_name
from inrgen.store.layout import Layout

# Stores with fewer rows are read in less time than it takes to share them safely.
_MIN_ROWS = 2**17
# BLAKE3 of all that follows it, fingerprint, rows used, and 1 for a label of 8 bytes a row.
_HEADER = struct.Struct("=32s32sqq")
_FORMAT = "inrgen keys 1"


class _NotShared(Exception):
    """The file cannot be made here."""


def _cut(data: UInt8[np.ndarray, " n"], layout: Layout, wide: bool) -> KeyArrays:
    """View a file, or one whose rows end early, as arrays."""
    arrays, at = [], _HEADER.size
    for of, num in array_types(layout, wide).values():
        stop = min(at + num * of.itemsize, len(data))
        arrays.append(data[at:stop].view(of))
        at = stop
    return KeyArrays(*arrays)


def _file_bytes(layout: Layout, wide: bool) -> int:
    return _HEADER.size + sum(n * of.itemsize for of, n in array_types(layout, wide).values())


def _parse(data: UInt8[np.ndarray, " n"], layout: Layout) -> KeyColumns | None:
    """Return the key columns of a file, or None if any byte of it is wrong."""
    if len(data) < _HEADER.size or blake3(data[32:].data).digest() != data[:32].tobytes():
        return None
    _, fingerprint, num_rows, wide = _HEADER.unpack(data[: _HEADER.size].data)
    items, labels, rows = _cut(data, layout, bool(wide))
    return KeyColumns(
        rows=rows[:num_rows],
        num_views=layout.views,
        items=items,
        labels=labels,
        fingerprint=fingerprint.decode(),
    )


def _write(file: BufferedRandom, request: KeyRequest, wide: bool) -> None:
    """Fill a new file with key columns. Raises as KeyRequest.read does."""
    layout = request.layout
    # a full disk must be an error here: a write to a mapped hole would end the process
    os.posix_fallocate(file.fileno(), 0, _file_bytes(layout, wide))
    data = np.frombuffer(mmap.mmap(file.fileno(), _file_bytes(layout, wide)), np.uint8)
    keys = request.read(_cut(data, layout, wide))
    unused = (len(_cut(data, layout, wide).rows) - len(keys.rows)) * keys.rows.itemsize
    size = len(data) - unused
    facts = _HEADER.pack(b"", keys.fingerprint.encode(), len(keys.rows), wide)
    data[32 : _HEADER.size] = np.frombuffer(facts[32:], np.uint8)
    data[:32] = np.frombuffer(blake3(data[32:size].data).digest(), np.uint8)
    os.ftruncate(file.fileno(), size)


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyFile:
    """Key columns in a cache, made by the first process that wants them.

    Attributes:
        name: the file's name in the cache.
        tag: records_tag of the store that the file belongs to.
    """

    cache: ShardCache
    request: KeyRequest
    name: str
    tag: str

    def find(self) -> KeyColumns | None:
        """Map the file, if it is there and whole; a damaged one is removed."""
        data = self.cache.find(self.name)
        if data is None:
            return None
        keys = _parse(data, self.request.layout)
        if keys is None:
            self.cache.drop(self.name)
            return None
        return replace(keys, reopen=partial(self._reopen, keys.fingerprint))

    def make(self) -> KeyColumns:
        """Map the file, and write it first if no other process has.

        Raises as KeyRequest.read does, OSError for a full disk, and _NotShared.
        """
        with self.cache.turn(self.name):
            found = self.find()
            if found is None:
                self._add()
                found = self.find()
        if found is None:
            raise _NotShared
        return found

    def _add(self) -> None:
        for wide in (False, True):
            if _file_bytes(self.request.layout, wide) > self.cache.max_bytes:
                raise _NotShared
            try:
                with self.cache.writing(self.name) as file:
                    _write(file, self.request, wide)
                    # a repair meanwhile would leave new records under the old records' name
                    if self.request.store.records_tag() != self.tag:
                        raise _NotShared
            except LabelsOfRows:
                continue
            return

    def _reopen(self, fingerprint: str) -> KeyColumns:
        """Return the same columns in a process that the loader was sent to."""
        cache = self.cache
        found = self.find() or share_key_columns(self.request, cache.folder, cache.max_bytes)
        if found.fingerprint != fingerprint:
            raise ValueError(
                f"{self.request.store.path} has changed since the loader was made; make it again"
            )
        return found


def share_key_columns(
    request: KeyRequest, cache_dir: str | Path | None, cache_bytes: int
) -> KeyColumns:
    """Return key columns from the file of this machine, or from memory where there is none.

    Args:
        cache_dir, cache_bytes: as in LoaderConfig.

    Raises ValueError where no row is left, and DamagedStore where records are damaged.
    """
    # a cache that cannot be used costs memory and time, and changes no result
    with suppress(_NotShared):
        try:
            tag = request.store.records_tag() if request.layout.rows >= _MIN_ROWS else ""
            if tag:
                cache = ShardCache(cache_dir, cache_bytes)
                conditions = (request.spec_id, request.split, request.views, request.filter)
                part = pickle.dumps((_FORMAT, *conditions)).hex()
                name = cache_name(request.store.path, "keys", tag, part)
                file = KeyFile(cache=cache, request=request, name=name, tag=tag)
                return file.find() or file.make()
        except ServerFailed:
            raise
        except OSError:
            pass
    return read_key_columns(request)
