"""What is known of each row: records, and their form in Arrow."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
from jaxtyping import Bool

from inrgen.core.splits import Split
from inrgen.store.byte_rows import ByteRows

FitStatus = Literal["ok", "below_target", "non_finite", "bad_input"]

# The statuses whose rows hold weights; the rows of the others are NaN.
USABLE_STATUSES: tuple[FitStatus, ...] = ("ok", "below_target")


@dataclass(frozen=True, kw_only=True, slots=True)
class FitRecord:
    """Which signal became which row, how, and how well.

    row: within the array of its spec.
    label, label_name: -1 and "" where there is none.
    source_sha256: of the decoded signal; "" where it could not be read.
    final_loss: mean squared error at the last step, in squared value units.
    psnr_db, iou: of the weights as stored; NaN where not measured.
    status: "ok" and "below_target" hold weights, "non_finite" and "bad_input" hold NaN.
    reason: a sentence for any status but "ok".
    grid: the shape of the signal's grid, (rows, columns) for images; () for loose points.

    Of shapes alone; NaN, "" or () elsewhere:
    near_error: mean absolute error of the value near the surface; of a distance in coordinate
        units.
    chamfer: mean distance between the INR's surface and the mesh, averaged over both ways, as a
        share of the diagonal of the mesh's bounding box; NaN where the INR has no surface.
    sign_method, sign_trust: how inside was told from outside, and the share of the surface that
        parts the two beyond doubt.
    center, scale: how the file's coordinates became the INR's: x = (file - center) * scale.
    """

    item_id: str
    view: int
    row: int
    spec_id: str
    split: Split
    label: int
    label_name: str
    source_sha256: str
    seed: int
    engine: str
    num_steps: int
    final_loss: float
    psnr_db: float
    iou: float
    status: FitStatus
    reason: str
    duration_s: float
    grid: tuple[int, ...]
    near_error: float = math.nan
    chamfer: float = math.nan
    sign_method: str = ""
    sign_trust: float = math.nan
    center: tuple[float, ...] = ()
    scale: float = math.nan

    def __post_init__(self) -> None:
        if self.status not in get_args(FitStatus):
            raise ValueError(f"status must be one of {get_args(FitStatus)}; got {self.status!r}")
        if self.split not in get_args(Split):
            raise ValueError(f"split must be one of {get_args(Split)}; got {self.split!r}")
        if self.view < 0 or self.row < 0:
            raise ValueError(f"view and row must not be negative; got {self.view}, {self.row}")


FIT_SCHEMA = pa.schema(
    [
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("view", pa.int32(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("spec_id", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("label", pa.int64(), nullable=False),
        pa.field("label_name", pa.string(), nullable=False),
        pa.field("source_sha256", pa.string(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("engine", pa.string(), nullable=False),
        pa.field("num_steps", pa.int64(), nullable=False),
        pa.field("final_loss", pa.float64(), nullable=False),
        pa.field("psnr_db", pa.float64(), nullable=False),
        pa.field("iou", pa.float64(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("duration_s", pa.float64(), nullable=False),
        pa.field("grid", pa.list_(pa.int32()), nullable=False),
        pa.field("near_error", pa.float64(), nullable=False),
        pa.field("chamfer", pa.float64(), nullable=False),
        pa.field("sign_method", pa.string(), nullable=False),
        pa.field("sign_trust", pa.float64(), nullable=False),
        pa.field("center", pa.list_(pa.float64()), nullable=False),
        pa.field("scale", pa.float64(), nullable=False),
    ]
)

DERIVED_SCHEMA = pa.schema(
    [
        *FIT_SCHEMA,
        pa.field("parent_row", pa.int64(), nullable=False),
        pa.field("operation", pa.string(), nullable=False),
        pa.field("draw", pa.binary(), nullable=False),
    ]
)
# What one array of binary strings may hold.
_MOST_BYTES = 2**31 - 1
# What was measured of the parent's function, which need not be that of a changed row.
_MEASURED = ("psnr_db", "iou", "near_error", "chamfer")


@dataclass(frozen=True, kw_only=True, slots=True)
class DerivedRecords:
    """What records of a run of derived rows say beyond those of their parents.

    All else they repeat, so that item, label, split, seed and engine tell of the fit that a row
    came of; duration_s is 0, as nothing was fitted.

    copies: rows of each parent row, one after the other.
    draws: one a row, as bytes that replay it on the parent's row; b"" where the parent is NaN.
    failed: the rows that the operation turned into something that is not finite.
    keeps_function: whether rows compute what their parents do; where they do not, PSNR and its
        kin are NaN, as they were not measured anew.
    """

    operation: str
    copies: int
    draws: ByteRows
    failed: Bool[np.ndarray, " r"]
    keeps_function: bool


def binary_array(strings: ByteRows) -> pa.Array | pa.ChunkedArray:
    """Strings of bytes as Arrow has them, in several arrays where one may not hold so many."""
    if strings.starts[-1] > _MOST_BYTES:
        return pa.array(list(strings), pa.binary())
    starts = pa.py_buffer(strings.starts.astype(np.int32))
    data = pa.py_buffer(np.ascontiguousarray(strings.data))
    return pa.Array.from_buffers(pa.binary(), len(strings), [None, starts, data])


def derived_table(parents: pa.Table, said: DerivedRecords) -> pa.Table:
    """The records of the rows that a run of parent rows became, as a table of DERIVED_SCHEMA."""
    copies = said.copies
    repeated = parents.select(FIT_SCHEMA.names)
    if copies > 1:
        repeated = repeated.take(np.repeat(np.arange(parents.num_rows), copies))
    columns: dict[str, Any] = {name: repeated[name] for name in FIT_SCHEMA.names}
    parent_row, num = columns["row"].to_numpy(), repeated.num_rows
    copy = np.arange(num) % copies
    columns["row"] = parent_row * copies + copy
    columns["view"] = columns["view"].to_numpy() * copies + copy
    columns["duration_s"] = np.zeros(num)
    if not said.keeps_function:
        columns |= {name: np.full(num, np.nan) for name in _MEASURED}
    if said.failed.any():
        why = f"{said.operation} turned it into something that is not finite"
        for name, text in (("status", "non_finite"), ("reason", why)):
            old = np.array(columns[name].to_pylist(), dtype=object)
            columns[name] = np.where(said.failed, text, old)
    columns["parent_row"] = parent_row
    columns["operation"] = pa.repeat(said.operation, num)
    columns["draw"] = binary_array(said.draws)
    return pa.table(
        {
            field.name: pa.array(columns[field.name], field.type)
            if isinstance(columns[field.name], np.ndarray)
            else columns[field.name]
            for field in DERIVED_SCHEMA
        },
        schema=DERIVED_SCHEMA,
    )


def records_to_table(records: Sequence[FitRecord]) -> pa.Table:
    """Records as an Arrow table of FIT_SCHEMA, in order."""
    return pa.table(
        {
            field.name: pa.array([getattr(r, field.name) for r in records], field.type)
            for field in FIT_SCHEMA
        },
        schema=FIT_SCHEMA,
    )


def table_to_records(table: pa.Table) -> list[FitRecord]:
    """The inverse of records_to_table."""
    names = [field.name for field in fields(FitRecord)]
    rows = table.select(names).to_pylist()
    return [
        FitRecord(**{**row, "grid": tuple(row["grid"]), "center": tuple(row["center"])})
        for row in rows
    ]
