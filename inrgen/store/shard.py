"""The bytes of one shard: a zarr v3 sharding codec file with a checksum on every inner chunk.

Chunks lie one after the other without gaps, each float32 little-endian and its CRC32C; then comes
the index, (offset, length) of every chunk as uint64, and the index's own CRC32C. zarr reads any
order of chunks; with this one order a shard's bytes depend on its rows alone, and any row's place
is known without the index. Chunks wholly past the last row are absent, which zarr reads as NaN.
"""

from dataclasses import dataclass
from typing import final

import google_crc32c
import numpy as np
from jaxtyping import Bool, Float32, Int, UInt8

from inrgen.store.layout import Layout

_CRC_BYTES = 4
_ABSENT = 2**64 - 1


def _crc(data: UInt8[np.ndarray, " n"] | bytes) -> bytes:
    return google_crc32c.value(data).to_bytes(_CRC_BYTES, "little")


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardShape:
    """How many rows of how many parameters a shard holds, in chunks of how many rows.

    num_chunks counts the chunks that hold rows, max_chunks those of a full shard.
    """

    rows: int
    num_params: int
    chunk_rows: int
    max_chunks: int

    @property
    def num_chunks(self) -> int:
        return -(-self.rows // self.chunk_rows)

    @property
    def chunk_bytes(self) -> int:
        """From the start of one chunk to that of the next."""
        return self.chunk_rows * self.num_params * 4 + _CRC_BYTES

    @property
    def index_start(self) -> int:
        return self.num_chunks * self.chunk_bytes

    @property
    def size_bytes(self) -> int:
        return self.index_start + self.max_chunks * 16 + _CRC_BYTES

    def index(self) -> bytes:
        """The index that a whole shard of this shape ends with."""
        index = np.full((self.max_chunks, 2), _ABSENT, dtype="<u8")
        index[: self.num_chunks, 0] = np.arange(self.num_chunks) * self.chunk_bytes
        index[: self.num_chunks, 1] = self.chunk_bytes
        return index.tobytes() + _crc(index.tobytes())

    def chunk_range(self, chunk: int) -> range:
        """The rows of a chunk, counted from the shard's first."""
        start = chunk * self.chunk_rows
        return range(start, min(start + self.chunk_rows, self.rows))


def shard_shape(layout: Layout, num_params: int, block: int) -> ShardShape:
    """The shape of one block's shard."""
    return ShardShape(
        rows=len(layout.block_rows(block)),
        num_params=num_params,
        chunk_rows=layout.chunk_rows,
        max_chunks=layout.shard_rows // layout.chunk_rows,
    )


@final
class ShardDraft:
    """A shard's bytes while rows are put into them, chunk by chunk.

    A chunk gets its checksum as soon as its rows are there, while they lie in the processor's
    cache.
    """

    def __init__(self, shape: ShardShape) -> None:
        self.shape = shape
        self._data = np.empty(shape.size_bytes, np.uint8)
        self._data[shape.index_start :] = np.frombuffer(shape.index(), np.uint8)

    def rows(self, chunk: int) -> Float32[np.ndarray, "r p"]:
        """Where the rows of a chunk go, to be filled."""
        return view_chunk(self.shape, self._data, chunk)[: len(self.shape.chunk_range(chunk))]

    def close(self, chunk: int) -> None:
        """Note the checksum of a chunk whose rows are there; the rest of the last one is NaN."""
        shape = self.shape
        view_chunk(shape, self._data, chunk)[len(shape.chunk_range(chunk)) :] = np.nan
        stop = (chunk + 1) * shape.chunk_bytes - _CRC_BYTES
        crc = _crc(self._data[chunk * shape.chunk_bytes : stop])
        self._data[stop : stop + _CRC_BYTES] = np.frombuffer(crc, np.uint8)

    @property
    def data(self) -> memoryview:
        """The shard's bytes, once all chunks are closed."""
        return self._data.data


def draft_shard(shape: ShardShape, flat: Float32[np.ndarray, "r p"]) -> ShardDraft:
    """A shard of rows that are all there."""
    draft = ShardDraft(shape)
    for chunk in range(shape.num_chunks):
        rows = shape.chunk_range(chunk)
        draft.rows(chunk)[:] = flat[rows.start : rows.stop]
        draft.close(chunk)
    return draft


def encode_shard(shape: ShardShape, flat: Float32[np.ndarray, "r p"]) -> memoryview:
    """A shard's bytes; the rest of its last chunk is NaN."""
    return draft_shard(shape, flat).data


def view_chunk(
    shape: ShardShape, data: UInt8[np.ndarray, " n"], chunk: int
) -> Float32[np.ndarray, "c p"]:
    """The rows of a chunk, and what fills it up, as they lie in a shard's bytes."""
    start = chunk * shape.chunk_bytes
    body = data[start : start + shape.chunk_bytes - _CRC_BYTES]
    return body.view("<f4").reshape(shape.chunk_rows, shape.num_params)


def good_chunks(
    shape: ShardShape, data: UInt8[np.ndarray, " n"], chunks: Int[np.ndarray, " c"]
) -> Bool[np.ndarray, " c"]:
    """Which of the chunks are there in full and match their checksums."""
    good = np.zeros(len(chunks), dtype=bool)
    for at, chunk in enumerate(chunks):
        start = int(chunk) * shape.chunk_bytes
        body = data[start : start + shape.chunk_bytes]
        if len(body) == shape.chunk_bytes:
            good[at] = _crc(body[:-_CRC_BYTES]) == bytes(body[-_CRC_BYTES:])
    return good


def gather(
    shape: ShardShape, data: UInt8[np.ndarray, " n"], rows: Int[np.ndarray, " r"]
) -> Float32[np.ndarray, "r p"]:
    """Rows by their place in the shard, in the order asked for; checksums are not looked at."""
    per_chunk = shape.chunk_bytes // 4
    numbers = data[: shape.index_start].view("<f4")
    body = numbers.reshape(shape.num_chunks, per_chunk)[:, : -_CRC_BYTES // 4]
    values = body.reshape(shape.num_chunks, shape.chunk_rows, shape.num_params)
    return values[rows // shape.chunk_rows, rows % shape.chunk_rows]
