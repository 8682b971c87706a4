"""Index of a loader: its stores, the selected rows, and the shares of classes and stores."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inrgen.core.spec import InrSpec
from inrgen.loaders.balance import Quotas
from inrgen.loaders.config import LoaderConfig, ViewChoice
from inrgen.loaders.key_file import share_key_columns
from inrgen.loaders.keys import KeyRequest
from inrgen.loaders.selection import Selection
from inrgen.store.reader import Store, open_store

Stores = Store | str | Path | Sequence[Store | str | Path]

_MIN_VIEWS: dict[ViewChoice, int | None] = {"all": None, "random": 1, "pairs": 2}


@dataclass(frozen=True, kw_only=True, slots=True)
class LoaderIndex:
    """Everything that is the same in all epochs of a loader.

    Attributes:
        spec_ids: the array to read in each store; all have the same spec.
        identity: plain JSON values that a saved state must match.
    """

    stores: tuple[Store, ...]
    spec_ids: tuple[str, ...]
    spec: InrSpec
    selection: Selection
    choice: ViewChoice
    quotas: Quotas | None
    identity: dict[str, Any]


def _open_all(stores: Stores, spec_id: str | None) -> tuple[tuple[Store, ...], tuple[str, ...]]:
    """Open the stores and find the array to read in each. Raises ValueError for several specs."""
    several = [stores] if isinstance(stores, Store | str | Path) else list(stores)
    if not several:
        raise ValueError("stores needs at least one store; got none")
    opened = tuple(s if isinstance(s, Store) else open_store(s) for s in several)
    spec_ids = tuple(spec_id or store.spec.spec_id for store in opened)
    for store, wanted in zip(opened, spec_ids, strict=True):
        if wanted not in store.specs:
            raise ValueError(
                f"spec_id must be one of {sorted(store.specs)} for {store.path}; got {wanted!r}"
            )
    if len(set(spec_ids)) > 1:
        raise ValueError(f"stores must hold the same spec to be mixed; got {sorted(set(spec_ids))}")
    return opened, spec_ids


def _check_views(config: LoaderConfig, store: Store, spec_id: str) -> None:
    views, num_views = config.views, store.layouts[spec_id].views
    if isinstance(views, str):
        return
    if not len(views) or not all(0 <= view < num_views for view in views):
        raise ValueError(f"views must be numbers in 0..{num_views - 1}; got {list(views)}")


def _check_weights(weights: Sequence[float] | None, num_stores: int) -> None:
    if weights is not None and (len(weights) != num_stores or not all(w > 0 for w in weights)):
        raise ValueError(
            f"weights needs a positive number for each of {num_stores} stores; got {weights}"
        )


def _check_shares(selection: Selection, stores: Sequence[Store]) -> None:
    """Raise ValueError for a store without any unit, which could not fill its share."""
    filled = set(selection.shard_stores.tolist())
    for number, store in enumerate(stores):
        if number not in filled:
            raise ValueError(
                "weights needs stores with items that can be served; with views='pairs', which "
                f"needs two views of an item, {store.path} has none"
            )


def read_index(stores: Stores, config: LoaderConfig, filter: Any) -> LoaderIndex:
    """Open the stores and read the key columns of the selected rows.

    Args:
        filter: a pyarrow.dataset expression over the records, or None.
    """
    opened, spec_ids = _open_all(stores, config.spec_id)
    _check_weights(config.weights, len(opened))
    pairs = list(zip(opened, spec_ids, strict=True))
    for store, spec_id in pairs:
        _check_views(config, store, spec_id)
    keys = [
        share_key_columns(
            KeyRequest(
                store=store,
                spec_id=spec_id,
                split=None if config.split == "all" else config.split,
                views=None if isinstance(config.views, str) else tuple(config.views),
                filter=filter,
            ),
            config.cache_dir,
            config.cache_bytes,
        )
        for store, spec_id in pairs
    ]
    layouts = [store.layouts[spec_id] for store, spec_id in pairs]
    selection = Selection.from_keys(keys, layouts, _MIN_VIEWS[config.view_choice])
    # share_key_columns has refused empty selections, so only pairs can be missing here.
    if not selection.num_units:
        raise ValueError("views='pairs' needs items with two views that can be served; none has")
    balance, weights = config.balance, config.weights
    if weights is not None:
        _check_shares(selection, opened)
    # The state of a loader is bound to these rows; a rebuilt store has another identity.
    rows = hashlib.sha256()
    for (store, spec_id), part in zip(pairs, keys, strict=True):
        named = [spec_id, store.identity, part.fingerprint]
        rows.update(json.dumps(named, sort_keys=True).encode())
    has_quotas = balance or weights is not None
    return LoaderIndex(
        stores=opened,
        spec_ids=spec_ids,
        spec=opened[0].specs[spec_ids[0]],
        selection=selection,
        choice=config.view_choice,
        quotas=Quotas(selection, balance=balance, weights=weights) if has_quotas else None,
        identity={
            "rows": rows.hexdigest()[:32],
            "num_samples": selection.num_units,
            "views": config.view_choice,
            "balance": balance,
            # JSON turns whole numbers and floats into different texts.
            "weights": None if weights is None else [float(w) for w in weights],
            "seed": config.seed,
            "pool_shards": config.pool_shards,
        },
    )
