"""The list of items of a store that has grown, in the order of its rows.

Rows of a store that was built at once follow the order of its source. A store that has grown has
the new items after the old ones, so only a list tells which item a lost block had. Items keep
their split and class number as they were listed first.
"""

from collections.abc import Iterable, Iterator

import pyarrow as pa

from inrgen.core.config import Split, digest_items
from inrgen.store.files.protocol import Files
from inrgen.store.fragment import encode_parquet, open_parquet
from inrgen.store.layout import ITEMS
from inrgen.store.metadata import StoreFacts

_SCHEMA = pa.schema(
    [
        ("item_id", pa.string()),
        ("split", pa.string()),
        ("label", pa.int64()),
        ("label_name", pa.string()),
    ]
)
# Item, split, label and name of the label.
ListedItem = tuple[str, Split, int, str]


def items_key(facts: StoreFacts) -> str:
    """Return the key of a store's list of items, whose name follows from their digest."""
    return f"{ITEMS}/{facts.identity['items']['sha256'][:32]}.parquet"


def encode_items(items: Iterable[tuple[str, str, int, str]]) -> bytes:
    """Return the file of a list of items."""
    columns = zip(*items, strict=True)
    arrays = [pa.array(column, of.type) for column, of in zip(columns, _SCHEMA, strict=True)]
    return encode_parquet([pa.table(arrays, schema=_SCHEMA)], _SCHEMA, dict)


def read_items(files: Files, facts: StoreFacts) -> Iterator[ListedItem]:
    """Read the list of items; the caller compares their digest.

    Raises FileNotFoundError if it is lost, and ValueError if it is damaged.
    """
    file, _ = open_parquet(files.map(items_key(facts)).data)
    if file.schema_arrow.names != _SCHEMA.names:
        raise ValueError(f"it must have the columns {', '.join(_SCHEMA.names)}")
    for batch in file.iter_batches():
        yield from _rows(batch)


def _rows(table: pa.Table | pa.RecordBatch) -> Iterator[ListedItem]:
    return zip(*(table[name].to_pylist() for name in _SCHEMA.names), strict=True)


def items_fault(files: Files, facts: StoreFacts) -> str:
    """The fault of the list of items, in words that follow the file's name; "" if there is none."""
    try:
        found = digest_items(item[:3] for item in read_items(files, facts))
    except FileNotFoundError:
        return "it is lost"
    except ValueError as error:
        return str(error)
    return "" if found == facts.identity["items"]["sha256"] else "it lists other items"


def remake_items(facts: StoreFacts, tables: Iterable[pa.Table]) -> bytes | None:
    """The file of a store's list of items from its records; None if they are of other items.

    Args:
        tables: records of each item's first view, in the order of rows.
    """
    items = [item for table in tables for item in _rows(table)]
    if digest_items(item[:3] for item in items) != facts.identity["items"]["sha256"]:
        return None
    return encode_items(items)
