"""Choose the rows that a page shows: some of every split and class, and both ends of PSNR."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from inrgen.core.spec import InrSpec
from inrgen.store.reader import Store
from inrgen.store.records import encode_texts, is_one_of, is_usable

_KEYS = ["row", "spec_id", "item_id", "split", "label", "psnr_db", "status"]
# More views of an item would leave room for few items.
_MAX_VIEWS = 3
# Rows from each end of PSNR that a page always holds: without the worst it would flatter.
_EXTREMES = 12
_MAX_UNUSABLE = 100
_WEIGHT_BYTES = 32 << 20


def _spread(order: Int[np.ndarray, " n"], num: int) -> Int[np.ndarray, " m"]:
    """At most num entries of order, evenly spaced, the first and the last among them."""
    if num >= len(order):
        return order
    return order[np.linspace(0, len(order) - 1, num).round().astype(int)]


def _rank_within(groups: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """For each entry, the number of entries of the same group before it."""
    order = np.argsort(groups, kind="stable")
    _, starts, lengths = np.unique(groups[order], return_index=True, return_counts=True)
    rank = np.empty(len(groups), dtype=np.int64)
    rank[order] = np.arange(len(groups)) - np.repeat(starts, lengths)
    return rank


def choose_page_rows(
    store: Store, spec: InrSpec, num: int, among: Sequence[int] | None = None
) -> list[int]:
    """Choose at most num rows that hold weights and 100 others, in the order of the store.

    Where the store holds more, the page gets up to three views of items that are evenly spread
    over splits, classes and PSNR, and the rows of the highest and lowest PSNR. Fewer than num rows
    are chosen where their weights would take over 32 MB.

    among: the rows to choose from; None takes all.

    Raises ValueError for a store without any row of this spec.
    """
    num = max(1, min(num, _WEIGHT_BYTES // (4 * spec.num_params)))
    table = store.read_records(_KEYS)
    of_spec = np.flatnonzero(is_one_of(table["spec_id"], [spec.spec_id]))
    rows = table["row"].to_numpy()
    if among is not None:
        of_spec = of_spec[np.isin(rows[of_spec], among)]
    of_spec = of_spec[np.argsort(rows[of_spec])]
    if not len(of_spec):
        raise ValueError(f"{store.path} has no rows yet, so there is nothing to show")
    usable = is_usable(table["status"])[of_spec]
    others, kept = _spread(of_spec[~usable], _MAX_UNUSABLE), of_spec[usable]
    if len(kept) > num:
        psnr = table["psnr_db"].to_numpy()[kept]
        items, splits = (encode_texts(table[name])[1][kept] for name in ("item_id", "split"))
        labels = table["label"].to_numpy()[kept]
        kept = kept[_choose(num, psnr, items, splits, labels)]
    return np.union1d(rows[kept], rows[others]).tolist()


def _choose(
    num: int,
    psnr_db: np.ndarray,
    items: Int[np.ndarray, " n"],
    splits: Int[np.ndarray, " n"],
    labels: Int[np.ndarray, " n"],
) -> Int[np.ndarray, " m"]:
    """Places of at most num of n rows: views of evenly spread items, and the ends of PSNR."""
    by_psnr = np.argsort(psnr_db, kind="stable")
    ends = min(_EXTREMES, num // 8)
    extremes = np.concatenate([by_psnr[:ends], by_psnr[len(by_psnr) - ends :]])
    _, first, views = np.unique(items, return_index=True, return_counts=True)
    num_views = min(_MAX_VIEWS, int(views.max()))
    # the last key counts most
    ordered = first[np.lexsort((psnr_db[first], labels[first], splits[first]))]
    shown = items[_spread(ordered, max(1, (num - 2 * ends) // num_views))]
    of_items = np.flatnonzero(np.isin(items, shown) & (_rank_within(items) < num_views))
    chosen = np.union1d(of_items, extremes)[:num]
    # views that items lack, and extremes among them, leave room
    rest = np.setdiff1d(by_psnr, chosen)
    return np.union1d(chosen, _spread(rest, num - len(chosen))) if len(chosen) < num else chosen
