"""Append to a finished store: the driver that gathers new blocks and commits them together."""

import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from inrgen.store.errors import DamagedStore, StoreBusy
from inrgen.store.files.opening import open_files
from inrgen.store.files.protocol import Files, staging_key
from inrgen.store.growth import (
    GROWING_ITEMS,
    discard_growth,
    finish_growth,
    first_changed_block,
    growing_fragment,
    growing_shard,
    is_committed,
    read_growing_root,
    replace_file,
)
from inrgen.store.layout import GROWING_ROOT, ROOT_DOCUMENT, STAGING
from inrgen.store.metadata import StoreFacts, parse_root, read_facts
from inrgen.store.writer import StagedBlock, StoreWriter

# Seconds to wait for a driver that is putting an append in place, and between two looks.
_PATIENCE_S, _LOOK_S = 60.0, 0.05


class AppendWriter:
    """The only driver of a store that grows, as a context manager.

    Blocks of an append with the same root document that was stopped are kept; those of another
    append are removed. Until finish, readers see the store as it was.

    Args:
        root: root document of the store after the append, from grown_root.
        items: file of its list of items, from encode_items.
    """

    def __init__(self, path: str | Path, root: bytes, items: bytes) -> None:
        self._path, self._root, self._items = path, root, items
        self._grown = parse_root(root, path)
        self._held = ExitStack()
        self._files: Files

    def __enter__(self) -> Self:
        with ExitStack() as held:
            files = held.enter_context(open_files(self._path).lock())
            facts = read_facts(files)
            finish_growth(files, facts)
            if facts.self_checksum != self._grown.versions[-1].self_checksum:
                raise StoreBusy(f"another process has changed {self._path} meanwhile")
            for name in files.names(STAGING):
                files.remove(f"{STAGING}/{name}")
            if read_growing_root(files) != self._root:
                discard_growth(files)
                files.create(GROWING_ROOT, self._root)
            self._files, self._held = files, held.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._held.close()

    def pending(self, spec_id: str) -> list[int]:
        """Return the blocks that the append has still to make, in order."""
        layout = self._grown.layouts[spec_id]
        first = first_changed_block(layout, self._grown.versions[-1].rows)
        size = self._files.size_bytes
        blocks = range(first, layout.num_blocks)
        return [block for block in blocks if size(growing_fragment(spec_id, block)) is None]

    def stage_file(self, name: str, data: bytes) -> str:
        """Write a file for workers to read; returns its key in staging."""
        key = staging_key(name)
        self._files.put(key, data)
        return key

    def begin_commit(self, staged: StagedBlock) -> None:
        """Keep a block for the commit of the whole append."""
        block = (staged.spec_id, staged.block)
        if self._files.size_bytes(staged.key) != staged.shard_bytes:
            raise DamagedStore(
                f"the shard of block {staged.block} was staged at {staged.key}, but the driver of "
                f"{self._path} does not find it there in full: do all workers see the same folder?",
                key=staged.key,
            )
        self._files.move(staged.key, growing_shard(*block))
        # a shard without its fragment is written again
        self._files.create(growing_fragment(*block), staged.fragment)

    def finish(self) -> None:
        """Commit all blocks together, and put them in place."""
        (spec_id,) = self._grown.specs
        assert not self.pending(spec_id), "an append is committed as a whole"
        self._files.create(GROWING_ITEMS, self._items)
        # the commit
        replace_file(self._files, ROOT_DOCUMENT, self._root)
        self._held.close()
        # Any driver finishes the rest, and writes index files.
        with StoreWriter(self._path) as writer:
            writer.finish()


def settle_growth(path: str | Path, files: Files, facts: StoreFacts) -> None:
    """Finish an append that was stopped after its commit; wait for one that is under way.

    Readers do this before they list a store, as a database does after a crash.

    Raises StoreBusy if another process takes too long, and OSError if the store cannot be written.
    """
    until = time.monotonic() + _PATIENCE_S
    while is_committed(files, facts):
        try:
            with StoreWriter(path):
                return
        except StoreBusy:
            if time.monotonic() > until:
                raise
            time.sleep(_LOOK_S)
            facts = read_facts(files)
