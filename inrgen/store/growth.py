"""Growth of a finished store: from a root document of more rows to a store that has them.

New blocks and the new root document wait in _growing/, where no reader looks. The append is
committed when the new root document replaces the old one, which is one step. Only then do blocks
move into place, under the driver's lock. A driver killed before the commit leaves the old store,
and the same append goes on. After it, whoever opens the store next moves the rest.
"""

from inrgen.store.digests import read_self_checksum
from inrgen.store.errors import DamagedStore, StoreBusy
from inrgen.store.files.protocol import Files, staging_key
from inrgen.store.index import index_keys
from inrgen.store.item_list import items_key
from inrgen.store.layout import (
    GROWING,
    GROWING_ROOT,
    ITEMS,
    ROOT_COPY,
    STATISTICS,
    Layout,
    fragment_key,
    fragment_name,
    parse_fragment_name,
    shard_key,
)
from inrgen.store.metadata import StoreFacts, child_documents, parse_root, root_document
from inrgen.store.versions import StoreVersion

GROWING_ITEMS = f"{GROWING}/{ITEMS}.parquet"


def growing_shard(spec_id: str, block: int) -> str:
    """Return the key of a new shard until its append is committed."""
    return f"{GROWING}/{spec_id}.{block}.shard"


def growing_fragment(spec_id: str, block: int) -> str:
    """Return the key of a new fragment until its append is committed; the block is then made."""
    return f"{GROWING}/{fragment_name(spec_id, block)}"


def read_growing_root(files: Files) -> bytes | None:
    """Return the root document of an append under way, if there is one and it is whole."""
    if files.size_bytes(GROWING_ROOT) is None:
        return None
    try:
        root = files.read(GROWING_ROOT)
    except FileNotFoundError:
        # a driver has finished in this moment
        return None
    return root if read_self_checksum(root) else None


def read_growing_facts(files: Files) -> StoreFacts:
    """Read what a store will be after the append under way, for workers that make its blocks."""
    root = read_growing_root(files)
    if root is None:
        raise DamagedStore(f"{files.location} has no append under way", key=GROWING_ROOT)
    return parse_root(root, files.location)


def is_committed(files: Files, facts: StoreFacts) -> bool:
    """Tell whether an append is committed whose blocks may not all be in their places yet.

    Args:
        facts: of the root document as it is now.
    """
    # only stores that have grown need the request
    root = read_growing_root(files) if facts.versions else None
    return root is not None and read_self_checksum(root) == facts.self_checksum


def first_changed_block(layout: Layout, old_rows: int) -> int:
    """Return the first block that an append makes: the one that fills up a short last block."""
    return old_rows // layout.shard_rows


def grown_root(
    facts: StoreFacts, layout: Layout, identity: dict, about: dict, content_sha256: str
) -> bytes:
    """Return the root document of a store of one spec that has grown.

    Args:
        facts: of the store before.
        layout: of the store then.
        content_sha256: content digest of the store before.
    """
    ((spec_id, spec),) = facts.specs.items()
    before = StoreVersion(
        rows=facts.layouts[spec_id].rows,
        self_checksum=facts.self_checksum,
        content_sha256=content_sha256,
        items=facts.identity["items"],
        about=facts.about,
    )
    return root_document([(spec, layout)], identity, about, [*facts.versions, before])


def replace_file(files: Files, key: str, data: bytes) -> None:
    """Write a file over another one in one step."""
    staged = staging_key("new")
    files.put(staged, data)
    files.move(staged, key)


def place_block(files: Files, block: tuple[str, int], shard: str, fragment: str) -> bool:
    """Move a block's new shard and fragment into place, from any point where this was cut short.

    Returns False if another process has committed the block meanwhile.
    """
    # the old fragment goes before the new shard comes, so it never describes other rows
    files.remove(fragment_key(*block))
    # an earlier try may have moved the shard already
    if files.size_bytes(shard) is not None:
        files.move(shard, shard_key(*block))
    placed = files.create(fragment_key(*block), files.read(fragment))
    if placed:
        files.remove(fragment)
    return placed


def finish_growth(files: Files, facts: StoreFacts) -> None:
    """Put the blocks of a committed append in place, from any point where this was cut short.

    Args:
        files: held by the only driver.
        facts: of the root document as it is now.
    """
    if not is_committed(files, facts):
        return
    root = files.read(GROWING_ROOT)
    # made from the rows that there were
    for name in files.names(STATISTICS):
        files.remove(f"{STATISTICS}/{name}")
    ((spec_id, layout),) = facts.layouts.items()
    old_rows = facts.versions[-1].rows
    # index files of the last blocks would end too early, or repeat a block that is filled up
    for key in index_keys(files, spec_id, (old_rows - 1) // layout.shard_rows):
        files.remove(key)
    for name in files.names(GROWING):
        block = parse_fragment_name(name)
        if block is None or block[0] != spec_id or block[1] >= layout.num_blocks:
            continue
        if not place_block(files, block, growing_shard(*block), growing_fragment(*block)):
            raise StoreBusy(f"another process writes to {files.location}, too; verify the store")
    for key, document in {**child_documents(root), ROOT_COPY: root}.items():
        if files.read(key) != document:
            replace_file(files, key, document)
    if files.size_bytes(GROWING_ITEMS) is not None:
        files.move(GROWING_ITEMS, items_key(facts))
    for name in files.names(ITEMS):
        if f"{ITEMS}/{name}" != items_key(facts):
            files.remove(f"{ITEMS}/{name}")
    discard_growth(files)


def discard_growth(files: Files) -> None:
    """Remove an append's files, and its root document last, unless it was given up before."""
    for name in files.names(GROWING):
        if f"{GROWING}/{name}" != GROWING_ROOT:
            files.remove(f"{GROWING}/{name}")
    files.remove(GROWING_ROOT)
