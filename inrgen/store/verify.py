"""Verify a store: every byte of its documents, rows and records, and that these agree.

Index files and statistics are checked where they are there. Both can be made again, so their loss
is no fault, and neither is a changed card.
"""

import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int

from inrgen.core.config import hash_name
from inrgen.store.append_writer import settle_growth
from inrgen.store.errors import DamagedStore
from inrgen.store.files.opening import open_files
from inrgen.store.files.protocol import Files
from inrgen.store.fragment import decode_fragment, open_parquet
from inrgen.store.growth import discard_growth, replace_file
from inrgen.store.hash_set import HashSet
from inrgen.store.index import committed_blocks, hash_checksums, join_checksums, record_keys
from inrgen.store.inspection import BlockState, Finding, inspect_block, read_if_there
from inrgen.store.item_list import items_fault, items_key, remake_items
from inrgen.store.layout import (
    GROWING,
    INDEX,
    RECORDS,
    REPLACING,
    ROOT_DOCUMENT,
    STAGING,
    fragment_key,
    parse_fragment_name,
    parse_index_name,
    shard_key,
)
from inrgen.store.metadata import StoreFacts, parse_root
from inrgen.store.parallel import map_ahead
from inrgen.store.queries import make_filter
from inrgen.store.record_scan import RecordScan
from inrgen.store.sound import sound_documents, sound_facts
from inrgen.store.statistics import check_statistics
from inrgen.store.writer import StoreWriter

# Files that a store writes, by name, whatever their spec and block.
_STORE_FILE = re.compile(
    rf"({RECORDS}/.+\.\d{{8,}}\.parquet|{INDEX}/.+\.\d{{8,}}-\d{{8,}}\.parquet|[^/]+/params/c/\d+/\d+)$"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyReport:
    """Result of a verification; no findings means that all is as it was written.

    Attributes:
        num_blocks, num_rows, num_bytes: amounts that were checked.
    """

    num_blocks: int
    num_rows: int
    num_bytes: int
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Tell whether nothing was found."""
        return not self.findings

    @property
    def bad_blocks(self) -> dict[str, list[int]]:
        """Blocks that must be written again, by spec_id, in order."""
        found = sorted({(f.spec_id, f.block) for f in self.findings if f.block is not None})
        return {spec: [b for s, b in found if s == spec] for spec in {s: 0 for s, _ in found}}


def salvage_block(path: str | Path, spec_id: str, block: int) -> BlockState:
    """Read the remains of a block that may be damaged or half there. Raises as sound_facts does."""
    files = open_files(path)
    return inspect_block(files, sound_facts(files), spec_id, block)


def _check_documents(files: Files, sound: dict[str, bytes]) -> Iterator[Finding]:
    """Yield every document that is not as it was written."""
    for key, document in sound.items():
        found = read_if_there(files, key)
        if found is None:
            yield Finding(kind="document", key=key, message="the document is lost")
        elif found != document:
            yield Finding(kind="document", key=key, message="the document was altered")


def _check_index(
    files: Files,
    facts: StoreFacts,
    hash_fragments: Callable[[str, range], str],
    *,
    unknown: bool = False,
) -> Iterator[Finding]:
    """Yield every index file that does not match the fragments as they are now.

    Args:
        hash_fragments: returns what hash_checksums does, or raises as it does.
        unknown: also yield those that cannot be judged, because a fragment is lost or damaged.
    """
    for name in files.names(INDEX):
        key = f"{INDEX}/{name}"
        named = parse_index_name(name)
        if named is None:
            continue
        try:
            _, stored = open_parquet(files.map(key).data)
        except ValueError as error:
            yield Finding(kind="index", key=key, message=str(error))
            continue
        try:
            expected = hash_fragments(*named)
        except (FileNotFoundError, ValueError):
            # a lost or damaged fragment has its own finding
            if unknown:
                yield Finding(kind="index", key=key, message="some of its records are damaged")
            continue
        owner = facts.block_checksum(named[0], named[1][-1])
        if (stored.get("store_seal"), stored.get("fragments")) != (owner, expected):
            yield Finding(kind="index", key=key, message="it does not match the records")


def _check_items(files: Files, facts: StoreFacts) -> Iterator[Finding]:
    """Yield the list of items of a store that has grown, unless it is as it was written."""
    if facts.versions and (fault := items_fault(files, facts)):
        yield Finding(kind="items", key=items_key(facts), message=fault)


def _restore_items(files: Files, facts: StoreFacts) -> Iterator[Finding]:
    """Write a damaged list of items again, if all records are there. Yields it as a document."""
    for finding in _check_items(files, facts):
        scan = RecordScan(
            files=files,
            facts=facts,
            keys=record_keys(files, committed_blocks(files)),
            columns=("item_id", "split", "label", "label_name"),
            where=make_filter(num_views=1),
        )
        try:
            remade = remake_items(facts, scan.tables())
        except DamagedStore:
            # blocks have findings of their own
            continue
        if remade is not None:
            replace_file(files, finding.key, remade)
            yield replace(finding, kind="document")


def _is_ours(key: str, facts: StoreFacts, documents: dict[str, bytes]) -> bool:
    """Tell whether a store with these facts has a file of this name."""
    folder, _, name = key.rpartition("/")
    if key in documents:
        return True
    if folder == INDEX:
        parsed = parse_index_name(name)
        if parsed is None or parsed[0] not in facts.specs:
            return False
        return 0 <= parsed[1].start < parsed[1].stop <= facts.layouts[parsed[0]].num_blocks
    if folder == RECORDS:
        spec_id, block = parse_fragment_name(name) or ("", -1)
        expected = fragment_key(spec_id, block)
    else:
        spec_id, _, rest = key.partition("/params/c/")
        digits = rest.removesuffix("/0")
        block = int(digits) if digits.isdecimal() else -1
        expected = shard_key(spec_id, block)
    in_spec = spec_id in facts.specs and 0 <= block < facts.layouts[spec_id].num_blocks
    return in_spec and key == expected


def _foreign_files(
    files: Files, facts: StoreFacts, documents: dict[str, bytes]
) -> Iterator[Finding]:
    """Yield foreign files in the store's folders; readers ignore all others beside them."""
    for key in files.all_keys():
        ours = key.partition("/")[0] in {*facts.specs, RECORDS, INDEX}
        if ours and "/" in key and not _is_ours(key, facts, documents):
            yield Finding(kind="foreign_file", key=key, message="it does not belong to the store")


def _leftovers(files: Files) -> Iterator[Finding]:
    """Yield files of work in progress in a store whose blocks are all there."""
    folders = (STAGING, REPLACING, GROWING)
    for key in (f"{at}/{name}" for at in folders for name in files.names(at)):
        message = "it was left by a process that was stopped"
        if key.startswith(f"{GROWING}/"):
            message = "it is of an append that is under way, or was stopped and can go on"
        yield Finding(kind="leftover", key=key, message=message)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Inspected:
    """Result of a block's inspection, without its weights."""

    findings: tuple[Finding, ...]
    checksum: str | None
    hashes: Int[np.ndarray, " i"]
    num_rows: int
    num_bytes: int


def _inspect_blocks(files: Files, facts: StoreFacts, spec_id: str) -> Iterator[_Inspected]:
    """Inspect the blocks of a spec on every core, and yield them in order."""
    layout = facts.layouts[spec_id]

    def inspect(block: int) -> _Inspected:
        state = inspect_block(files, facts, spec_id, block)
        return _Inspected(
            findings=state.findings,
            checksum=state.checksum,
            hashes=_item_hashes(state, layout.views),
            num_rows=len(state.good),
            num_bytes=state.num_bytes,
        )

    num = os.cpu_count() or 1
    with ThreadPoolExecutor(num, "inrgen-verify") as pool:
        yield from map_ahead(pool, inspect, range(layout.num_blocks), 2 * num)


def _item_hashes(state: BlockState, views: int) -> Int[np.ndarray, " i"]:
    """Hash the items of a block; empty if its records cannot be trusted."""
    if state.table is None:
        return np.zeros(0, dtype=np.int64)
    firsts = state.table["item_id"].take(np.arange(0, state.table.num_rows, views))
    return np.array([hash_name(item) for item in firsts.to_pylist()], dtype=np.int64)


def _duplicates(hashes: HashSet, facts: StoreFacts, spec_id: str) -> Iterator[Finding]:
    """Yield items that occur twice, at their later place."""
    layout = facts.layouts[spec_id]
    for row in hashes.repetitions().tolist():
        block = row // layout.shard_rows
        yield Finding(
            kind="duplicate",
            key=fragment_key(spec_id, block),
            message="these records repeat an item that has rows already",
            spec_id=spec_id,
            block=block,
            rows=((row, row + layout.views),),
        )


def verify_store(
    path: str | Path, on_block: Callable[[int], None] = lambda num_rows: None
) -> VerifyReport:
    """Read everything and report all that is not as it was written.

    Every byte of these counts: documents and records have self-checksums, and records hold the
    digest of their shard. Weights are trusted by the chunk, so a damaged byte costs about 256 rows.

    Args:
        on_block: called after each block with its number of rows.

    Raises:
        FileNotFoundError: there is no store.
        DamagedStore: both copies of the root document are damaged, so nothing is known.
        ValueError: it is something else, or has a later format.
    """
    files = open_files(path)
    documents = sound_documents(files)
    facts = parse_root(documents[ROOT_DOCUMENT], files.location)
    settle_growth(path, files, facts)
    findings = list(_check_documents(files, documents))
    findings += _foreign_files(files, facts, documents)
    num_blocks, num_rows, num_bytes = 0, 0, sum(map(len, documents.values()))
    checksums: dict[tuple[str, int], str | None] = {}
    for spec_id in facts.layouts:
        hashes, layout = HashSet(), facts.layouts[spec_id]
        for block, part in enumerate(_inspect_blocks(files, facts, spec_id)):
            findings += part.findings
            checksums[spec_id, block] = part.checksum
            first = layout.block_rows(block).start
            hashes.add(part.hashes, first + layout.views * np.arange(len(part.hashes)))
            num_blocks, num_rows = num_blocks + 1, num_rows + part.num_rows
            num_bytes += part.num_bytes
            on_block(part.num_rows)
        findings += _duplicates(hashes, facts, spec_id)

    def hash_fragments(spec_id: str, blocks: range) -> str:
        return join_checksums(checksums.get((spec_id, block)) for block in blocks)

    findings += _check_index(files, facts, hash_fragments)
    findings += check_statistics(files, facts)
    findings += _check_items(files, facts)
    # an unfinished store may have a driver at work, and the next one sweeps it
    if not any(finding.kind == "unfinished" for finding in findings):
        findings += _leftovers(files)
    return VerifyReport(
        num_blocks=num_blocks,
        num_rows=num_rows,
        num_bytes=num_bytes,
        findings=tuple(findings),
    )


def _owner(facts: StoreFacts, fragment: bytes) -> str | None:
    """Return the name under which a fragment belongs to the store, or None if it does not."""
    try:
        _, found = decode_fragment(fragment)
    except ValueError:
        return None
    layout = facts.layouts.get(found.spec_id)
    if layout is None or not 0 <= found.block < layout.num_blocks:
        return None
    if found.store_checksum != facts.block_checksum(found.spec_id, found.block):
        return None
    return fragment_key(found.spec_id, found.block)


def _return_fragments(files: Files, facts: StoreFacts) -> Iterator[Finding]:
    """Move fragments that lie under the name of another block to their place, if it is not filled.

    Yields the places. So records whose files were renamed or exchanged need no fit.
    """
    misplaced: dict[str, bytes] = {}
    for name in files.names(RECORDS):
        fragment = files.read(f"{RECORDS}/{name}")
        home = _owner(facts, fragment)
        if home is not None and home != f"{RECORDS}/{name}":
            misplaced[home] = fragment
    for home, fragment in misplaced.items():
        there = read_if_there(files, home)
        if there is None or _owner(facts, there) != home:
            files.remove(home)
            files.create(home, fragment)
            yield Finding(kind="document", key=home, message="it lay under another name")


def restore_documents(path: str | Path) -> list[Finding]:
    """Write damaged or lost documents again, and remove what does not belong; return the faults.

    Findings of kind document were written again; the others were removed: records, weights and
    index files of no block of the store, damaged derived files, and leftovers of processes that
    were stopped. A removed index comes back
    when a driver next finishes the store, statistics when `inrgen stats` runs again.

    Raises:
        DamagedStore: both copies of the root document are damaged.
        StoreBusy: another process is writing to the store.
    """
    sound = sound_documents(open_files(path))
    mended = []
    with open_files(path).lock() as files:
        for finding in _check_documents(files, sound):
            files.remove(finding.key)
            files.create(finding.key, sound[finding.key])
            mended.append(finding)
        facts = parse_root(sound[ROOT_DOCUMENT], files.location)
        mended += _return_fragments(files, facts)
        removed = [
            # others, such as notes, harm no reader, and may be the only copy
            *(
                found
                for found in _foreign_files(files, facts, sound)
                if _STORE_FILE.match(found.key)
            ),
            *_check_index(files, facts, partial(hash_checksums, files), unknown=True),
            *check_statistics(files, facts),
        ]
        for finding in removed:
            files.remove(finding.key)
            mended.append(finding)
        mended += _restore_items(files, facts)
        num_blocks = sum(layout.num_blocks for layout in facts.layouts.values())
        if len(committed_blocks(files)) != num_blocks:
            return mended
        leftovers = list(_leftovers(files))
        # an append that was stopped before its commit, and is given up here
        discard_growth(files)
        files.tidy()
    if leftovers:
        # a replacement among them that was certain is carried out
        with StoreWriter(path) as writer:
            writer.finish()
    return [*mended, *leftovers]
