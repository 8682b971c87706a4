"""The key columns of a store: all that the loader keeps in memory of its records."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped

from inrgen.core.rng import hash_items
from inrgen.store.reader import Store
from inrgen.store.records import USABLE_STATUSES

_COLUMNS = ["row", "label", "view", "item_id", "spec_id", "split", "status"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Keys:
    """The rows of one spec of a store that may be served, by row; all columns are (r,).

    items: hash_items of the item ids.
    """

    rows: Int[np.ndarray, " r"]
    labels: Int[np.ndarray, " r"]
    views: Int[np.ndarray, " r"]
    items: Int[np.ndarray, " r"]

    def digest(self) -> str:
        """A fingerprint of which rows of which items these are."""
        state = hashlib.blake2b(digest_size=16)
        for column in (self.rows, self.items):
            state.update(column.tobytes())
        return state.hexdigest()


def _texts(column: Any) -> tuple[list[str], Int[np.ndarray, " r"]]:
    """A column of texts as the few different ones and, for each row, which it is."""
    coded = column.dictionary_encode()
    return coded.dictionary.to_pylist(), coded.indices.to_numpy(zero_copy_only=False)


def _is_one_of(column: Any, wanted: Sequence[str]) -> Shaped[np.ndarray, " r"]:
    texts, codes = _texts(column)
    return np.array([text in wanted for text in texts], dtype=bool)[codes]


def read_keys(
    store: Store,
    spec_id: str,
    *,
    split: str | None,
    views: Sequence[int] | None,
    where: Any,
) -> Keys:
    """Read the key columns of the rows that hold weights and are asked for.

    Args:
        split: one split; None takes all.
        views: those of each item; None takes all.
        where: an expression of pyarrow.dataset over any columns of the records.

    Raises ValueError where no row is left, DamagedStore where records are not as they were written.
    """
    columns: list[tuple[np.ndarray, ...]] = []
    splits: set[str] = set()
    for batch in store.records.to_batches(columns=_COLUMNS, filter=where):
        if not batch.num_rows:
            continue
        splits.update(_texts(batch.column("split"))[0])
        keep = _is_one_of(batch.column("status"), USABLE_STATUSES)
        keep &= _is_one_of(batch.column("spec_id"), [spec_id])
        if split is not None:
            keep &= _is_one_of(batch.column("split"), [split])
        view = batch.column("view").to_numpy()
        if views is not None:
            keep &= np.isin(view, np.asarray(views))
        item_ids, codes = _texts(batch.column("item_id"))
        items = hash_items(item_ids).numpy()[codes]
        row, label = batch.column("row").to_numpy(), batch.column("label").to_numpy()
        columns.append((row[keep], label[keep], view[keep], items[keep]))
    joined = [np.concatenate(parts) for parts in zip(*columns, strict=True)]
    if not joined or not len(joined[0]):
        raise ValueError(
            f"no row of {store.path} is left to serve: split={split!r}, "
            f"views={'all' if views is None else list(views)}, where={where}; "
            f"the splits there are {sorted(splits)}"
        )
    order = np.argsort(joined[0], kind="stable")
    row, label, view, items = (column[order] for column in joined)
    return Keys(rows=row, labels=label, views=view, items=items)
