"""Save what is good of a damaged block, so that a repair fits only the rest again."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32

from inrgen.store.check_block import inspect_block
from inrgen.store.documents import sound_facts
from inrgen.store.files.protocol import open_files
from inrgen.store.records import FitRecord, table_to_records


@dataclass(frozen=True, kw_only=True, slots=True)
class Salvage:
    """What is left of a block.

    flat: the weights of its rows, bit for bit where they are good, NaN where they are not.
    good: the rows whose weights are as they were written.
    records: one a row, if they are whole; None otherwise.
    """

    flat: Float32[np.ndarray, "r p"]
    good: Bool[np.ndarray, " r"]
    records: tuple[FitRecord, ...] | None


def salvage_block(path: str | Path, spec_id: str, block: int) -> Salvage:
    """Read a block that may be damaged or half there. Raises as verify_store does."""
    facts = sound_facts(path)
    if spec_id not in facts.specs:
        raise ValueError(f"spec_id must be one of {sorted(facts.specs)}; got {spec_id!r}")
    state = inspect_block(open_files(path), facts, spec_id, block)
    records = None if state.table is None else tuple(table_to_records(state.table))
    return Salvage(flat=state.flat, good=state.good, records=records)
