"""Check one block: its shard's bytes, its records, and that they agree."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float32, UInt8

from inrgen.store.derivation import Derivation
from inrgen.store.digest import digest_of
from inrgen.store.files.protocol import Files
from inrgen.store.findings import Finding, FindingKind, row_spans
from inrgen.store.fragment import BlockFacts, decode_fragment
from inrgen.store.layout import Layout, fragment_key, shard_key
from inrgen.store.metadata import StoreFacts
from inrgen.store.records import DERIVED_SCHEMA, FIT_SCHEMA, USABLE_STATUSES
from inrgen.store.shard import ShardShape, gather, good_chunks, shard_shape


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockState:
    """What is left of a block.

    flat: its weights; NaN where they are lost.
    good: the rows whose weights are as written.
    table: its records, where they are as written and say what they must.
    """

    flat: Float32[np.ndarray, "r p"]
    good: Bool[np.ndarray, " r"]
    table: pa.Table | None
    findings: tuple[Finding, ...]
    num_bytes: int


def _read(files: Files, key: str) -> bytes | None:
    try:
        return files.read(key)
    except FileNotFoundError:
        return None


def _inspect_shard(
    shape: ShardShape, data: UInt8[np.ndarray, " n"], facts: BlockFacts | None
) -> tuple[Bool[np.ndarray, " r"], str]:
    """Which rows are as written, and what is wrong with the file: "" for nothing."""
    chunks = good_chunks(shape, data, np.arange(shape.num_chunks))
    good = np.repeat(chunks, shape.chunk_rows)[: shape.rows]
    if not chunks.all():
        cut = "; it is cut short" if len(data) < shape.size_bytes else ""
        return good, f"some chunks do not match their checksums{cut}"
    body = data[: shape.index_start].data
    if facts is not None and digest_of(facts.digest, body, shape.index()) != facts.shard_digest:
        # Whole chunks of another shard: their own checksums are right, and the rows are not these.
        return np.zeros(shape.rows, dtype=bool), "it is not the shard that its records are of"
    if data[shape.index_start :].tobytes() != shape.index():
        return good, "its index is altered, so that zarr cannot read it; all its rows are good"
    return good, ""


def _inspect_table(
    table: pa.Table, spec_id: str, rows: range, views: int, derivation: Derivation | None
) -> tuple[Bool[np.ndarray, " r"], str]:
    """Which records are not those of their rows, and why: "" for none."""
    schema = FIT_SCHEMA if derivation is None else DERIVED_SCHEMA
    missing = [f.name for f in schema if f not in list(table.schema)]
    every = np.ones(len(rows), dtype=bool)
    if missing:
        return every, f"it lacks the columns {', '.join(missing)}"
    if table.num_rows != len(rows):
        return every, f"it has {table.num_rows} records for {len(rows)} rows"
    wanted = np.arange(rows.start, rows.stop)
    wrong = table["row"].to_numpy() != wanted
    wrong |= table["view"].to_numpy() != wanted % views
    wrong |= np.array(table["spec_id"].to_pylist()) != spec_id
    items = np.array(table["item_id"].to_pylist(), dtype=object)
    wrong |= items != np.repeat(items[::views], views)[: len(rows)]
    if derivation is not None:
        wrong |= table["parent_row"].to_numpy() != wanted // derivation.copies
        wrong |= np.array(table["operation"].to_pylist()) != derivation.operation
    return wrong, "records are not of the item, view and row they should be" if wrong.any() else ""


def _disagreements(
    table: pa.Table, flat: Float32[np.ndarray, "r p"], good: Bool[np.ndarray, " r"]
) -> Bool[np.ndarray, " r"]:
    """Rows that hold weights where the status says none, or not all where it says some."""
    served = np.isin(np.array(table["status"].to_pylist(), dtype=object), USABLE_STATUSES)
    finite = np.isfinite(flat)
    return good & np.where(served, ~finite.all(axis=1), finite.any(axis=1))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Block:
    """Which block is looked at, and what the store says of it."""

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
        """A finding about the marked rows of this block, or about all of them."""
        wrong = np.ones(len(self.rows), dtype=bool) if wrong is None else wrong
        return Finding(
            kind=kind,
            key=key,
            message=message,
            spec_id=self.spec_id,
            block=self.block,
            rows=row_spans(wrong, self.rows.start),
        )


def _find_records(
    of: _Block, key: str, fragment: bytes
) -> tuple[pa.Table | None, BlockFacts | None, list[Finding]]:
    """A fragment's table and facts as far as they can be trusted, and what is wrong."""
    try:
        table, said = decode_fragment(fragment)
    except ValueError as error:
        return None, None, [of.find("damaged_records", key, str(error))]
    if (said.store_seal, said.spec_id, said.block) != (of.facts.seal, of.spec_id, of.block):
        foreign = "it was made for another store or another block"
        return None, None, [of.find("wrong_records", key, foreign)]
    wrong, why = _inspect_table(table, of.spec_id, of.rows, of.layout.views, of.facts.derivation)
    if why:
        return None, said, [of.find("wrong_records", key, why, wrong)]
    return table, said, []


def inspect_block(files: Files, facts: StoreFacts, spec_id: str, block: int) -> BlockState:
    """Read a block and trust nothing about it.

    Args:
        facts: of a root document that is known to be good.
    """
    of = _Block(facts=facts, spec_id=spec_id, block=block)
    shard_at, records_at = shard_key(spec_id, block), fragment_key(spec_id, block)
    shard, fragment = _read(files, shard_at), _read(files, records_at)
    findings: list[Finding] = []
    if shard is None and fragment is None:
        findings.append(of.find("unfinished", records_at, "neither weights nor records are there"))
    elif shard is None:
        findings.append(of.find("lost_shard", shard_at, "it is lost: records without weights"))
    elif fragment is None:
        findings.append(of.find("lost_records", records_at, "it is lost: weights without records"))

    table, said = None, None
    if fragment is not None:
        table, said, problems = _find_records(of, records_at, fragment)
        findings += problems
    good = np.zeros(len(of.rows), dtype=bool)
    flat = np.full((len(of.rows), of.shape.num_params), np.nan, dtype=np.float32)
    if shard is not None:
        data = np.frombuffer(shard, dtype=np.uint8)
        good, why = _inspect_shard(of.shape, data, said)
        if why:
            findings.append(of.find("damaged_shard", shard_at, why, ~good))
        if len(data) < of.shape.size_bytes:
            data = np.pad(data, (0, of.shape.size_bytes - len(data)))
        flat = gather(of.shape, data, np.arange(len(good)))
        flat[~good] = np.nan
    if table is not None:
        wrong = _disagreements(table, flat, good)
        if wrong.any():
            why = "weights and status do not agree: weights where it says none, or none for some"
            findings.append(of.find("wrong_weights", shard_at, why, wrong))
            good, flat[wrong] = good & ~wrong, np.nan
    return BlockState(
        flat=flat,
        good=good,
        table=table,
        findings=tuple(findings),
        num_bytes=len(shard or b"") + len(fragment or b""),
    )
