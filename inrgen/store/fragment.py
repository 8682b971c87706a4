"""Fragments: the records of one block as a Parquet file, with the facts that bind its shard."""

import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from inrgen.store.digests import (
    BLANK_CHECKSUM,
    Digest,
    add_self_checksum,
    digest_parts,
    read_self_checksum,
)
from inrgen.store.errors import DamagedStore
from inrgen.store.files.protocol import Files
from inrgen.store.layout import fragment_key, replacing_fragment_key

_FACTS_KEY, _CHECKSUM_KEY = b"inrgen.facts", b"inrgen.seal"


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockFacts:
    """Facts in a fragment's footer: the block that it commits, and the shard that goes with it.

    Attributes:
        store_checksum: self-checksum of the root document, so no other store's fragment passes.
        digest: algorithm of the two digests; their stored names end with it.
        shard_digest: digest of the whole shard file.
        shard_bytes: length of the shard file.
        records_digest: digest of the records without duration_s, so that a block fitted again
            has the same one; "" in the oldest stores.
        chunk_checksums: CRC32C of each chunk of the shard, which bind a part of the file that is
            read without the rest; "" in older stores.
    """

    store_checksum: str
    spec_id: str
    block: int
    digest: Digest
    shard_digest: str
    shard_bytes: int
    records_digest: str
    chunk_checksums: str = ""

    @property
    def content(self) -> bytes:
        """Text of the block's digests, which the content digest of a store is made of."""
        return f"{self.shard_digest}{self.records_digest}".encode()

    def to_dict(self) -> dict[str, Any]:
        """Return the facts under their stored names."""
        facts = {
            "store_seal": self.store_checksum,
            "spec_id": self.spec_id,
            "block": self.block,
            f"shard_{self.digest}": self.shard_digest,
            "shard_bytes": self.shard_bytes,
            f"records_{self.digest}": self.records_digest,
        }
        return facts | {"chunks_crc32c": self.chunk_checksums} if self.chunk_checksums else facts

    @staticmethod
    def from_dict(stored: dict[str, Any]) -> "BlockFacts":
        """Read what to_dict wrote. Raises ValueError if a fact is missing or of another type."""
        kind: Digest = "sha256" if "shard_sha256" in stored else "blake3"
        # by stored name; a file may be sealed and still say anything
        wanted = {"store_seal": str, "spec_id": str, "block": int, f"shard_{kind}": str}
        found: dict[str, Any] = {"chunks_crc32c": "", f"records_{kind}": ""} | stored
        wanted |= {"shard_bytes": int, f"records_{kind}": str, "chunks_crc32c": str}
        for name, expected in wanted.items():
            if type(found.get(name)) is not expected:
                raise ValueError(f"its {name} must be {expected.__name__}")
        return BlockFacts(
            store_checksum=found["store_seal"],
            spec_id=found["spec_id"],
            block=found["block"],
            digest=kind,
            shard_digest=found[f"shard_{kind}"],
            shard_bytes=found["shard_bytes"],
            records_digest=found[f"records_{kind}"],
            chunk_checksums=found["chunks_crc32c"],
        )


def digest_records(kind: Digest, table: pa.Table) -> str:
    """Digest a table of records, whatever its columns, without the durations of fits."""
    stream = pa.BufferOutputStream()
    # one batch, since the stream's bytes depend on how rows are cut into batches
    lasting = table.drop_columns("duration_s").combine_chunks()
    with pa.ipc.new_stream(stream, lasting.schema) as writer:
        writer.write_table(lasting)
    return digest_parts(kind, memoryview(stream.getvalue()))


def encode_parquet(
    tables: Iterable[pa.Table], schema: pa.Schema, facts: Callable[[], dict[str, Any]]
) -> bytes:
    """Write tables as the row groups of a Parquet file with page checksums and self-checksum.

    Args:
        facts: called after the last table.
    """
    out = io.BytesIO()
    # dictionaries pay for repeated texts, hardly ever for numbers and draws
    texts: Any = [field.name for field in schema if pa.types.is_string(field.type)]
    with pq.ParquetWriter(
        out, schema, compression="zstd", use_dictionary=texts, write_page_checksum=True
    ) as writer:
        for table in tables:
            writer.write_table(table)
        writer.add_key_value_metadata(
            {_FACTS_KEY: json.dumps(facts(), sort_keys=True), _CHECKSUM_KEY: BLANK_CHECKSUM}
        )
    return add_self_checksum(out.getvalue())


def read_footer(metadata: pq.FileMetaData) -> dict[str, Any]:
    """Return the facts of encode_parquet. Raises ValueError if there are none."""
    found = metadata.metadata
    if found is None or _FACTS_KEY not in found:
        raise ValueError("it does not say what it belongs to")
    facts = json.loads(found[_FACTS_KEY])
    if not isinstance(facts, dict):
        raise ValueError("it does not say what it belongs to")
    return facts


def open_parquet(data: bytes | memoryview) -> tuple[pq.ParquetFile, dict[str, Any]]:
    """Open what encode_parquet wrote. Raises ValueError if its self-checksum is wrong."""
    if read_self_checksum(data) is None:
        raise ValueError("it does not match its self-checksum")
    file = pq.ParquetFile(pa.BufferReader(data))
    return file, read_footer(file.metadata)


def encode_fragment(table: pa.Table, facts: BlockFacts) -> bytes:
    """Return the bytes of a fragment."""
    return encode_parquet([table], table.schema, facts.to_dict)


def decode_fragment(data: bytes) -> tuple[pa.Table, BlockFacts]:
    """Return a fragment's table and facts. Raises ValueError if its self-checksum is wrong."""
    file, facts = open_parquet(data)
    # callers work on blocks in parallel; threads within one block would only add overhead
    return file.read(use_threads=False), BlockFacts.from_dict(facts)


def open_fragment(
    files: Files, store_checksum: str, spec_id: str, block: int, *, replacing: bool = False
) -> tuple[pq.ParquetFile, BlockFacts]:
    """Open the fragment of a committed block, and check that it belongs to store and block.

    Args:
        store_checksum: self-checksum of the root document.
        replacing: accept the fragment of a replacement under way, whose own place is empty.

    Raises DamagedStore, naming the fragment, if it is lost, altered, or of another block or store.
    """
    key = fragment_key(spec_id, block)
    try:
        data = files.read(key)
    except FileNotFoundError as error:
        try:
            if not replacing:
                raise
            data = files.read(replacing_fragment_key(spec_id, block))
        except FileNotFoundError:
            raise DamagedStore(f"{files.location} is damaged: {key} is lost", key=key) from error
    try:
        file, stored = open_parquet(data)
        facts = BlockFacts.from_dict(stored)
    except ValueError as error:
        raise DamagedStore(f"{files.location} is damaged: {key}: {error}", key=key) from error
    if (facts.store_checksum, facts.spec_id, facts.block) != (store_checksum, spec_id, block):
        raise DamagedStore(
            f"{files.location} is damaged: {key} is of another store or block", key=key
        )
    return file, facts
