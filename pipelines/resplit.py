"""Copies of a store that divide its items anew into train, val and test."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from inrgen.core.config import Split
from inrgen.jobs.derive import DerivePlan, ensure_store, plan_derivation
from inrgen.store.derivation import ByteRows, DerivedRecords, derived_table
from inrgen.store.reader import Store, open_store
from inrgen.store.rows import RowRun
from inrgen.store.writer import StagedBlock, StoreWriter, stage_block

Splits = Mapping[str, Split]


def resplit(
    given: Path,
    out: Path,
    operation: str,
    parameters: Mapping[str, Any],
    choose: Callable[[Store], Splits],
) -> Path:
    """Copy a store with new splits for some of its items; a second call resumes or locks nothing.

    Args:
        given: the finished store.
        out: the folder of the copy.
        operation, parameters: name and facts of the division, for the copy's lineage.
        choose: returns the new split of each item that gets one, from the given store.

    Raises:
        ValueError: the store is not finished or has several architectures; choose refuses it; or
            out holds another store.
        StoreBusy: another process is writing the copy.
        OSError: the copy cannot be written.
    """
    plan = plan_derivation(given, out, operation, 1, dict(parameters))
    # Before the copy exists: what choose refuses leaves no store behind.
    chosen = choose(plan.parent)
    ensure_store(plan, dict)
    if is_whole(out):
        return out
    spec_id = plan.parent.spec.spec_id
    with StoreWriter(out) as writer:
        for block in writer.pending(spec_id):
            writer.commit(_moved_block(plan, operation, spec_id, block, chosen))
        writer.finish()
    return out


def is_whole(path: Path) -> bool:
    """Tell whether a store exists with all of its blocks."""
    try:
        store = open_store(path)
    except FileNotFoundError:
        return False
    return all(len(store.committed(of)) == lay.num_blocks for of, lay in store.layouts.items())


def _moved_block(
    plan: DerivePlan, operation: str, spec_id: str, block: int, chosen: Splits
) -> StagedBlock:
    """Stage a block of the same weights, with the chosen splits in its records."""
    run = RowRun(plan.parent.path, spec_id, plan.parent.layouts[spec_id].block_rows(block))
    num = len(run.rows)
    table = derived_table(
        run.table,
        DerivedRecords(
            operation=operation,
            copies=1,
            draws=ByteRows.from_strings([b""] * num),
            failed=np.zeros(num, dtype=bool),
            keeps_function=True,
        ),
    )
    items, splits = (table[name].to_pylist() for name in ("item_id", "split"))
    moved = [chosen.get(item, split) for item, split in zip(items, splits, strict=True)]
    # In place of the old column, so that the schema of records stays the same.
    at = table.schema.get_field_index("split")
    table = table.set_column(at, table.schema.field(at), [moved])
    return stage_block(plan.out, spec_id, block, run.read(run.rows), table)
