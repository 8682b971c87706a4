"""Which blocks are committed, and the records of many of them in one file.

A fragment a block is what commits are made of, but opening 25,000 files takes a while. So past
1,000 fragments the records of every 1,000 blocks are also kept together under index/. Fragments
stay where they are and remain the truth; an index file goes before one of its fragments does.
"""

import hashlib
from collections.abc import Iterator

import pyarrow as pa

from inrgen.store.files.protocol import Files
from inrgen.store.fragment import BlockFacts, decode_fragment, open_parquet, seal_parquet
from inrgen.store.layout import (
    INDEX,
    RECORDS,
    fragment_key,
    index_key,
    parse_fragment_name,
    parse_index_name,
)
from inrgen.store.seal import read_seal

FRAGMENTS_PER_INDEX = 1000


def committed_blocks(files: Files) -> set[tuple[str, int]]:
    """The (spec_id, block) of every fragment there is: one listing, nothing opened."""
    parsed = map(parse_fragment_name, files.names(RECORDS))
    return {block for block in parsed if block is not None}


def index_keys(files: Files, spec_id: str, block: int) -> list[str]:
    """The index files that repeat a block's records."""
    parsed = {name: parse_index_name(name) for name in files.names(INDEX)}
    return [
        f"{INDEX}/{name}"
        for name, found in parsed.items()
        if found is not None and found[0] == spec_id and block in found[1]
    ]


def record_keys(files: Files, committed: set[tuple[str, int]]) -> list[str]:
    """The fewest files that hold the records of all committed blocks, in the order of rows."""
    by_first: dict[tuple[str, int], str] = {block: fragment_key(*block) for block in committed}
    for name in files.names(INDEX):
        found = parse_index_name(name)
        if found is None:
            continue
        blocks = [(found[0], block) for block in found[1]]
        if all(block in by_first for block in blocks):
            for block in blocks:
                del by_first[block]
            by_first[blocks[0]] = f"{INDEX}/{name}"
    return [by_first[block] for block in sorted(by_first)]


def index_seals(files: Files, spec_id: str, blocks: range) -> str:
    """One digest of the seals of the fragments that an index file is made of.

    Raises FileNotFoundError or ValueError where a fragment is lost or damaged.
    """
    digest = hashlib.sha256()
    for block in blocks:
        key = fragment_key(spec_id, block)
        found = read_seal(files.read(key))
        if found is None:
            raise ValueError(f"{key} does not match its own digest")
        digest.update(found.encode())
    return digest.hexdigest()


def content_of_blocks(files: Files, spec_id: str, blocks: range) -> str:
    """One digest of the weights and records of committed blocks, from what their fragments note.

    Raises FileNotFoundError or ValueError where a fragment is lost or damaged.
    """
    digest = hashlib.sha256()
    for block in blocks:
        key = fragment_key(spec_id, block)
        try:
            _, said = open_parquet(files.read(key))
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from error
        facts = BlockFacts.from_dict(said)
        digest.update(f"{facts.shard_digest}{facts.records_digest}".encode())
    return digest.hexdigest()


def write_index(files: Files, store_seal: str, spec_id: str, blocks: range) -> None:
    """Gather the records of committed blocks into one file, unless it is there already."""
    key = index_key(spec_id, blocks)
    if files.size_bytes(key) is not None:
        return
    first, _ = decode_fragment(files.read(fragment_key(spec_id, blocks.start)))

    def tables() -> Iterator[pa.Table]:
        for block in blocks:
            yield decode_fragment(files.read(fragment_key(spec_id, block)))[0]

    facts = {
        "store_seal": store_seal,
        "fragments": index_seals(files, spec_id, blocks),
        "content": content_of_blocks(files, spec_id, blocks),
    }
    files.create(key, seal_parquet(tables(), first.schema, facts))
