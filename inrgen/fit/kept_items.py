"""Items of a finished store, in the order of its rows: from its records, or from its list."""

from inrgen.sources.base import Item
from inrgen.store.errors import DamagedStore
from inrgen.store.files.opening import open_files
from inrgen.store.item_list import items_fault, items_key, read_items
from inrgen.store.metadata import read_facts
from inrgen.store.queries import make_filter
from inrgen.store.reader import Store


def read_kept(store: Store) -> tuple[list[Item], list[str]]:
    """The items of a store from its records, and the digest of each one's signal."""
    columns = ["item_id", "split", "label", "label_name", "source_sha256"]
    table = store.read_records(columns, make_filter(num_views=1))
    items = [Item(**row) for row in table.select(columns[:-1]).to_pylist()]
    return items, table["source_sha256"].to_pylist()


def read_listed(store: Store) -> list[Item]:
    """The items of a store that has grown, from its list, which repairs need for lost rows.

    Raises DamagedStore if the list is lost or altered, or is of other items.
    """
    files = open_files(store.path)
    facts = read_facts(files)
    if fault := items_fault(files, facts):
        key = items_key(facts)
        raise DamagedStore(
            f"{store.path} is damaged: {key}: {fault}; without this list nothing tells which items "
            "lost rows had",
            key=key,
        )
    return [
        Item(item_id=item_id, split=split, label=label, label_name=name)
        for item_id, split, label, name in read_items(files, facts)
    ]
