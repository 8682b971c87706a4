"""Fill a store: workers stage blocks, one driver commits them."""

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
from jaxtyping import Float32

from inrgen.store.content import note_content
from inrgen.store.digests import digest_parts, read_self_checksum
from inrgen.store.errors import DamagedStore, StoreBusy
from inrgen.store.files.opening import open_files
from inrgen.store.files.protocol import Files, staging_key
from inrgen.store.fragment import BlockFacts, digest_records, encode_fragment
from inrgen.store.growth import finish_growth, place_block, read_growing_facts
from inrgen.store.index import FRAGMENTS_PER_INDEX, committed_blocks, index_keys
from inrgen.store.index_writer import IndexWriter
from inrgen.store.layout import (
    REPLACING,
    ROOT_COPY,
    ROOT_DOCUMENT,
    STAGING,
    fragment_key,
    parse_fragment_name,
    replacing_fragment_key,
    shard_key,
)
from inrgen.store.metadata import StoreFacts, child_documents, read_facts
from inrgen.store.records import DERIVED_SCHEMA, FIT_SCHEMA, FitRecord, records_to_table
from inrgen.store.shard import ShardDraft, ShardShape, chunk_checksums, draft_shard, shard_shape


@dataclass(frozen=True, kw_only=True, slots=True)
class StagedBlock:
    """A block that is written but not committed; small enough to send to another process.

    Attributes:
        key: staging key of its shard.
        fragment: bytes of its records' file, ready to be created.
    """

    spec_id: str
    block: int
    key: str
    shard_bytes: int
    fragment: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class StagingBlock:
    """A block whose shard is still being written, and its description once it is."""

    written: Future[None]
    staged: StagedBlock

    def wait(self) -> StagedBlock:
        """Wait for the shard. Raises OSError if it cannot be written."""
        self.written.result()
        return self.staged


def block_shape(facts: StoreFacts, spec_id: str, block: int) -> ShardShape:
    """Return the shape of a block's shard. Raises ValueError if the store has no such block."""
    spec_id = facts.check_spec_id(spec_id)
    return shard_shape(facts.layouts[spec_id], facts.specs[spec_id].num_params, block)


def _check_records(facts: StoreFacts, spec_id: str, block: int, table: pa.Table) -> None:
    """Raise ValueError unless records describe exactly the rows of a block."""
    rows = facts.layouts[spec_id].block_rows(block)
    schema = FIT_SCHEMA if facts.derivation is None else DERIVED_SCHEMA
    if not table.schema.equals(schema):
        raise ValueError(f"records must have the columns {schema.names}; got {table.schema.names}")
    if not np.array_equal(table["row"].to_numpy(), np.arange(rows.start, rows.stop)):
        raise ValueError(f"records of block {block} must be of rows {rows}, in order")
    foreign = set(table["spec_id"].unique().to_pylist()) - {spec_id}
    if foreign:
        raise ValueError(f"records must have spec_id {spec_id!r}; got {sorted(foreign)}")


def stage_block(
    path: str | Path,
    spec_id: str,
    block: int,
    flat: Float32[np.ndarray, "r p"],
    records: Sequence[FitRecord] | pa.Table,
    *,
    growing: bool = False,
) -> StagedBlock:
    """Write a block where no reader looks, from any process; the driver commits it later.

    Args:
        flat: weights of all rows of the block, in order; NaN in the rows whose record says so.
        records: one for each row, in order; a table for a derived store.
        growing: the block is of the append under way.

    Raises:
        ValueError: rows or records do not fit the block.
        OSError: they cannot be written.
    """
    files = open_files(path)
    facts = read_growing_facts(files) if growing else read_facts(files)
    shape = block_shape(facts, spec_id, block)
    if flat.shape != (shape.rows, shape.num_params):
        raise ValueError(
            f"flat of block {block} must be {(shape.rows, shape.num_params)}; got {flat.shape}"
        )
    table = records if isinstance(records, pa.Table) else records_to_table(records)
    with ThreadPoolExecutor(1, "inrgen-stage") as aside:
        draft = draft_shard(shape, flat)
        return _stage(files, facts, (spec_id, block), draft, table, aside).wait()


def stage_shard(
    path: str | Path,
    spec_id: str,
    block: int,
    draft: ShardDraft,
    table: pa.Table,
    aside: Executor,
) -> StagingBlock:
    """Stage a block whose rows already lie in a draft, with every chunk closed.

    Args:
        draft: made with block_shape.
        aside: threads that only write.
    """
    files = open_files(path)
    return _stage(files, read_facts(files), (spec_id, block), draft, table, aside)


def _stage(
    files: Files,
    facts: StoreFacts,
    owner: tuple[str, int],
    draft: ShardDraft,
    table: pa.Table,
    aside: Executor,
) -> StagingBlock:
    """Stage a block of the store that facts describe, as stage_shard does."""
    spec_id, block = owner
    _check_records(facts, spec_id, block, table)
    key, shard = staging_key(f"{spec_id}.{block}"), draft.data
    # the disk works while this thread computes digests and encodes the records
    written = aside.submit(files.put, key, shard)
    block_facts = BlockFacts(
        store_checksum=facts.block_checksum(spec_id, block),
        spec_id=spec_id,
        block=block,
        digest=facts.digest,
        shard_digest=digest_parts(facts.digest, shard),
        shard_bytes=len(shard),
        records_digest=digest_records(facts.digest, table),
        chunk_checksums=chunk_checksums(draft.shape, shard),
    )
    staged = StagedBlock(
        spec_id=spec_id,
        block=block,
        key=key,
        shard_bytes=len(shard),
        fragment=encode_fragment(table, block_facts),
    )
    return StagingBlock(written=written, staged=staged)


def _replacing_shard(spec_id: str, block: int) -> str:
    return f"{REPLACING}/{spec_id}.{block}.shard"


class StoreWriter:
    """The only driver of a store, as a context manager; nobody else may write while it is open.

    Args:
        fragments_per_index: blocks whose records are gathered in one file as soon as they are
            there, in stores of more blocks, and in any store of two blocks or more on a server.
            Other numbers than the default are for tests.
    """

    def __init__(self, path: str | Path, fragments_per_index: int = FRAGMENTS_PER_INDEX) -> None:
        self._path = path
        self._files = self._unlocked = open_files(path)
        self._held = ExitStack()
        self._facts: StoreFacts
        self._committed: set[tuple[str, int]] = set()
        # commits that threads are carrying out; all else is done by the caller's thread
        self._in_flight: dict[Future[None], StagedBlock] = {}
        self._pool: ThreadPoolExecutor
        self._index = IndexWriter(fragments_per_index)

    def __enter__(self) -> Self:
        # a folder that is no store must not get a lock
        read_facts(self._files)
        # the lock is released again if anything below it fails
        with ExitStack() as held:
            self._files = held.enter_context(self._unlocked.lock())
            self._facts = read_facts(self._files)
            # before the listing, since both may move blocks into place
            finish_growth(self._files, self._facts)
            self._sweep()
            self._committed = committed_blocks(self._files)
            self._index.open(self._files, self._facts, self._committed)
            held.callback(self._index.close)
            self._pool = ThreadPoolExecutor(self._files.max_commits, "inrgen-commit")
            # the lock is held until the last of them has ended
            held.callback(self._pool.shutdown, cancel_futures=True)
            self._held = held.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._held:
            # a driver that failed must not keep its caller waiting
            if error is None:
                self._settle()
                self._index.wait()

    @contextmanager
    def removed_if_refused(self) -> Iterator[None]:
        """Remove the store when a ValueError ends the context before any block is committed.

        Otherwise the empty store of a wrong command would refuse the right one, whose identity
        differs. Any other error, such as a full disk, leaves the store to be resumed.
        """
        try:
            yield
        except (DamagedStore, StoreBusy):
            raise
        except ValueError:
            if not self._committed and not self._in_flight:
                self._sweep()
                documents = child_documents(self._files.read(ROOT_DOCUMENT))
                # the root document last: until then, the same command completes the store
                self._files.erase([*documents, ROOT_COPY, ROOT_DOCUMENT])
            raise

    def pending(self, spec_id: str) -> list[int]:
        """Return the blocks that are not committed, in order."""
        blocks = range(self._facts.layouts[spec_id].num_blocks)
        return [block for block in blocks if (spec_id, block) not in self._committed]

    def stage_file(self, name: str, data: bytes) -> str:
        """Write a file for workers to read until finish; returns its key in staging."""
        key = staging_key(name)
        self._files.put(key, data)
        return key

    def commit(self, staged: StagedBlock) -> bool:
        """Make a block part of the store; if it already is, return False and change nothing."""
        self._settle()
        if self._is_known(staged):
            return False
        self._carry_out(staged)
        self._note(staged)
        return True

    def begin_commit(self, staged: StagedBlock) -> None:
        """Commit a block, on a server while others are being committed, in any order.

        Errors are raised by a later call, or where the context ends.
        """
        if self._files.max_commits == 1:
            self.commit(staged)
        elif not self._is_known(staged):
            self._settle(self._files.max_commits - 1)
            self._in_flight[self._pool.submit(self._carry_out, staged)] = staged

    def _is_known(self, staged: StagedBlock) -> bool:
        """Tell whether a block is committed or about to be; drop the new shard if so."""
        block = (staged.spec_id, staged.block)
        in_flight = {(other.spec_id, other.block) for other in self._in_flight.values()}
        known = block in self._committed or block in in_flight
        if known:
            self._files.remove(staged.key)
        return known

    def _carry_out(self, staged: StagedBlock) -> None:
        """Commit a block on any thread; blocks share no files."""
        block = (staged.spec_id, staged.block)
        self._check_staged(staged)
        # A driver killed between these two leaves the block pending. The next commit of the block
        # overwrites the shard, which no reader has trusted without its fragment.
        self._files.move(staged.key, shard_key(*block))
        self._publish(block, staged.fragment)

    def _note(self, staged: StagedBlock) -> None:
        block = (staged.spec_id, staged.block)
        self._committed.add(block)
        self._index.add(block)

    def _settle(self, most: int = 0) -> None:
        """Wait until at most so many commits are in flight. Raises their errors."""
        while len(self._in_flight) > most:
            done, _ = wait(self._in_flight, return_when=FIRST_COMPLETED)
            for future in done:
                landed = self._in_flight.pop(future)
                future.result()
                self._note(landed)

    def replace(self, staged: StagedBlock) -> None:
        """Replace a committed block, as a repair does; a driver killed meanwhile loses nothing."""
        block = (staged.spec_id, staged.block)
        self._settle()
        if block not in self._committed:
            self.commit(staged)
            return
        self._check_staged(staged)
        self._index.wait()
        self._files.move(staged.key, _replacing_shard(*block))
        self._files.create(replacing_fragment_key(*block), staged.fragment)
        # From here on the replacement is certain: it happens now, or when the next driver opens
        # the store and finds the fragment.
        self._replace_now(*block)

    def finish(self) -> None:
        """Tidy up after the last block, and finish the index of stores with many blocks."""
        self._settle()
        self._index.wait()
        self._sweep()
        self._index.finish()
        # a finished store has no staging folder, which tells it from one whose driver was killed
        if not any(self.pending(spec_id) for spec_id in self._facts.layouts):
            self._files.tidy()
            note_content(self._files, self._facts, self._index.contents)

    def _check_staged(self, staged: StagedBlock) -> None:
        if self._files.size_bytes(staged.key) != staged.shard_bytes:
            raise DamagedStore(
                f"the shard of block {staged.block} was staged at {staged.key}, but the driver of "
                f"{self._path} does not find it there in full: do all workers see the same folder?",
                key=staged.key,
            )

    def _publish(self, block: tuple[str, int], fragment: bytes) -> None:
        if not self._files.create(fragment_key(*block), fragment):
            raise self._overtaken(block[1])

    def _overtaken(self, block: int) -> StoreBusy:
        return StoreBusy(
            f"another process has committed block {block} of {self._path} meanwhile: this "
            f"file system does not keep locks; verify the store"
        )

    def _replace_now(self, spec_id: str, block: int) -> None:
        """Carry out a replacement that is written down, from any point where it was cut short."""
        files, owner = self._files, (spec_id, block)
        for key in index_keys(files, spec_id, block):
            files.remove(key)
        self._committed.discard(owner)
        fragment = replacing_fragment_key(*owner)
        if not place_block(files, owner, _replacing_shard(*owner), fragment):
            raise self._overtaken(block)
        self._committed.add(owner)

    def _sweep(self) -> None:
        """Finish replacements that are written down, and remove leftovers of killed processes."""
        for name in self._files.names(REPLACING):
            # a shard alone, or half a fragment, means that the replacement was never certain
            block = parse_fragment_name(name)
            if block is not None and read_self_checksum(self._files.read(f"{REPLACING}/{name}")):
                self._replace_now(*block)
        for folder in (STAGING, REPLACING):
            for name in self._files.names(folder):
                self._files.remove(f"{folder}/{name}")
