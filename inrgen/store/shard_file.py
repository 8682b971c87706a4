"""A shard's file as memory, and the errors of one that is not as it was written."""

import numpy as np
from jaxtyping import UInt8

from inrgen.store.errors import DamagedStore
from inrgen.store.files.protocol import Files
from inrgen.store.shard import ShardShape


def map_shard(files: Files, where: object, key: str, shape: ShardShape) -> UInt8[np.ndarray, " n"]:
    """The bytes of a committed shard, fetched when they are looked at; no checksum is.

    Raises DamagedStore where the file is lost or has another length.
    """
    try:
        data = files.map(key)
    except FileNotFoundError as error:
        raise DamagedStore(f"{where} is damaged: {key} is lost", key=key) from error
    if len(data) != shape.size_bytes:
        raise wrong_length(where, key, shape, len(data))
    return data


def wrong_length(where: object, key: str, shape: ShardShape, num_bytes: int) -> DamagedStore:
    """The error of a shard that is not as long as its shape says."""
    return DamagedStore(
        f"{where} is damaged: {key} must have {shape.size_bytes} bytes; it has {num_bytes}",
        key=key,
    )


def bad_chunk(
    where: object, key: str, shape: ShardShape, chunk: int, first_row: int
) -> DamagedStore:
    """The error of a chunk that does not match its checksum; the shard begins at first_row."""
    rows = shape.chunk_range(chunk)
    return DamagedStore(
        f"{where} is damaged: rows {first_row + rows.start}..{first_row + rows.stop - 1} in "
        f"{key} do not match their checksum",
        key=key,
    )
