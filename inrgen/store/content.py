"""Content digest of a finished store, and the small object that holds it on a server.

The digest is made from index files, or from fragments. A server sends whole files, since only those
have checksums. So the driver that finishes a store there notes the digest, with the tags of the
files of records as the server lists them. A reader believes the note while the tags are these.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa
import pyarrow.parquet as pq

from inrgen.store.digests import BLANK_CHECKSUM, add_self_checksum, read_self_checksum
from inrgen.store.errors import DamagedStore
from inrgen.store.files.opening import open_files
from inrgen.store.files.protocol import Files
from inrgen.store.fragment import BlockFacts, read_footer
from inrgen.store.index import (
    FRAGMENTS_PER_INDEX,
    check_complete,
    committed_blocks,
    read_block_facts,
    record_keys,
    records_tag,
)
from inrgen.store.layout import CONTENT_NOTE, index_key
from inrgen.store.metadata import StoreFacts, read_facts


def hash_content(blocks: Iterable[BlockFacts]) -> str:
    """Hash what fragments record of their blocks, in order."""
    digest = hashlib.sha256()
    for facts in blocks:
        digest.update(facts.content)
    return digest.hexdigest()


def _noted_digest(files: Files, facts: StoreFacts, committed: set[tuple[str, int]]) -> str | None:
    """Return the digest that a driver noted for the records as they are now, or None."""
    # in a folder the tags are of one machine, and footers are read without the rest
    if files.max_commits == 1:
        return None
    try:
        data = files.read(CONTENT_NOTE)
    except FileNotFoundError:
        return None
    if read_self_checksum(data) is None:
        return None
    note = json.loads(data)
    tag = records_tag(files, facts, record_keys(files, committed))
    return note["content_sha256"] if tag and note["records_tag"] == tag else None


def note_content(files: Files, facts: StoreFacts, known: Mapping[str, str]) -> None:
    """Note the content digest of a finished store on a server, unless it is noted already.

    Args:
        files: held by the only driver, so that no records change meanwhile.
        known: as in content_of.
    """
    committed = committed_blocks(files)
    if files.max_commits == 1 or _noted_digest(files, facts, committed) is not None:
        return
    note = {
        "content_sha256": content_of(files, facts, known),
        "records_tag": records_tag(files, facts, record_keys(files, committed)),
        "seal": BLANK_CHECKSUM,
    }
    files.put(CONTENT_NOTE, add_self_checksum(json.dumps(note).encode()))


def _recorded_content(files: Files, facts: StoreFacts, spec_id: str, blocks: range) -> str | None:
    """Return the content hash that an index file records, or None if it has none to trust."""
    key = index_key(spec_id, blocks)
    if files.size_bytes(key) is None:
        return None
    try:
        with files.arrow().open_input_file(key) as file:
            stored = read_footer(pq.read_metadata(file))
    except (OSError, ValueError, pa.ArrowException):
        # verification reports a bad index; fragments say the same
        return None
    written = stored.get("store_seal") == facts.block_checksum(spec_id, blocks[-1])
    return stored.get("content") if written else None


def content_sha256(path: str | Path) -> str:
    """Digest what a store is, with all its weights and records.

    The digest is made from the digests that commits recorded, so no weights are read. Past 1,000
    blocks only the index files are opened, and on a server the object that the last driver left
    for this. It does not depend on when a store was built, by which
    version, how long its fits took, or how often it was interrupted or repaired.

    Raises:
        ValueError: the store is not finished, or is no store.
        DamagedStore: records do not match their digests.
    """
    files = open_files(path)
    return content_of(files, read_facts(files))


def has_grown_from(path: str | Path, content: str) -> bool:
    """Tell whether a store had a content digest before it grew; its rows of then are the same."""
    versions = read_facts(open_files(path)).versions
    return any(version.content_sha256 == content for version in versions)


def content_of(
    files: Files, facts: StoreFacts, known: Mapping[str, str] = MappingProxyType({})
) -> str:
    """Digest what a store is, as content_sha256 does, given its root document's facts.

    Args:
        known: hashes of the content of some index files' blocks, by the key of the file.
    """
    path = files.location
    # counted from one listing; no fragment is opened for it
    committed = committed_blocks(files)
    missing = sum(layout.num_blocks for layout in facts.layouts.values())
    missing -= sum(
        spec_id in facts.layouts and block < facts.layouts[spec_id].num_blocks
        for spec_id, block in committed
    )
    if missing > 0:
        check_complete(files, facts, committed)
        raise ValueError(
            f"{path} is not finished: {missing:,} of its blocks are missing; run the command that "
            "makes it again first"
        )
    noted = _noted_digest(files, facts, committed)
    if noted is not None:
        return noted
    # neither "about" nor durations: the same recipe must give the same digest
    arrays = {spec_id: [lay.rows, lay.views] for spec_id, lay in facts.layouts.items()}
    named = json.dumps({"arrays": arrays, "identity": facts.identity}, sort_keys=True)
    digest = hashlib.sha256(named.encode())
    for spec_id in sorted(facts.layouts):
        num_blocks = facts.layouts[spec_id].num_blocks
        for start in range(0, num_blocks, FRAGMENTS_PER_INDEX):
            blocks = range(start, min(start + FRAGMENTS_PER_INDEX, num_blocks))
            found = known.get(index_key(spec_id, blocks))
            found = found or _recorded_content(files, facts, spec_id, blocks)
            try:
                found = found or hash_content(read_block_facts(files, spec_id, blocks))
            except ValueError as error:
                raise DamagedStore(f"{path} is damaged: {error}") from error
            digest.update(found.encode())
    return digest.hexdigest()
