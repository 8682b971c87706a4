"""Items and labels of a split, and conditions on records for those who may not import Arrow."""

from collections.abc import Sequence

import pyarrow.dataset as ds

from inrgen.store.reader import Store
from inrgen.store.records import USABLE_STATUSES


def split_items(store: Store, spec_id: str, split: str) -> list[str]:
    """The items of a split with at least one row that holds weights, each once, by id."""
    wanted = (ds.field("spec_id") == spec_id) & (ds.field("split") == split)
    table = store.read_records(["item_id"], wanted & ds.field("status").isin(list(USABLE_STATUSES)))
    return sorted(table["item_id"].unique().to_pylist())


def split_labels(store: Store, spec_id: str, split: str) -> dict[int, str]:
    """The labels of a split's rows that hold weights, with their names; -1 is no label."""
    wanted = (ds.field("spec_id") == spec_id) & (ds.field("split") == split)
    wanted &= ds.field("status").isin(list(USABLE_STATUSES))
    table = store.read_records(["label", "label_name"], wanted)
    named = table.group_by(["label", "label_name"]).aggregate([])
    return dict(zip(named["label"].to_pylist(), named["label_name"].to_pylist(), strict=True))


def is_among(
    items: Sequence[str] | None = None, num_views: int | None = None
) -> ds.Expression | None:
    """A condition on records: of these items, among each item's first views; None for neither."""
    wanted = None if num_views is None else ds.field("view") < num_views
    if items is None:
        return wanted
    among = ds.field("item_id").isin(list(items))
    return among if wanted is None else among & wanted
