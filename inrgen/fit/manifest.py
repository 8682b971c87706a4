"""Manifest of a build: the items of every task, written once by the driver for its workers.

It lies in the store's staging folder, so it reaches every node that the store does, and goes when
the build is done. A task names the bytes of its own items, and a worker reads no others.

    slices = write_manifest(writer, source, config, [range(0, 400), ...])   # driver
    part = open_slice(store, slices[0], config)                             # worker
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from zlib import crc32

from inrgen.sources.base import Source
from inrgen.sources.config import SourceConfig
from inrgen.sources.manifest import decode_slice
from inrgen.sources.parts import item_places, make_slice, open_part
from inrgen.store.append_writer import AppendWriter
from inrgen.store.files.opening import open_files
from inrgen.store.writer import StoreWriter

# Size of a file at which the next one begins, so that the driver holds no more.
_FILE_BYTES = 64_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class ManifestSlice:
    """Bytes start..stop-1 of a staged file, which describe a run of items."""

    key: str
    start: int
    stop: int
    checksum: int


def write_manifest(
    writer: StoreWriter | AppendWriter, source: Source, config: SourceConfig, runs: Iterable[range]
) -> dict[int, ManifestSlice]:
    """Write runs of items into the store's staging folder.

    Args:
        runs: positions in the source, such as those of each block's items.

    Returns the slice of each run by its first position. Raises OSError if it cannot be written.
    """
    places, slices = item_places(source, config), dict[int, ManifestSlice]()
    held, offset = dict[int, bytes](), 0

    def flush() -> Iterator[tuple[int, ManifestSlice]]:
        key, start = writer.stage_file("items", b"".join(held.values())), 0
        for first, data in held.items():
            stop = start + len(data)
            yield first, ManifestSlice(key=key, start=start, stop=stop, checksum=crc32(data))
            start = stop
        held.clear()

    for run in runs:
        part = slice(run.start, run.stop)
        held[run.start] = make_slice(source, places, part).encode()
        offset += len(held[run.start])
        if offset >= _FILE_BYTES:
            slices |= flush()
            offset = 0
    return slices | dict(flush()) if held else slices


def open_slice(store: str, where: ManifestSlice, config: SourceConfig) -> Source:
    """Open a run of items in a worker: items[0] is the run's first.

    Raises:
        ValueError: the worker sees other data than the driver listed.
        OSError: the manifest cannot be read, or is damaged.
    """
    data = open_files(store).read_range(where.key, where.start, where.stop)[0]
    if crc32(data) != where.checksum:
        raise OSError(f"{store}: {where.key} is damaged: its items have another CRC")
    return open_part(config, decode_slice(data))
