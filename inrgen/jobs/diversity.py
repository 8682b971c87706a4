"""Sample the items of a store, and measure the distances of their views and of strangers."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int

from inrgen.core import rng
from inrgen.core.config import Kind, thorough
from inrgen.core.geometry import grid_coords
from inrgen.core.metrics import DiversityRow, measure_diversity
from inrgen.store.reader import Store
from inrgen.store.records import is_one_of, is_usable

# Points along each axis at which functions are compared, by the number of coordinates.
_SIDES = {1: 256, 2: 28, 3: 12}


@dataclass(frozen=True, kw_only=True, slots=True)
class SpecDiversity:
    """Diversity of one architecture, measured on a sample of num_items items."""

    spec_id: str
    num_items: int
    rows: tuple[DiversityRow, ...]


def sample_views(
    store: Store, spec_id: str, split: str, num_items: int, seed: int
) -> tuple[Int[np.ndarray, " r"], Int[np.ndarray, " r"]]:
    """Sample items of a split ("all" for every split) by their ids and the seed alone.

    Returns:
        The rows of two views of each item, or of its only one, and the number of each row's item.

    Raises ValueError for a split without rows that hold weights.
    """
    table = store.read_records(["item_id", "row", "spec_id", "split", "status"])
    usable = is_usable(table["status"]) & is_one_of(table["spec_id"], [spec_id])
    if split != "all":
        usable &= is_one_of(table["split"], [split])
    if not usable.any():
        raise ValueError(
            f"split must be one with rows of {spec_id} that hold weights; got {split!r}"
        )
    rows = table["row"].to_numpy()[usable]
    ids, items = np.unique(np.array(table["item_id"].to_pylist())[usable], return_inverse=True)
    # Items are ranked by their own keys, so a larger sample contains the smaller one.
    draws = rng.bits(rng.keys(seed, "diversity items", rng.hash_items(ids.tolist())), 1)
    chosen = np.isin(items, draws[:, 0].argsort().numpy()[:num_items])
    rows, items = rows[chosen], items[chosen]
    taken = _two_of_each(items, rng.keys(seed, "diversity views", torch.from_numpy(rows)))
    return rows[taken], items[taken]


def _two_of_each(
    items: Int[np.ndarray, " r"], keys: Int[torch.Tensor, " r"]
) -> Int[np.ndarray, " t"]:
    """Places of two entries of each item, or of its only one, drawn by their keys."""
    # A stable sort keeps the shuffled order within each item.
    shuffled = rng.bits(keys, 1)[:, 0].argsort().numpy()
    order = shuffled[np.argsort(items[shuffled], kind="stable")]
    grouped = items[order]
    return order[np.arange(len(order)) - np.searchsorted(grouped, grouped) < 2]


def measure_store_diversity(
    store: Store, spec_id: str, split: str, kinds: tuple[Kind, ...], num_pairs: int, seed: int
) -> SpecDiversity:
    """Measure one architecture on a sample of as many items as pairs.

    Args:
        kinds: the kinds of matching by which pairs are aligned, each with the thorough search.
    """
    spec = store.specs[spec_id]
    rows, items = sample_views(store, spec_id, split, num_pairs, seed)
    found = measure_diversity(
        spec,
        store.read(rows, spec_id),
        torch.from_numpy(items),
        grid_coords(spec, (_SIDES[spec.d_in],) * spec.d_in),
        tuple(thorough(kind) for kind in kinds),
        num_pairs,
        seed,
    )
    return SpecDiversity(spec_id=spec_id, num_items=len(np.unique(items)), rows=found)
