"""Tables of plain columns in files that others open: Parquet or CSV.

The file sits here because pyarrow is fenced into the store and the exchange.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from inrgen.core.atomic import write_whole

SUFFIXES = (".parquet", ".csv")


def check_table_path(out: Path) -> None:
    """Raise ValueError for a suffix that write_table does not know."""
    if out.suffix.lower() not in SUFFIXES:
        raise ValueError(f"out must end in {' or '.join(SUFFIXES)}; got {str(out)!r}")


def write_table(columns: Mapping[str, Sequence[Any]], out: Path) -> None:
    """Write columns of one length in the format of out's suffix, whole or not at all."""
    check_table_path(out)
    table = pa.table({name: list(values) for name, values in columns.items()})
    is_csv = out.suffix.lower() == ".csv"
    write = pyarrow.csv.write_csv if is_csv else pyarrow.parquet.write_table
    write_whole(out, lambda staged: write(table, staged))
