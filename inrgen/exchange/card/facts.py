"""The facts on a data card, read from a store's metadata and records alone."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from inrgen.core.config import SPLITS
from inrgen.core.spec import InrSpec
from inrgen.sources.config import describe_copies, describe_limit, recorded_order
from inrgen.store.queries import COUNT_COLUMNS, RowCounts, count_by_split
from inrgen.store.reader import Store

_COLUMNS = [*COUNT_COLUMNS, "split", "label", "label_name", "engine", "seed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CardFacts:
    """All facts of a store that a card states.

    Attributes:
        views: number of views of each spec_id.
        identity: all that decides the store's content.
        about: facts that do not decide it, such as versions.
        source: name of the data set that the store, or its first ancestor, was fitted to; "" if
            unknown.
        part: part of the data set that was taken, in words; "" if it was not limited.
        copies: changed copies among the items, in words; "" if there are none.
        recipe: recipe of that fit; "" if unknown.
        start: digest and facts of the learned start that the fits began at; None for random ones.
        operation: operation that made the store from another; "" if none did.
        rows: rows present now.
        rows_planned: rows of the finished store.
        splits: counts and PSNR of each split that occurs, in the order train, val, test.
        labels: number, name and number of items of each class.
    """

    specs: dict[str, InrSpec]
    views: dict[str, int]
    identity: dict[str, Any]
    about: dict[str, Any]
    source: str
    part: str
    copies: str
    recipe: str
    start: dict[str, Any] | None
    operation: str
    rows: int
    rows_planned: int
    splits: dict[str, RowCounts]
    labels: tuple[tuple[int, str, int], ...]
    engines: tuple[str, ...]
    seeds: tuple[int, ...]

    @property
    def items(self) -> int:
        return sum(counts.items for counts in self.splits.values())


def _describe_part(store: Store) -> str:
    source = store.built_identity.get("source")
    if not isinstance(source, dict) or (order := recorded_order(source)) is None:
        return ""
    return describe_limit(source["limit"], order)


def _describe_copies(store: Store) -> str:
    source = store.built_identity.get("source")
    return describe_copies(source) if isinstance(source, dict) else ""


def _count_labels(table: pa.Table) -> tuple[tuple[int, str, int], ...]:
    # -1 marks an item without a class
    named = table.filter(pc.field("label") >= 0)
    counts = named.group_by(["label", "label_name"]).aggregate([("item_id", "count_distinct")])
    columns = ("label", "label_name", "item_id_count_distinct")
    return tuple(zip(*(counts.sort_by("label")[c].to_pylist() for c in columns), strict=True))


def read_card_facts(store: Store) -> CardFacts:
    """Read a few columns of the records and count; no weights are read."""
    table = store.read_records(_COLUMNS)
    counts = count_by_split(table)
    return CardFacts(
        specs=store.specs,
        views={spec_id: layout.views for spec_id, layout in store.layouts.items()},
        identity=store.identity,
        about=store.about,
        source=store.source_name,
        part=_describe_part(store),
        copies=_describe_copies(store),
        recipe=str(store.built_identity.get("recipe", "")),
        start=store.learned_start,
        operation=store.derivation.operation if store.derivation else "",
        rows=table.num_rows,
        rows_planned=sum(layout.rows for layout in store.layouts.values()),
        splits={split: counts[split] for split in SPLITS if split in counts},
        labels=_count_labels(table),
        engines=tuple(sorted(table["engine"].unique().to_pylist())),
        seeds=tuple(sorted(table["seed"].unique().to_pylist())),
    )
