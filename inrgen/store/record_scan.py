"""Scan the records of a store in the order of its rows: open each file once, check it, let it go.

A data set of pyarrow keeps the footer of every file, 70 kB each, and reads it again for the rows.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.dataset as ds

from inrgen.store.errors import DamagedStore, ServerFailed
from inrgen.store.files.protocol import Files
from inrgen.store.index import check_record_file, records_tag
from inrgen.store.layout import RECORDS
from inrgen.store.metadata import StoreFacts, find_growth
from inrgen.store.parallel import map_ahead
from inrgen.store.records import DERIVED_SCHEMA, FIT_SCHEMA

# Threads that decode records. Each holds a row group or two, so more would cost memory.
_MAX_THREADS = 4


def records_format() -> ds.ParquetFileFormat:
    """Return the format of record files, with page checksums verified."""
    # off by default in pyarrow: a flipped bit would give wrong labels silently
    checked = ds.ParquetFragmentScanOptions(page_checksum_verification=True)
    return ds.ParquetFileFormat(default_fragment_scan_options=checked)


def records_schema(facts: StoreFacts) -> pa.Schema:
    """Return the columns of a store's records."""
    return FIT_SCHEMA if facts.derivation is None else DERIVED_SCHEMA


def check_records(
    location: object, facts: StoreFacts, key: str, fragment: ds.ParquetFileFragment
) -> None:
    """Raise DamagedStore unless a file has the rows and columns that its name promises."""
    check_record_file(location, facts, key, fragment.metadata)
    # page checksums do not cover column names, and pyarrow reads nulls for a broken name
    foreign = set(fragment.physical_schema.names) - set(records_schema(facts).names)
    if foreign:
        raise DamagedStore(f"{location} is damaged: {key} has a column {min(foreign)!r}", key=key)


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordScan:
    """Some columns of the records in some files, table by table.

    Attributes:
        keys: fragments and index files, in the order of their rows.
        where: condition on any columns; None takes every row.
    """

    files: Files
    facts: StoreFacts
    keys: Sequence[str]
    columns: Sequence[str]
    where: ds.Expression | None

    def tables(self) -> Iterator[pa.Table]:
        """Yield tables in the order of rows; their number of rows is that of a row group at most.

        Raises DamagedStore for a file of other blocks, of another store, with a foreign column, or
        with a page that does not match its checksum.
        """
        num = min(_MAX_THREADS, os.cpu_count() or 1)
        pool = ThreadPoolExecutor(num, "inrgen-records")
        try:
            groups = (
                group
                for file in map_ahead(pool, self._open, self.keys, num + 1)
                for group in file.split_by_row_group()
            )
            yield from map_ahead(pool, self._read, groups, num + 1)
        except ServerFailed:
            raise
        except (DamagedStore, OSError, pa.ArrowException) as error:
            # an append removes fragments of the version before, which this scan may not have read
            if find_growth(self.files, self.facts) is not None:
                raise ValueError(
                    f"{self.files.location} has grown since it was opened; open it again for "
                    "records"
                ) from error
            if isinstance(error, DamagedStore):
                raise
            raise DamagedStore(
                f"{self.files.location} is damaged: records cannot be read ({error}); "
                "`inrgen verify` says which",
                key=RECORDS,
            ) from error
        finally:
            # also where the caller stops early
            pool.shutdown(cancel_futures=True)
            # Arrow would keep the memory of the largest tables
            pa.default_memory_pool().release_unused()

    def tag(self) -> str:
        """Return a text that changes with any of the files; "" where that cannot be told."""
        return records_tag(self.files, self.facts, self.keys)

    def _open(self, key: str) -> ds.ParquetFileFragment:
        file = self.files.arrow().open_input_file(key)
        fragment = records_format().make_fragment(file)
        check_records(self.files.location, self.facts, key, fragment)
        return fragment

    def _read(self, group: ds.ParquetFileFragment) -> pa.Table:
        # one thread each: row groups are decoded side by side
        return group.to_table(
            schema=records_schema(self.facts),
            columns=list(self.columns),
            filter=self.where,
            use_threads=False,
        )
