"""The list of items of a store that has grown, in the order of its rows.

Rows of a store that was built at once follow the order of its source. A store that has grown has
the new items after the old ones, so only a list tells which item a lost block had. Items keep
their split and class number as they were listed first.
"""

from collections.abc import Iterable, Iterator

import pyarrow as pa

from inrgen.core.config import Split
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


def read_items(files: Files, key: str) -> Iterator[ListedItem]:
    """Read the list of items; the caller compares their digest.

    Raises FileNotFoundError if it is lost, and ValueError if it is damaged.
    """
    table = open_parquet(files.read(key))[0].read()
    if table.schema.names != _SCHEMA.names:
        raise ValueError(f"it must have the columns {', '.join(_SCHEMA.names)}")
    yield from zip(*(table[name].to_pylist() for name in _SCHEMA.names), strict=True)
