"""A block's records as a sealed Parquet file, with what they say of the block's shard."""

import io
import json
from dataclasses import asdict, dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from inrgen.store.seal import BLANK_SEAL, read_seal, seal

_FACTS_KEY, _SEAL_KEY = b"inrgen.block", b"inrgen.seal"


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockFacts:
    """Which block a fragment commits, and the shard that goes with it.

    store_seal: the digest of the store's root document, so that no other store's fragment passes.
    shard_sha256, shard_bytes: digest and length of the whole shard file.
    """

    store_seal: str
    spec_id: str
    block: int
    shard_sha256: str
    shard_bytes: int


def encode_fragment(table: pa.Table, facts: BlockFacts) -> bytes:
    """The bytes of a fragment: Parquet with page checksums, sealed."""
    out = io.BytesIO()
    with pq.ParquetWriter(
        out, table.schema, compression="zstd", write_page_checksum=True
    ) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(
            {_FACTS_KEY: json.dumps(asdict(facts), sort_keys=True), _SEAL_KEY: BLANK_SEAL}
        )
    return seal(out.getvalue())


def decode_fragment(data: bytes) -> tuple[pa.Table, BlockFacts]:
    """A fragment's table and facts. Raises ValueError where its seal is broken."""
    if read_seal(data) is None:
        raise ValueError("it does not match its own digest")
    file = pq.ParquetFile(io.BytesIO(data))
    metadata = file.metadata.metadata
    assert metadata is not None
    return file.read(), BlockFacts(**json.loads(metadata[_FACTS_KEY]))
