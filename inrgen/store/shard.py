"""The bytes of one shard: a Zarr v3 sharding codec file with a checksum on every inner chunk.

Chunks follow one another without gaps, each float32 little-endian with its CRC32C. Then comes the
index, (offset, length) of every chunk as uint64, and the CRC32C of the index. zarr reads chunks in
any order. With this one order, a shard's bytes depend on its rows alone, and a row's place is
known without the index. Chunks wholly past the last row are absent; zarr reads them as NaN.
"""

from dataclasses import dataclass, replace
from typing import final

import google_crc32c
import numpy as np
from jaxtyping import Bool, Float32, Int, UInt8

from inrgen.store.files.protocol import Bytes
from inrgen.store.layout import Layout

_CRC_BYTES = 4
# Offset and length of an absent chunk in the index.
_ABSENT = 2**64 - 1


def _crc(data: UInt8[np.ndarray, " n"] | bytes) -> bytes:
    return google_crc32c.value(data).to_bytes(_CRC_BYTES, "little")


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardShape:
    """Sizes of a shard.

    Attributes:
        rows: rows that the shard holds; fewer than a full shard's in the last block.
        num_params: numbers of a row.
        chunk_rows: rows under one checksum.
        max_chunks: chunks of a full shard.
    """

    rows: int
    num_params: int
    chunk_rows: int
    max_chunks: int

    @property
    def num_chunks(self) -> int:
        """Number of chunks that hold rows."""
        return -(-self.rows // self.chunk_rows)

    @property
    def chunk_bytes(self) -> int:
        """Distance from the start of one chunk to the next."""
        return self.chunk_rows * self.num_params * 4 + _CRC_BYTES

    @property
    def index_start(self) -> int:
        """Offset of the index."""
        return self.num_chunks * self.chunk_bytes

    @property
    def size_bytes(self) -> int:
        """Length of the file."""
        return self.index_start + self.max_chunks * 16 + _CRC_BYTES

    def index(self) -> bytes:
        """Return the index that ends a whole shard of this shape."""
        index = np.full((self.max_chunks, 2), _ABSENT, dtype="<u8")
        index[: self.num_chunks, 0] = np.arange(self.num_chunks) * self.chunk_bytes
        index[: self.num_chunks, 1] = self.chunk_bytes
        return index.tobytes() + _crc(index.tobytes())

    def chunk_range(self, chunk: int) -> range:
        """Return the rows of a chunk, counted from the shard's first."""
        start = chunk * self.chunk_rows
        return range(start, min(start + self.chunk_rows, self.rows))


def shard_shape(layout: Layout, num_params: int, block: int) -> ShardShape:
    """Return the shape of one block's shard."""
    return ShardShape(
        rows=len(layout.block_rows(block)),
        num_params=num_params,
        chunk_rows=layout.chunk_rows,
        max_chunks=layout.shard_rows // layout.chunk_rows,
    )


def part_shape(shape: ShardShape, num_chunks: int) -> ShardShape:
    """Return the shape of some whole chunks of a shard, one after the other."""
    return replace(shape, rows=min(shape.rows, num_chunks * shape.chunk_rows))


def view_numbers(shape: ShardShape, data: UInt8[np.ndarray, " n"]) -> Float32[np.ndarray, " m"]:
    """View all chunks as one array of numbers, with one number's width of checksum after each."""
    return data[: shape.index_start].view("<f4")


def view_chunks(
    shape: ShardShape, data: UInt8[np.ndarray, " n"]
) -> Float32[np.ndarray, "chunks rows p"]:
    """View the rows of all chunks, with the NaN rows that fill up the last chunk."""
    numbers = view_numbers(shape, data).reshape(shape.num_chunks, shape.chunk_bytes // 4)
    # a strided view: no byte is copied
    values = numbers[:, : -_CRC_BYTES // 4]
    return values.reshape(shape.num_chunks, shape.chunk_rows, shape.num_params)


@final
class ShardDraft:
    """Bytes of a shard under construction, filled chunk by chunk."""

    def __init__(self, shape: ShardShape) -> None:
        self.shape = shape
        self._data = np.empty(shape.size_bytes, np.uint8)
        self._data[shape.index_start :] = np.frombuffer(shape.index(), np.uint8)
        self._chunks = view_chunks(shape, self._data)

    def rows(self, chunk: int) -> Float32[np.ndarray, "r p"]:
        """Return the memory for the rows of a chunk, to be filled."""
        return self._chunks[chunk, : len(self.shape.chunk_range(chunk))]

    def close(self, chunk: int) -> None:
        """Write the checksum of a filled chunk; NaN fills up the last one."""
        shape = self.shape
        self._chunks[chunk, len(shape.chunk_range(chunk)) :] = np.nan
        stop = (chunk + 1) * shape.chunk_bytes - _CRC_BYTES
        # now, while the processor's cache still holds the rows
        crc = _crc(self._data[chunk * shape.chunk_bytes : stop])
        self._data[stop : stop + _CRC_BYTES] = np.frombuffer(crc, np.uint8)

    @property
    def data(self) -> memoryview:
        """Bytes of the shard, once all chunks are closed."""
        return self._data.data


def draft_shard(shape: ShardShape, flat: Float32[np.ndarray, "r p"]) -> ShardDraft:
    """Make a finished draft from all rows of a shard."""
    draft = ShardDraft(shape)
    for chunk in range(shape.num_chunks):
        rows = shape.chunk_range(chunk)
        draft.rows(chunk)[:] = flat[rows.start : rows.stop]
        draft.close(chunk)
    return draft


def good_chunks(
    shape: ShardShape, data: UInt8[np.ndarray, " n"], chunks: Int[np.ndarray, " c"]
) -> Bool[np.ndarray, " c"]:
    """Mark the chunks that are complete and match their checksums."""
    good = np.zeros(len(chunks), dtype=bool)
    for at, chunk in enumerate(chunks):
        start = int(chunk) * shape.chunk_bytes
        body = data[start : start + shape.chunk_bytes]
        if len(body) == shape.chunk_bytes:
            good[at] = _crc(body[:-_CRC_BYTES]) == bytes(body[-_CRC_BYTES:])
    return good


def chunk_checksums(shape: ShardShape, data: Bytes) -> str:
    """Return the CRC32C that each chunk of a shard ends with, as hexadecimal digits."""
    ends = (np.arange(shape.num_chunks) + 1) * shape.chunk_bytes
    return b"".join(bytes(data[end - _CRC_BYTES : end]) for end in ends.tolist()).hex()


def is_named(shape: ShardShape, data: UInt8[np.ndarray, " n"], checksums: str, chunk: int) -> bool:
    """Tell whether a chunk ends with the CRC32C that chunk_checksums gave for its place."""
    end, digits = (chunk + 1) * shape.chunk_bytes, 2 * _CRC_BYTES
    named = checksums[chunk * digits : (chunk + 1) * digits]
    return data[end - _CRC_BYTES : end].tobytes().hex() == named


def pick_checksums(checksums: str, chunks: Int[np.ndarray, " c"]) -> str:
    """Return the checksums of some chunks, in the form that chunk_checksums gave."""
    digits = 2 * _CRC_BYTES
    return "".join(checksums[chunk * digits : (chunk + 1) * digits] for chunk in chunks.tolist())
