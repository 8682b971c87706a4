"""A block's records as a sealed Parquet file, with what they say of the block's shard."""

import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from inrgen.store.digest import Digest, digest_of
from inrgen.store.seal import BLANK_SEAL, read_seal, seal

_FACTS_KEY, _SEAL_KEY = b"inrgen.facts", b"inrgen.seal"


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockFacts:
    """Which block a fragment commits, and the shard that goes with it.

    store_seal: the digest of the store's root document, so that no other store's fragment passes.
    digest: the kind of the two digests, which their names in the file end with.
    shard_digest, shard_bytes: digest and length of the whole shard file.
    records_digest: digest of the records less the time they took, so that a block fitted again has
        the same; "" in the oldest stores.
    """

    store_seal: str
    spec_id: str
    block: int
    digest: Digest
    shard_digest: str
    shard_bytes: int
    records_digest: str

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "store_seal": self.store_seal,
            "spec_id": self.spec_id,
            "block": self.block,
            f"shard_{self.digest}": self.shard_digest,
            "shard_bytes": self.shard_bytes,
            f"records_{self.digest}": self.records_digest,
        }

    @staticmethod
    def from_dict(said: dict[str, Any]) -> "BlockFacts":
        """The inverse of to_dict."""
        kind: Digest = "sha256" if "shard_sha256" in said else "blake3"
        return BlockFacts(
            store_seal=said["store_seal"],
            spec_id=said["spec_id"],
            block=said["block"],
            digest=kind,
            shard_digest=said[f"shard_{kind}"],
            shard_bytes=said["shard_bytes"],
            records_digest=said.get(f"records_{kind}", ""),
        )


def digest_records(kind: Digest, table: pa.Table) -> str:
    """The digest of what records say, whichever columns they have, but for how long fits took."""
    stream = pa.BufferOutputStream()
    lasting = table.drop_columns("duration_s").combine_chunks()
    with pa.ipc.new_stream(stream, lasting.schema) as writer:
        writer.write_table(lasting)
    return digest_of(kind, memoryview(stream.getvalue()))


def seal_parquet(tables: Iterable[pa.Table], schema: pa.Schema, facts: dict[str, Any]) -> bytes:
    """Tables as the row groups of a Parquet file with page checksums, facts, and a seal."""
    out = io.BytesIO()
    # texts repeat themselves; numbers and draws do so too seldom for a dictionary to pay
    texts: Any = [field.name for field in schema if pa.types.is_string(field.type)]
    with pq.ParquetWriter(
        out, schema, compression="zstd", use_dictionary=texts, write_page_checksum=True
    ) as writer:
        for table in tables:
            writer.write_table(table)
        writer.add_key_value_metadata(
            {_FACTS_KEY: json.dumps(facts, sort_keys=True), _SEAL_KEY: BLANK_SEAL}
        )
    return seal(out.getvalue())


def footer_facts(metadata: pq.FileMetaData) -> dict[str, Any]:
    """The facts that seal_parquet put in. Raises ValueError where there are none."""
    named = metadata.metadata
    if named is None or _FACTS_KEY not in named:
        raise ValueError("it does not say what it belongs to")
    return json.loads(named[_FACTS_KEY])


def open_parquet(data: bytes) -> tuple[pq.ParquetFile, dict[str, Any]]:
    """The inverse of seal_parquet. Raises ValueError where the seal is broken."""
    if read_seal(data) is None:
        raise ValueError("it does not match its own digest")
    file = pq.ParquetFile(io.BytesIO(data))
    return file, footer_facts(file.metadata)


def encode_fragment(table: pa.Table, facts: BlockFacts) -> bytes:
    """The bytes of a fragment."""
    return seal_parquet([table], table.schema, facts.to_dict())


def decode_fragment(data: bytes) -> tuple[pa.Table, BlockFacts]:
    """A fragment's table and facts. Raises ValueError where its seal is broken."""
    file, facts = open_parquet(data)
    # blocks are what is worked on in parallel; threads for one of them only get in the way
    return file.read(use_threads=False), BlockFacts.from_dict(facts)
