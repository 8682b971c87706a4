"""The records of a few rows by number, without reading those of all."""

from collections.abc import Sequence
from typing import Any

import pyarrow.dataset as ds

from inrgen.store.reader import Store
from inrgen.store.records import USABLE_STATUSES


def served_records(
    store: Store, rows: Sequence[int], spec_id: str, columns: Sequence[str]
) -> list[dict[str, Any]]:
    """What the records say of rows that hold weights, in the order asked for; rows may repeat.

    Raises ValueError for a row that the store does not hold, or whose weights are NaN.
    """
    wanted = (ds.field("spec_id") == spec_id) & ds.field("row").isin(list(rows))
    needed = list(dict.fromkeys([*columns, "row", "status", "reason"]))
    table = store.read_records(needed, wanted)
    by_row = {record["row"]: record for record in table.to_pylist()}
    for row in rows:
        if row not in by_row:
            raise ValueError(f"row must be one that the store holds; got {row}")
        found = by_row[row]
        if found["status"] not in USABLE_STATUSES:
            raise ValueError(f"row {row} holds no weights: {found['status']}, {found['reason']}")
    return [by_row[row] for row in rows]
