"""Open the source of shards that suits a store's location and its reader."""

import numpy as np
from jaxtyping import Bool

from inrgen.store.files.cache import DEFAULT_CACHE_BYTES, ShardCache
from inrgen.store.files.local import LocalFiles
from inrgen.store.files.location import is_bucket
from inrgen.store.files.opening import open_files
from inrgen.store.files.protocol import Files
from inrgen.store.open_shard import SpecShards
from inrgen.store.shard_sources import DirectShards, LocalShards, ShardSource


def open_source(
    shards: SpecShards,
    cache: ShardCache | None = None,
    wanted: Bool[np.ndarray, "b c"] | None = None,
) -> ShardSource:
    """Return the source that reads ahead.

    Args:
        cache: keeps the shards of a server, by default among the temporary files.
        wanted: as in Store.open_rows.
    """
    files = open_files(shards.location)
    if isinstance(files, LocalFiles):
        return LocalShards(files, shards)
    if not is_bucket(shards.location):
        # The hub's own library keeps a copy of each file, so a cache would be a second one.
        return DirectShards(files, shards)
    # these need the S3 client, which stores in folders never import
    from inrgen.store.files.s3 import ObjectFiles
    from inrgen.store.remote_shards import RemoteShards

    assert isinstance(files, ObjectFiles), "files lie in a folder or on a server"
    cache = ShardCache(None, DEFAULT_CACHE_BYTES) if cache is None else cache
    return RemoteShards(files, shards, cache, wanted)


def open_direct(files: Files, shards: SpecShards) -> ShardSource:
    """Return the source that reads what is asked for: files of a folder, or chunks of a server."""
    if not is_bucket(shards.location):
        return DirectShards(files, shards)
    from inrgen.store.files.s3 import ObjectFiles
    from inrgen.store.remote_chunks import ChunkShards

    assert isinstance(files, ObjectFiles), "files in a bucket are objects"
    return ChunkShards(files, shards)
