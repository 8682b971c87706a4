"""Committed blocks of a store: their list and their gathered records.

Each commit makes one fragment, but opening 25,000 files takes a while. In stores of more than
1,000 blocks, the records of every 1,000 are therefore repeated in one file under index/, as soon as
these are committed. A server takes longer to open files, so stores there have an index from two
blocks on. Fragments stay and remain the truth; an index file is removed before any of its
fragments is.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain

import pyarrow as pa
import pyarrow.parquet as pq

from inrgen.store.digests import read_self_checksum
from inrgen.store.errors import DamagedStore
from inrgen.store.files.protocol import Files
from inrgen.store.fragment import BlockFacts, encode_parquet, open_parquet, read_footer
from inrgen.store.layout import (
    GROWING_ROOT,
    INDEX,
    RECORDS,
    STATISTICS,
    Layout,
    fragment_key,
    index_key,
    parse_fragment_name,
    parse_index_name,
    replacing_fragment_key,
)
from inrgen.store.metadata import StoreFacts
from inrgen.store.parallel import map_ahead

FRAGMENTS_PER_INDEX = 1000
# Rows of an index file's row groups, at least; whole blocks.
_GROUP_ROWS = 2**16
# Fragments that are read at a time.
_NUM_READERS = 4

# Self-checksum, facts and content.
_Fragment = tuple[str, BlockFacts, pq.ParquetFile]


def committed_blocks(files: Files) -> set[tuple[str, int]]:
    """Return the (spec_id, block) of every fragment; one listing, no file is opened."""
    parsed = map(parse_fragment_name, files.names(RECORDS))
    return {block for block in parsed if block is not None}


def index_keys(files: Files, spec_id: str, block: int) -> list[str]:
    """Return the index files that repeat a block's records."""
    parsed = {name: parse_index_name(name) for name in files.names(INDEX)}
    return [
        f"{INDEX}/{name}"
        for name, found in parsed.items()
        if found is not None and found[0] == spec_id and block in found[1]
    ]


def record_keys(files: Files, committed: set[tuple[str, int]]) -> list[str]:
    """Return the fewest files that hold the records of all committed blocks, in row order."""
    # an index replaces fragments only if all its blocks are committed: a repair may be under way
    by_first: dict[tuple[str, int], str] = {block: fragment_key(*block) for block in committed}
    for name in files.names(INDEX):
        found = parse_index_name(name)
        if found is None:
            continue
        # a name may claim any number of blocks
        if not 0 < len(found[1]) <= len(by_first):
            continue
        blocks = [(found[0], block) for block in found[1]]
        if all(block in by_first for block in blocks):
            for block in blocks:
                del by_first[block]
            by_first[blocks[0]] = f"{INDEX}/{name}"
    return [by_first[block] for block in sorted(by_first)]


def check_names(location: object, facts: StoreFacts, committed: set[tuple[str, int]]) -> None:
    """Raise DamagedStore for a fragment whose name is of no block of the store."""
    for spec_id, block in sorted(committed):
        if spec_id not in facts.layouts or block >= facts.layouts[spec_id].num_blocks:
            key = fragment_key(spec_id, block)
            raise DamagedStore(
                f"{location} is damaged: {key} is of no block of this store; "
                "`inrgen verify --repair` removes it",
                key=key,
            )


def _find_lost(
    files: Files, facts: StoreFacts, missing: list[tuple[str, int]]
) -> list[tuple[str, int]]:
    """Return the blocks, of those without a fragment, that must have had one."""
    # only a finished store grows, and an append makes a staging folder again
    if facts.versions or files.size_bytes(GROWING_ROOT) is not None:
        return missing
    # an index is written once its blocks are there, and a repair removes it first
    spans = [found for found in map(parse_index_name, files.names(INDEX)) if found is not None]
    lost = [
        (spec_id, block)
        for spec_id, block in missing
        if any(spec_id == owner and block in span for owner, span in spans)
    ]
    if lost:
        return lost
    if any(name.endswith(".json") for name in files.names(STATISTICS)):
        return missing
    # creating or resuming a store makes its staging folder, which stays until the store is finished
    return missing if files.is_tidy() else []


def check_complete(files: Files, facts: StoreFacts, committed: set[tuple[str, int]]) -> None:
    """Raise DamagedStore if a store has lost the records of a block that was committed.

    Args:
        committed: blocks that had a fragment when the store was opened.
    """
    missing = [
        (spec_id, block)
        for spec_id, layout in facts.layouts.items()
        for block in range(layout.num_blocks)
        if (spec_id, block) not in committed
    ]
    if not missing:
        return
    for spec_id, block in _find_lost(files, facts, missing):
        # a repair may be replacing the block, or may have done so since the store was opened
        places = replacing_fragment_key(spec_id, block), fragment_key(spec_id, block)
        if all(files.size_bytes(key) is None for key in places):
            raise DamagedStore(
                f"{files.location} is damaged: {places[1]} is not there, though it was "
                "committed; `inrgen verify --repair` makes lost records again",
                key=places[1],
            )


def _row_groups_match(metadata: pq.FileMetaData, layout: Layout, blocks: range) -> bool:
    """Tell whether a file has the rows of some blocks, in order, by its footer."""
    start = layout.block_rows(blocks[0]).start
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        span = range(start, start + group.num_rows)
        start = span.stop
        for at in range(group.num_columns):
            column = group.column(at)
            found = column.statistics if column.path_in_schema == "row" else None
            if found is None:
                continue
            if found.has_min_max and (found.min, found.max) != (span.start, span.stop - 1):
                return False
            break
    return start == layout.block_rows(blocks[-1]).stop


def check_record_file(
    location: object, facts: StoreFacts, key: str, metadata: pq.FileMetaData
) -> None:
    """Raise DamagedStore unless a file of records is of the store and blocks in its name.

    Only the footer is read, so the records themselves are not checked here.

    Args:
        key: of a fragment or of an index file.
    """
    name = key.rpartition("/")[2]
    owner, index = parse_fragment_name(name), parse_index_name(name)
    try:
        stored = read_footer(metadata)
        if owner is not None:
            spec_id, blocks = owner[0], range(owner[1], owner[1] + 1)
            named = (stored["spec_id"], stored["block"]) == owner
        else:
            assert index is not None, "records lie in fragments and index files"
            (spec_id, blocks), named = index, True
        # An index file is written after the last of its blocks.
        good = named and stored["store_seal"] == facts.block_checksum(spec_id, blocks[-1])
        good = good and _row_groups_match(metadata, facts.layouts[spec_id], blocks)
    except (ValueError, KeyError, TypeError, OSError):
        # damage to a footer rather than a file in the wrong place; the name is what helps
        good = False
    if not good:
        raise DamagedStore(
            f"{location} is damaged: {key} is not of the store and block in its name; "
            "`inrgen verify` says more",
            key=key,
        )


def _read_fragment(
    files: Files, spec_id: str, block: int
) -> tuple[str, BlockFacts, pq.ParquetFile]:
    """Return the self-checksum, facts and content of a fragment.

    Raises FileNotFoundError if it is lost, and ValueError if it is damaged or of another block.
    """
    key = fragment_key(spec_id, block)
    data = files.read(key)
    try:
        file, stored = open_parquet(data)
        facts, checksum = BlockFacts.from_dict(stored), read_self_checksum(data)
        if (facts.spec_id, facts.block) != (spec_id, block):
            raise ValueError("it is of another block")
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from error
    assert checksum is not None, "open_parquet has checked it"
    return checksum, facts, file


def _read_fragments(files: Files, spec_id: str, blocks: range) -> Iterator[_Fragment]:
    """Read fragments in order, some at a time, since a server takes long to answer."""
    with ThreadPoolExecutor(_NUM_READERS, "inrgen-fragments") as pool:
        read = partial(_read_fragment, files, spec_id)
        yield from map_ahead(pool, read, blocks, 2 * _NUM_READERS)


def hash_checksums(files: Files, spec_id: str, blocks: range) -> str:
    """Hash the self-checksums of the fragments that an index file repeats.

    Raises FileNotFoundError or ValueError if a fragment is lost or damaged.
    """
    return join_checksums(checksum for checksum, _, _ in _read_fragments(files, spec_id, blocks))


def join_checksums(checksums: Iterable[str | None]) -> str:
    """Hash the self-checksums of fragments in order. Raises ValueError for None among them."""
    digest = hashlib.sha256()
    for checksum in checksums:
        if checksum is None:
            raise ValueError("a fragment is lost or damaged")
        digest.update(checksum.encode())
    return digest.hexdigest()


def read_block_facts(files: Files, spec_id: str, blocks: range) -> Iterator[BlockFacts]:
    """Yield the facts in fragments, in order. Raises as hash_checksums does."""
    return (facts for _, facts, _ in _read_fragments(files, spec_id, blocks))


def write_index(files: Files, facts: StoreFacts, spec_id: str, blocks: range) -> str | None:
    """Gather the records of committed blocks in one file, unless it exists already.

    Returns the hash of their content that the file records; None where it was there.
    """
    key = index_key(spec_id, blocks)
    if files.size_bytes(key) is not None:
        return None
    checksums, content = hashlib.sha256(), hashlib.sha256()
    store_checksum = facts.block_checksum(spec_id, blocks[-1])

    def tables() -> Iterator[pa.Table]:
        waiting: list[pa.Table] = []
        for checksum, found, file in _read_fragments(files, spec_id, blocks):
            checksums.update(checksum.encode())
            content.update(found.content)
            waiting.append(file.read(use_threads=False))
            # whole blocks: small row groups cost readers more than their rows
            if sum(table.num_rows for table in waiting) >= _GROUP_ROWS:
                yield pa.concat_tables(waiting)
                waiting = []
        if waiting:
            yield pa.concat_tables(waiting)

    def footer() -> dict[str, str]:
        return {
            "store_seal": store_checksum,
            "fragments": checksums.hexdigest(),
            "content": content.hexdigest(),
        }

    groups = tables()
    first = next(groups)
    files.create(key, encode_parquet(chain([first], groups), first.schema, footer))
    return content.hexdigest()


def records_tag(files: Files, facts: StoreFacts, keys: Sequence[str]) -> str:
    """Return a text that changes with any file of records; "" where that cannot be told.

    Args:
        keys: fragments and index files.
    """
    folders = {key.rpartition("/")[0] for key in keys}
    tags = {folder: files.tags(folder) for folder in folders}
    found = [facts.self_checksum]
    for key in keys:
        folder, _, name = key.rpartition("/")
        if not (tag := tags[folder].get(name)):
            return ""
        found += [key, tag]
    return hashlib.sha256("\n".join(found).encode()).hexdigest()
