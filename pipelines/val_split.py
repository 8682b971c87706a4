"""Validation split for data sets that ship only train and test."""

from collections.abc import Set
from pathlib import Path

import numpy as np

from inrgen.core import rng
from inrgen.jobs.derive import DerivePlan, ensure_store, plan_derivation
from inrgen.store.derivation import ByteRows, DerivedRecords, derived_table
from inrgen.store.queries import read_items
from inrgen.store.reader import open_store
from inrgen.store.rows import RowRun
from inrgen.store.writer import StagedBlock, StoreWriter, stage_block

OPERATION = "val-split"
# One training item in this many becomes validation.
_VAL_SHARE = 6


def with_val(given: Path, out: Path) -> Path:
    """Copy a store with one training item in six, by the hash of its id, as validation.

    An epoch must be chosen without the test items. Where the hashes choose no item, or all, the
    item with the smallest hash is taken. A second call resumes, or finds the copy finished and
    locks nothing.

    Args:
        given: the finished store.
        out: the folder of the copy.

    Raises:
        ValueError: the store is not finished, has fewer than two training items, or has several
            architectures; or out holds another store.
        StoreBusy: another process is writing the copy.
        OSError: the copy cannot be written.
    """
    plan = plan_derivation(given, out, OPERATION, 1, {"one_in": _VAL_SHARE})
    spec_id = plan.parent.spec.spec_id
    if _is_early_format(plan, out):
        return out
    chosen = _val_items(read_items(plan.parent, spec_id, "train"), given)
    ensure_store(plan, dict)
    if is_whole(out):
        return out
    with StoreWriter(out) as writer:
        for block in writer.pending(spec_id):
            writer.commit(_moved_block(plan, spec_id, block, chosen))
        writer.finish()
    return out


def is_whole(path: Path) -> bool:
    """Tell whether a store exists with all of its blocks."""
    try:
        store = open_store(path)
    except FileNotFoundError:
        return False
    return all(len(store.committed(of)) == lay.num_blocks for of, lay in store.layouts.items())


def _is_early_format(plan: DerivePlan, out: Path) -> bool:
    """Tell whether out holds the same rows, written before such stores recorded their parent.

    Raises ValueError where that store has no validation item, as small ones might.
    """
    noted = {"val_of": plan.derivation.parent_sha256, "one_in": _VAL_SHARE}
    if not is_whole(out) or open_store(out).identity != noted:
        return False
    if not read_items(open_store(out), plan.parent.spec.spec_id, "val"):
        raise ValueError(
            f"{out} was made without a validation item by an earlier version; remove it, and "
            "everything derived from it"
        )
    return True


def _val_items(training: list[str], given: Path) -> Set[str]:
    """Choose the items that become validation: some of the training items, never all."""
    if len(training) < 2:
        raise ValueError(
            f"a validation split needs two training items that hold weights; {given} has "
            f"{len(training)}"
        )
    hashes = rng.hash_items(training)
    share = {
        item for item, at in zip(training, hashes.tolist(), strict=True) if not at % _VAL_SHARE
    }
    return share if 0 < len(share) < len(training) else {training[int(hashes.argmin())]}


def _moved_block(plan: DerivePlan, spec_id: str, block: int, chosen: Set[str]) -> StagedBlock:
    """Stage a block of the same weights, with the chosen items recorded as validation."""
    run = RowRun(plan.parent.path, spec_id, plan.parent.layouts[spec_id].block_rows(block))
    num = len(run.rows)
    table = derived_table(
        run.table,
        DerivedRecords(
            operation=OPERATION,
            copies=1,
            draws=ByteRows.from_strings([b""] * num),
            failed=np.zeros(num, dtype=bool),
            keeps_function=True,
        ),
    )
    items, splits = (table[name].to_pylist() for name in ("item_id", "split"))
    moved = [
        "val" if split == "train" and item in chosen else split
        for item, split in zip(items, splits, strict=True)
    ]
    # In place of the old column, so that the schema of records stays the same.
    at = table.schema.get_field_index("split")
    table = table.set_column(at, table.schema.field(at), [moved])
    return stage_block(plan.out, spec_id, block, run.read(run.rows), table)
