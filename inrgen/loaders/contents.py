"""What a loader serves: the stores, the rows chosen in them and the shares they are held to."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inrgen.core.spec import InrSpec
from inrgen.loaders.keys import read_keys
from inrgen.loaders.quota import Quotas
from inrgen.loaders.samples import ViewChoice
from inrgen.loaders.selection import Selection
from inrgen.store.reader import Store, open_store

Stores = Store | str | Path | Sequence[Store | str | Path]
Views = ViewChoice | Sequence[int]

_MIN_VIEWS = {"all": None, "random": 1, "pairs": 2}


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """What all epochs of a loader are made of.

    spec_ids: of the array read in each store; the specs are the same.
    facts: what a saved position is held to; plain JSON.
    """

    stores: tuple[Store, ...]
    spec_ids: tuple[str, ...]
    spec: InrSpec
    selection: Selection
    choice: ViewChoice
    quotas: Quotas | None
    facts: dict[str, Any]


def _open_all(stores: Stores, spec_id: str | None) -> tuple[tuple[Store, ...], tuple[str, ...]]:
    """The stores, and the array to read in each. Raises ValueError where their specs differ."""
    several = [stores] if isinstance(stores, Store | str | Path) else list(stores)
    if not several:
        raise ValueError("stores needs at least one store; got none")
    opened = tuple(s if isinstance(s, Store) else open_store(s) for s in several)
    spec_ids = tuple(spec_id or store.spec.spec_id for store in opened)
    for store, of in zip(opened, spec_ids, strict=True):
        if of not in store.specs:
            raise ValueError(
                f"spec_id must be one of {sorted(store.specs)} for {store.path}; got {of!r}"
            )
    if len(set(spec_ids)) > 1:
        raise ValueError(f"stores must hold the same spec to be mixed; got {sorted(set(spec_ids))}")
    return opened, spec_ids


def _check_views(views: Views, store: Store, spec_id: str) -> None:
    there = store.layouts[spec_id].views
    if isinstance(views, str):
        if views not in _MIN_VIEWS:
            raise ValueError(f"views must be one of {list(_MIN_VIEWS)} or numbers; got {views!r}")
        return
    if not len(views) or not all(0 <= view < there for view in views):
        raise ValueError(f"views must be numbers in 0..{there - 1}; got {list(views)}")


def _check_weights(weights: Sequence[float] | None, num_stores: int) -> None:
    if weights is not None and (len(weights) != num_stores or not all(w > 0 for w in weights)):
        raise ValueError(
            f"weights needs a positive number for each of {num_stores} stores; got {weights}"
        )


def _check_shares(selection: Selection, stores: Sequence[Store]) -> None:
    """Raise ValueError for a store that has nothing to fill a share of its own with."""
    there = set(selection.shard_stores.tolist())
    for number, store in enumerate(stores):
        if number not in there:
            raise ValueError(
                "weights needs stores with items that can be served; with views='pairs', which "
                f"needs two views of an item, {store.path} has none"
            )


def read_contents(
    stores: Stores,
    *,
    spec_id: str | None,
    split: str,
    views: Views,
    where: Any,
    balance: bool,
    weights: Sequence[float] | None,
) -> Contents:
    """Open the stores and read the key columns of what is asked for; StreamLoader says how."""
    opened, spec_ids = _open_all(stores, spec_id)
    _check_weights(weights, len(opened))
    for store, of in zip(opened, spec_ids, strict=True):
        _check_views(views, store, of)
    choice: ViewChoice = views if isinstance(views, str) else "all"
    keys = [
        read_keys(
            store,
            of,
            split=None if split == "all" else split,
            views=None if isinstance(views, str) else views,
            where=where,
        )
        for store, of in zip(opened, spec_ids, strict=True)
    ]
    layouts = [store.layouts[of] for store, of in zip(opened, spec_ids, strict=True)]
    selection = Selection.of(keys, layouts, _MIN_VIEWS[choice])
    if not selection.num_units:
        raise ValueError("views='pairs' needs items with two views that can be served; none has")
    if weights is not None:
        _check_shares(selection, opened)
    held = balance or weights is not None
    rows = hashlib.sha256()
    for store, of, part in zip(opened, spec_ids, keys, strict=True):
        rows.update(json.dumps([of, store.identity, part.digest()], sort_keys=True).encode())
    return Contents(
        stores=opened,
        spec_ids=spec_ids,
        spec=opened[0].specs[spec_ids[0]],
        selection=selection,
        choice=choice,
        quotas=Quotas(selection, balance=balance, weights=weights) if held else None,
        facts={
            "rows": rows.hexdigest()[:32],
            "num_samples": selection.num_units,
            "views": choice,
            "balance": balance,
            "weights": None if weights is None else [float(w) for w in weights],
        },
    )
