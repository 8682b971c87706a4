"""What a finished store holds, as one digest."""

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from inrgen.store.errors import DamagedStore
from inrgen.store.files.protocol import Files, open_files
from inrgen.store.fragment import footer_facts
from inrgen.store.index import FRAGMENTS_PER_INDEX, committed_blocks, content_of_blocks
from inrgen.store.layout import index_key
from inrgen.store.metadata import StoreFacts, read_facts


def _noted(files: Files, facts: StoreFacts, key: str) -> str | None:
    """What an index file notes of its blocks' content; None where that is not to be had."""
    if files.size_bytes(key) is None:
        return None
    try:
        with files.arrow().open_input_file(key) as file:
            said = footer_facts(pq.read_metadata(file))
    except (OSError, ValueError, pa.ArrowException):
        return None
    return said.get("content") if said.get("store_seal") == facts.seal else None


def content_sha256(path: str | Path) -> str:
    """A digest of what a store is and of all its weights and records.

    It is made of the digests that commits have noted, so no weights are read; past 1,000 blocks it
    is the index files alone that are opened. When a store was built, by which version, how long
    its fits took and how often it was interrupted or repaired make no difference.

    Raises:
        ValueError: the store is not finished, or none.
        DamagedStore: records do not match their digests.
    """
    files = open_files(path)
    facts = read_facts(files, path)
    missing = sum(layout.num_blocks for layout in facts.layouts.values())
    missing -= len(committed_blocks(files))
    if missing > 0:
        raise ValueError(
            f"{path} is not finished: {missing:,} of its blocks are missing; run the command that "
            "makes it again first"
        )
    arrays = {spec_id: [lay.rows, lay.views] for spec_id, lay in facts.layouts.items()}
    named = json.dumps({"arrays": arrays, "identity": facts.identity}, sort_keys=True)
    digest = hashlib.sha256(named.encode())
    for spec_id in sorted(facts.layouts):
        num_blocks = facts.layouts[spec_id].num_blocks
        for start in range(0, num_blocks, FRAGMENTS_PER_INDEX):
            blocks = range(start, min(start + FRAGMENTS_PER_INDEX, num_blocks))
            found = _noted(files, facts, index_key(spec_id, blocks))
            try:
                found = found or content_of_blocks(files, spec_id, blocks)
            except ValueError as error:
                raise DamagedStore(f"{path} is damaged: {error}") from error
            digest.update(found.encode())
    return digest.hexdigest()
