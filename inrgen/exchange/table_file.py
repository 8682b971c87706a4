"""A table of plain columns as a file that others open: Parquet or CSV."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

SUFFIXES = (".parquet", ".csv")


def check_table_path(out: Path) -> None:
    """Raises ValueError for a file that write_table would not write."""
    if out.suffix.lower() not in SUFFIXES:
        raise ValueError(f"out must end in {' or '.join(SUFFIXES)}; got {str(out)!r}")


def write_table(columns: Mapping[str, Sequence[Any]], out: Path) -> None:
    """Write columns of the same length as the suffix says, all at once; the folder is made."""
    check_table_path(out)
    table = pa.table({name: list(values) for name, values in columns.items()})
    out.parent.mkdir(parents=True, exist_ok=True)
    staged = out.with_name(f"_{out.name}.{os.getpid()}")
    try:
        if out.suffix.lower() == ".csv":
            pyarrow.csv.write_csv(table, staged)
        else:
            pyarrow.parquet.write_table(table, staged)
        staged.replace(out)
    finally:
        staged.unlink(missing_ok=True)
