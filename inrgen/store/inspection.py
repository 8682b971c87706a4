"""Inspect one block: the bytes of its shard, its records, and whether they agree.

A repair keeps the good rows of a damaged block and makes only the others again.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float32, UInt8

from inrgen.core.escape import one_line
from inrgen.store.derivation import Derivation
from inrgen.store.digests import stated_checksum
from inrgen.store.files.protocol import Files
from inrgen.store.fragment import BlockFacts, decode_fragment
from inrgen.store.layout import Layout, fragment_key, shard_key
from inrgen.store.metadata import StoreFacts
from inrgen.store.open_shard import judge_chunks
from inrgen.store.records import (
    FitRecord,
    column_fault,
    encode_texts,
    is_one_of,
    is_usable,
    table_to_records,
)
from inrgen.store.shard import ShardShape, good_chunks, shard_shape, view_chunks

FindingKind = Literal[
    "document",
    "foreign_file",
    "leftover",
    "unfinished",
    "lost_shard",
    "damaged_shard",
    "lost_records",
    "damaged_records",
    "wrong_records",
    "wrong_weights",
    "duplicate",
    "index",
    "items",
    "statistics",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """A fault of a store.

    Attributes:
        key: name of the file within the store.
        message: the fault, in words that follow the file's name.
        spec_id: spec of the block to replace; "" if no block has to be.
        block: block to replace, or None.
        rows: (first, stop) of the runs of rows that cannot be trusted; empty if only their
            surroundings are wrong.
    """

    kind: FindingKind
    key: str
    message: str
    spec_id: str = ""
    block: int | None = None
    rows: tuple[tuple[int, int], ...] = ()

    def text(self) -> str:
        """Return the finding as one line."""
        spans = [f"{a}" if b - a == 1 else f"{a}..{b - 1}" for a, b in self.rows]
        rows = f" (rows {', '.join(spans)})" if spans else ""
        return one_line(f"{self.key}: {self.message}{rows}")


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockState:
    """Remains of a block.

    Attributes:
        flat: weights, bit for bit where they are good; NaN where they are lost.
        good: (r,), rows whose weights are as they were written.
        table: records, or None unless they are as written and describe the right rows.
        checksum: self-checksum of the fragment; None if it is lost, damaged or another block's.
    """

    flat: Float32[np.ndarray, "r p"]
    good: Bool[np.ndarray, " r"]
    table: pa.Table | None
    checksum: str | None
    findings: tuple[Finding, ...]
    num_bytes: int

    @property
    def records(self) -> tuple[FitRecord, ...] | None:
        """Records one by one, without the columns of derived rows; None if there is no table."""
        return None if self.table is None else tuple(table_to_records(self.table))


def read_if_there(files: Files, key: str) -> bytes | None:
    """Read a file, or return None if there is no such file."""
    try:
        return files.read(key)
    except FileNotFoundError:
        return None


def _row_spans(bad: Bool[np.ndarray, " r"], first: int) -> tuple[tuple[int, int], ...]:
    """Return the runs of marked rows as (first, stop), counting from a first row."""
    # a run begins where marks rise and stops where they fall
    edges = np.flatnonzero(np.diff(np.concatenate([[False], bad, [False]]).astype(np.int8)))
    return tuple((first + int(a), first + int(b)) for a, b in edges.reshape(-1, 2))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Block:
    """A block under inspection, and what the store's documents say of it."""

    facts: StoreFacts
    spec_id: str
    block: int

    @property
    def layout(self) -> Layout:
        return self.facts.layouts[self.spec_id]

    @property
    def rows(self) -> range:
        return self.layout.block_rows(self.block)

    @property
    def shape(self) -> ShardShape:
        return shard_shape(self.layout, self.facts.specs[self.spec_id].num_params, self.block)

    def find(
        self, kind: FindingKind, key: str, message: str, wrong: Bool[np.ndarray, " r"] | None = None
    ) -> Finding:
        """Make a finding about the marked rows of this block, by default about all."""
        wrong = np.ones(len(self.rows), dtype=bool) if wrong is None else wrong
        return Finding(
            kind=kind,
            key=key,
            message=message,
            spec_id=self.spec_id,
            block=self.block,
            rows=_row_spans(wrong, self.rows.start),
        )


def _inspect_shard(
    shape: ShardShape, data: UInt8[np.ndarray, " n"], facts: BlockFacts | None
) -> tuple[Bool[np.ndarray, " r"], str]:
    """Return the rows that are as written, and the fault of the file: "" for none."""
    # a block without its records is made again as a whole, so that nothing depends on its chunks
    good, foreign = good_chunks(shape, data, np.arange(shape.num_chunks)), False
    damaged = not good.all()
    if facts is not None:
        good, foreign = judge_chunks(shape, data, facts)
    rows = np.repeat(good, shape.chunk_rows)[: shape.rows]
    if foreign:
        return rows, "it is not the shard that its records belong to"
    if damaged:
        cut = "; it is cut short" if len(data) < shape.size_bytes else ""
        return rows, f"some chunks do not match their checksums{cut}"
    if data[shape.index_start :].tobytes() != shape.index():
        return rows, "its index is altered, so that zarr cannot read it; all its rows are good"
    return rows, ""


def _inspect_table(
    table: pa.Table, spec_id: str, rows: range, views: int, derivation: Derivation | None
) -> tuple[Bool[np.ndarray, " r"], str]:
    """Return the records that do not describe their rows, and the reason: "" for none."""
    every = np.ones(len(rows), dtype=bool)
    if fault := column_fault(table.schema, derivation is not None):
        return every, fault
    if nulls := [name for name in table.column_names if table[name].null_count]:
        return every, f"values are missing in the columns {', '.join(nulls)}"
    if table.num_rows != len(rows):
        return every, f"it has {table.num_rows} records for {len(rows)} rows"
    wanted = np.arange(rows.start, rows.stop)
    wrong = table["row"].to_numpy() != wanted
    wrong |= table["view"].to_numpy() != wanted % views
    # in Arrow, which leaves other threads their time, as Python's own texts would not
    wrong |= ~is_one_of(table["spec_id"], [spec_id])
    # all views of an item must name the item of its first view
    _, items = encode_texts(table["item_id"])
    wrong |= items != np.repeat(items[::views], views)[: len(rows)]
    if derivation is not None:
        wrong |= table["parent_row"].to_numpy() != wanted // derivation.copies
        wrong |= ~is_one_of(table["operation"], [derivation.operation])
    return wrong, "records are not of the item, view and row they should be" if wrong.any() else ""


def _inspect_fragment(
    block: _Block, key: str, fragment: bytes
) -> tuple[pa.Table | None, BlockFacts | None, list[Finding]]:
    """Return a fragment's table and facts as far as they can be trusted, and its faults."""
    try:
        table, facts = decode_fragment(fragment)
    except ValueError as error:
        return None, None, [block.find("damaged_records", key, str(error))]
    owner = (facts.store_checksum, facts.spec_id, facts.block)
    wanted = block.facts.block_checksum(block.spec_id, block.block)
    if owner != (wanted, block.spec_id, block.block):
        foreign = "it was made for another store or another block"
        return None, None, [block.find("wrong_records", key, foreign)]
    wrong, why = _inspect_table(
        table, block.spec_id, block.rows, block.layout.views, block.facts.derivation
    )
    if why:
        return None, facts, [block.find("wrong_records", key, why, wrong)]
    return table, facts, []


def _disagreements(
    table: pa.Table, flat: Float32[np.ndarray, "r p"], good: Bool[np.ndarray, " r"]
) -> Bool[np.ndarray, " r"]:
    """Mark rows with any weights where the status says none, or not all where it says some."""
    finite = np.isfinite(flat)
    return good & np.where(is_usable(table["status"]), ~finite.all(axis=1), finite.any(axis=1))


def inspect_block(files: Files, facts: StoreFacts, spec_id: str, block: int) -> BlockState:
    """Read a block and trust nothing about it; it may be damaged or half there.

    Args:
        facts: of a root document that is known to be good.

    Raises ValueError if the store has no such spec.
    """
    checked = _Block(facts=facts, spec_id=facts.check_spec_id(spec_id), block=block)
    shard_at, records_at = shard_key(spec_id, block), fragment_key(spec_id, block)
    shard, fragment = read_if_there(files, shard_at), read_if_there(files, records_at)
    findings: list[Finding] = []
    if shard is None and fragment is None:
        missing = "neither weights nor records are there"
        findings.append(checked.find("unfinished", records_at, missing))
    elif shard is None:
        findings.append(checked.find("lost_shard", shard_at, "it is lost: records without weights"))
    elif fragment is None:
        findings.append(
            checked.find("lost_records", records_at, "it is lost: weights without records")
        )

    table, block_facts = None, None
    if fragment is not None:
        table, block_facts, faults = _inspect_fragment(checked, records_at, fragment)
        findings += faults
    shape = checked.shape
    good = np.zeros(shape.rows, dtype=bool)
    if shard is None:
        flat = np.full((shape.rows, shape.num_params), np.nan, dtype=np.float32)
    else:
        data = np.frombuffer(shard, dtype=np.uint8)
        good, why = _inspect_shard(shape, data, block_facts)
        if why:
            findings.append(checked.find("damaged_shard", shard_at, why, ~good))
        # a file that is cut short keeps its whole chunks
        if len(data) < shape.size_bytes:
            data = np.pad(data, (0, shape.size_bytes - len(data)))
        # copied once, since most of a verification's time goes into memory
        chunks = np.array(view_chunks(shape, data))
        flat = chunks.reshape(-1, shape.num_params)[: shape.rows]
        if not good.all():
            flat[~good] = np.nan
    if table is not None:
        wrong = _disagreements(table, flat, good)
        if wrong.any():
            why = "weights and status disagree: weights where it says none, or none for some"
            findings.append(checked.find("wrong_weights", shard_at, why, wrong))
            good, flat[wrong] = good & ~wrong, np.nan
    return BlockState(
        flat=flat,
        good=good,
        table=table,
        checksum=None if fragment is None or block_facts is None else stated_checksum(fragment),
        findings=tuple(findings),
        num_bytes=len(shard or b"") + len(fragment or b""),
    )
