"""Records: one row of facts for every row of weights, as dataclass and as Arrow table.

FitRecord is the only description of the columns. The Arrow schema, the meanings that data cards
print and the table in README.md all follow from its annotations.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, get_args, get_type_hints

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from jaxtyping import Bool

from inrgen.core.config import Split

FitStatus = Literal["ok", "below_target", "non_finite", "bad_input"]

# Rows with any other status are NaN.
USABLE_STATUSES: tuple[FitStatus, ...] = ("ok", "below_target")


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """Arrow type and meaning of one column of the records, with its unit where it has one."""

    arrow: pa.DataType
    meaning: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FitRecord:
    """Origin and quality of one row of weights.

    Each annotation holds the meaning and unit of its field. The last six fields describe
    shapes, and sounds have the last two; other signals leave them at NaN, "" or ().
    """

    item_id: Annotated[str, "Item that the row was fitted to, such as train/00017."]
    view: Annotated[int, "Number of the fit among the item's fits; each starts from other weights."]
    row: Annotated[int, "Row of the weights in the params array of its spec."]
    spec_id: Annotated[
        str, "Group that holds the weights; it stands for architecture and conventions."
    ]
    split: Annotated[Split, "train, val or test."]
    label: Annotated[int, "Class of the item; -1 for none."]
    label_name: Annotated[str, "Name of the class; empty for none."]
    source_sha256: Annotated[str, "SHA-256 of the decoded signal; empty if it could not be read."]
    seed: Annotated[int, "Seed of the whole build."]
    engine: Annotated[str, "Implementation that fitted the row: torch, cpu or gpu."]
    num_steps: Annotated[int, "Optimiser updates made."]
    final_loss: Annotated[float, "Mean squared error at the last step, in squared value units."]
    psnr_db: Annotated[float, "PSNR of the stored weights, in dB; NaN if not measured."]
    iou: Annotated[
        float, "Intersection over union of a shape's inside, 0 to 1; NaN if not measured."
    ]
    status: Annotated[
        FitStatus, "ok and below_target hold weights; non_finite and bad_input hold NaN."
    ]
    reason: Annotated[str, "Sentence that explains any status but ok."]
    duration_s: Annotated[float, "Seconds of computing that the row took."]
    grid: Annotated[
        tuple[int, ...],
        "Shape of the signal's grid, (rows, columns) for images; empty for points.",
    ]
    near_error: Annotated[
        float, "Mean absolute error of the value near a shape's surface; distances in INR units."
    ] = math.nan
    chamfer: Annotated[
        float,
        "Mean distance between the surfaces of INR and mesh, both ways averaged, as a share of the "
        "diagonal of the mesh's bounding box; NaN if the INR has no surface.",
    ] = math.nan
    sign_method: Annotated[
        str, "Method that told a shape's inside from its outside; empty for images."
    ] = ""
    sign_trust: Annotated[
        float, "Share of the mesh's area, 0 to 1, where inside and outside are certain."
    ] = math.nan
    center: Annotated[
        tuple[float, ...],
        "Point of the item's file that became the origin: x = (file - center) * scale. Meshes have "
        "the units of their files, sounds seconds.",
    ] = ()
    scale: Annotated[
        float, "INR coordinate units for each unit of a mesh's file, or each second of a sound."
    ] = math.nan

    def __post_init__(self) -> None:
        if self.status not in get_args(FitStatus):
            raise ValueError(f"status must be one of {get_args(FitStatus)}; got {self.status!r}")
        if self.split not in get_args(Split):
            raise ValueError(f"split must be one of {get_args(Split)}; got {self.split!r}")
        if self.view < 0 or self.row < 0:
            raise ValueError(f"view and row must not be negative; got {self.view}, {self.row}")


# Texts and literals, which are all others, are strings.
_ARROW_TYPES: dict[Any, pa.DataType] = {
    int: pa.int64(),
    float: pa.float64(),
    tuple[int, ...]: pa.list_(pa.int32()),
    tuple[float, ...]: pa.list_(pa.float64()),
}


def _column(name: str, hint: Any) -> Column:
    kind, meaning = get_args(hint)
    # narrower than other integers since version 1 of the format
    arrow = pa.int32() if name == "view" else _ARROW_TYPES.get(kind, pa.string())
    return Column(arrow=arrow, meaning=meaning)


_FIT_COLUMNS: dict[str, Column] = {
    name: _column(name, hint)
    for name, hint in get_type_hints(FitRecord, include_extras=True).items()
}
_DERIVED_COLUMNS: dict[str, Column] = {
    "parent_row": Column(
        arrow=pa.int64(), meaning="Row of the parent store that this row was made from."
    ),
    "operation": Column(
        arrow=pa.string(), meaning="Operation on the parent's row: align or augment."
    ),
    "draw": Column(
        arrow=pa.binary(),
        meaning="Random choice of the operation, as bytes that replay it; empty for a NaN parent.",
    ),
}


def _schema(columns: dict[str, Column]) -> pa.Schema:
    return pa.schema([pa.field(name, c.arrow, nullable=False) for name, c in columns.items()])


FIT_SCHEMA = _schema(_FIT_COLUMNS)
DERIVED_SCHEMA = _schema(_FIT_COLUMNS | _DERIVED_COLUMNS)


def column_fault(found: pa.Schema, derived: bool) -> str:
    """Return what is wrong with the columns of a table of records; "" for nothing."""
    wanted = DERIVED_SCHEMA if derived else FIT_SCHEMA
    missing = [field.name for field in wanted if field.name not in found.names]
    if missing:
        return f"it lacks the columns {', '.join(missing)}"
    for field in wanted:
        if found.field(field.name).type != field.type:
            return f"column {field.name} must be {field.type}; got {found.field(field.name).type}"
    return ""


def record_columns() -> dict[str, Column]:
    """Return every column by name, in order; derived stores alone have the last three."""
    return _FIT_COLUMNS | _DERIVED_COLUMNS


def usable_rows() -> ds.Expression:
    """Return the condition on records that keeps the rows that hold weights."""
    return ds.field("status").isin(list(USABLE_STATUSES))


def is_one_of(column: pa.Array | pa.ChunkedArray, wanted: Sequence[str]) -> Bool[np.ndarray, " r"]:
    """Mark the rows of a text column that hold one of some texts.

    Only the distinct texts become Python objects, so millions of rows stay cheap.
    """
    texts, codes = encode_texts(column)
    return np.array([text in wanted for text in texts], dtype=bool)[codes]


def is_usable(statuses: pa.Array | pa.ChunkedArray) -> Bool[np.ndarray, " r"]:
    """Mark the rows that hold weights, given the status column of their records."""
    return is_one_of(statuses, USABLE_STATUSES)


def encode_texts(column: pa.Array | pa.ChunkedArray) -> tuple[list[str], Any]:
    """Return the distinct texts of a column and, for each row, the index of its text: (r,)."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    coded = whole.dictionary_encode()
    return coded.dictionary.to_pylist(), coded.indices.to_numpy(zero_copy_only=False)


def records_to_table(records: Sequence[FitRecord]) -> pa.Table:
    """Convert records to an Arrow table of FIT_SCHEMA, in order."""
    columns = {
        field.name: pa.array([getattr(record, field.name) for record in records], field.type)
        for field in FIT_SCHEMA
    }
    return pa.table(columns, schema=FIT_SCHEMA)


def table_to_records(table: pa.Table) -> list[FitRecord]:
    """Convert a table back to records, the inverse of records_to_table."""
    rows = table.select([field.name for field in fields(FitRecord)]).to_pylist()
    return [
        FitRecord(**{**row, "grid": tuple(row["grid"]), "center": tuple(row["center"])})
        for row in rows
    ]
