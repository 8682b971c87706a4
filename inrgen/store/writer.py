"""Fill a store: workers stage blocks, one driver commits them."""

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from jaxtyping import Float32

from inrgen.store.errors import DamagedStore
from inrgen.store.files import Files, hold_lock, open_files, staging_key
from inrgen.store.fragment import BlockFacts, encode_fragment
from inrgen.store.layout import (
    RECORDS,
    STAGING,
    fragment_key,
    parse_fragment_name,
    shard_key,
)
from inrgen.store.metadata import StoreFacts, read_facts
from inrgen.store.records import FitRecord, records_to_table
from inrgen.store.shard import encode_shard, shard_shape


@dataclass(frozen=True, kw_only=True, slots=True)
class StagedBlock:
    """A block that is written but not yet part of the store; small enough to send anywhere.

    key: where its shard waits within the store.
    fragment: the records' file, ready to be created.
    """

    spec_id: str
    block: int
    key: str
    shard_sha256: str
    shard_bytes: int
    fragment: bytes


def _check_block(
    facts: StoreFacts, spec_id: str, block: int, flat: np.ndarray, records: Sequence[FitRecord]
) -> None:
    """Hold rows and records to the block that they are said to be."""
    if spec_id not in facts.specs:
        raise ValueError(f"spec_id must be one of {sorted(facts.specs)}; got {spec_id!r}")
    rows = facts.layouts[spec_id].block_rows(block)
    expected = (len(rows), facts.specs[spec_id].num_params)
    if flat.shape != expected:
        raise ValueError(f"flat of block {block} must be {expected}; got {flat.shape}")
    if [r.row for r in records] != list(rows):
        raise ValueError(f"records of block {block} must be of rows {rows}, in order")
    foreign = {r.spec_id for r in records} - {spec_id}
    if foreign:
        raise ValueError(f"records must have spec_id {spec_id!r}; got {sorted(foreign)}")


def stage_block(
    path: str | Path,
    spec_id: str,
    block: int,
    flat: Float32[np.ndarray, "r p"],
    records: Sequence[FitRecord],
) -> StagedBlock:
    """Write a block where nobody reads it, from any process; committing it is the driver's.

    Args:
        flat: the weights of all rows of the block, in order; NaN rows where a record says so.
        records: one a row, in order.

    Raises:
        ValueError: rows or records are not those of the block.
        OSError: they cannot be written.
    """
    files = open_files(path)
    facts = read_facts(files, path)
    _check_block(facts, spec_id, block, flat, records)
    shape = shard_shape(facts.layouts[spec_id], facts.specs[spec_id].num_params, block)
    shard = encode_shard(shape, flat)
    digest = hashlib.sha256(shard).hexdigest()
    fragment = encode_fragment(
        records_to_table(records),
        BlockFacts(
            store_seal=facts.seal,
            spec_id=spec_id,
            block=block,
            shard_sha256=digest,
            shard_bytes=len(shard),
        ),
    )
    key = staging_key(f"{spec_id}.{block}")
    files.put(key, shard)
    return StagedBlock(
        spec_id=spec_id,
        block=block,
        key=key,
        shard_sha256=digest,
        shard_bytes=len(shard),
        fragment=fragment,
    )


def committed_blocks(files: Files) -> set[tuple[str, int]]:
    """The (spec_id, block) of every fragment there is: one listing, nothing opened."""
    parsed = map(parse_fragment_name, files.names(RECORDS))
    return {block for block in parsed if block is not None}


class StoreWriter:
    """The one driver of a store, as a context manager: while it is open nobody else may write."""

    def __init__(self, path: str | Path) -> None:
        self._path = path
        self._files = open_files(path)
        self._held = ExitStack()
        self._facts: StoreFacts
        self._committed: set[tuple[str, int]] = set()

    def __enter__(self) -> Self:
        self._facts = read_facts(self._files, self._path)
        self._held.enter_context(hold_lock(self._files))
        self._sweep()
        self._committed = committed_blocks(self._files)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._held.close()

    def pending(self, spec_id: str) -> list[int]:
        """The blocks that are not committed, in order."""
        blocks = range(self._facts.layouts[spec_id].num_blocks)
        return [block for block in blocks if (spec_id, block) not in self._committed]

    def commit(self, staged: StagedBlock) -> bool:
        """Make a block part of the store; harmless, and False, where it is one already.

        The shard is moved into place, then its fragment is created: the fragment is the commit.
        Killed in between, the block is still pending, and the shard is written over.
        """
        files = self._files
        if (staged.spec_id, staged.block) in self._committed:
            files.remove(staged.key)
            return False
        if files.size_bytes(staged.key) != staged.shard_bytes:
            raise DamagedStore(
                f"the shard of block {staged.block} was staged at {staged.key}, but the driver of "
                f"{self._path} does not find it there in full: do all workers see the same folder?",
                key=staged.key,
            )
        files.move(staged.key, shard_key(staged.spec_id, staged.block))
        files.create(fragment_key(staged.spec_id, staged.block), staged.fragment)
        self._committed.add((staged.spec_id, staged.block))
        return True

    def finish(self) -> None:
        """Tidy up after the last block."""
        self._sweep()

    def _sweep(self) -> None:
        """Remove what killed workers and drivers left half done."""
        for name in self._files.names(STAGING):
            self._files.remove(f"{STAGING}/{name}")
