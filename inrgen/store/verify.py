"""Check everything in a store: every byte, and that rows and records agree."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Int

from inrgen.core.rng import hash_name
from inrgen.store.check_block import BlockState, inspect_block
from inrgen.store.documents import check_documents, check_index, sound_documents
from inrgen.store.files.protocol import Files, open_files
from inrgen.store.findings import Finding, VerifyReport
from inrgen.store.layout import (
    INDEX,
    RECORDS,
    ROOT_DOCUMENT,
    fragment_key,
    parse_fragment_name,
    parse_index_name,
    shard_key,
)
from inrgen.store.metadata import StoreFacts, parse_root
from inrgen.store.statistics import check_statistics


def _is_ours(key: str, facts: StoreFacts, documents: dict[str, bytes]) -> bool:
    """Whether a store of these facts has a file of this name."""
    folder, _, name = key.rpartition("/")
    if key in documents:
        return True
    if folder == INDEX:
        parsed = parse_index_name(name)
        return parsed is not None and parsed[0] in facts.specs
    block = parse_fragment_name(name) if folder == RECORDS else None
    if block is not None:
        in_spec = block[0] in facts.specs and block[1] < facts.layouts[block[0]].num_blocks
        return in_spec and key == fragment_key(*block)
    spec_id, _, rest = key.partition("/params/c/")
    digits = rest.removesuffix("/0")
    return (
        spec_id in facts.specs
        and digits.isdecimal()
        and int(digits) < facts.layouts[spec_id].num_blocks
        and key == shard_key(spec_id, int(digits))
    )


def _foreign_files(
    files: Files, facts: StoreFacts, documents: dict[str, bytes]
) -> Iterator[Finding]:
    """Files among the store's own that a reader might take for them; beside them all is free."""
    for key in files.all_keys():
        ours = key.partition("/")[0] in {*facts.specs, RECORDS, INDEX}
        if ours and "/" in key and not _is_ours(key, facts, documents):
            yield Finding(kind="foreign_file", key=key, message="it does not belong to the store")


def _item_hashes(state: BlockState, views: int) -> Int[np.ndarray, " i"]:
    """One number an item of a block; nothing where its records cannot be trusted."""
    items = [] if state.table is None else state.table["item_id"].to_pylist()[::views]
    return np.array([hash_name(item) for item in items], dtype=np.int64)


def _duplicates(
    hashes: dict[int, Int[np.ndarray, " _i"]], facts: StoreFacts, spec_id: str
) -> Iterator[Finding]:
    """Items that occur again, at the later place; hashes holds those of each block."""
    layout = facts.layouts[spec_id]
    first_rows = {block: layout.block_rows(block).start for block in hashes}
    if not hashes:
        return
    values = np.concatenate(list(hashes.values()))
    rows = np.concatenate(
        [first_rows[block] + layout.views * np.arange(len(h)) for block, h in hashes.items()]
    )
    order = np.lexsort((rows, values))
    again = order[1:][values[order][1:] == values[order][:-1]]
    for row in np.sort(rows[again]).tolist():
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
    """Read everything and report whatever is not as it was written.

    Every byte counts: documents and records carry digests of themselves, and records that of
    their shard. Weights are trusted by the chunk, so a damaged byte costs about 256 rows. Memory
    grows with the number of items alone, by eight bytes each.

    Args:
        on_block: told the number of rows of each block when it is done.

    Raises:
        FileNotFoundError: there is no store.
        DamagedStore: both copies of the root document are damaged, so nothing is known.
        ValueError: it is something else, or of a later format.
    """
    files = open_files(path)
    documents = sound_documents(files, path)
    facts = parse_root(documents[ROOT_DOCUMENT], path)
    findings = list(check_documents(files, documents))
    findings += _foreign_files(files, facts, documents)
    num_blocks, num_rows, num_bytes = 0, 0, sum(map(len, documents.values()))
    for spec_id, layout in facts.layouts.items():
        hashes = {}
        for block in range(layout.num_blocks):
            state = inspect_block(files, facts, spec_id, block)
            findings += state.findings
            hashes[block] = _item_hashes(state, layout.views)
            num_blocks, num_rows = num_blocks + 1, num_rows + len(state.good)
            num_bytes += state.num_bytes
            on_block(len(state.good))
        findings += _duplicates(hashes, facts, spec_id)
    findings += check_index(files, facts)
    findings += check_statistics(files, facts, path)
    return VerifyReport(
        num_blocks=num_blocks,
        num_rows=num_rows,
        num_bytes=num_bytes,
        findings=tuple(findings),
    )
