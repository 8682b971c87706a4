"""The facts on a data card, read from a store's metadata and records alone."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from inrgen.core.spec import InrSpec
from inrgen.core.splits import SPLITS
from inrgen.store.quality import COUNTED, RowCounts, count_by_split, spread
from inrgen.store.reader import Store

_STATUSES = ("ok", "below_target", "non_finite", "bad_input")
_COLUMNS = [*COUNTED, "split", "label", "label_name", "engine", "seed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitFacts:
    """Counts of one split, and the PSNR of its rows that hold weights.

    Attributes:
        by_status: number of rows of each status that occurs.
        psnr_db: mean and then the QUANTILES, in dB; () if nothing was measured.
    """

    split: str
    items: int
    rows: int
    by_status: dict[str, int]
    psnr_db: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelFacts:
    """One class: its number, its name and its number of items."""

    label: int
    name: str
    items: int


@dataclass(frozen=True, kw_only=True, slots=True)
class CardFacts:
    """All facts of a store that a card states.

    Attributes:
        views: number of views of each spec_id.
        identity: all that decides the store's content.
        about: facts that do not decide it, such as versions.
        source: name of the data set that the store, or its first ancestor, was fitted to; "" if
            unknown.
        recipe: recipe of that fit; "" if unknown.
        operation: operation that made the store from another; "" if none did.
        rows: rows present now.
        rows_planned: rows of the finished store.
    """

    specs: dict[str, InrSpec]
    views: dict[str, int]
    identity: dict[str, Any]
    about: dict[str, Any]
    source: str
    recipe: str
    operation: str
    rows: int
    rows_planned: int
    splits: tuple[SplitFacts, ...]
    labels: tuple[LabelFacts, ...]
    engines: tuple[str, ...]
    seeds: tuple[int, ...]

    @property
    def items(self) -> int:
        return sum(split.items for split in self.splits)


def _split_facts(split: str, counts: RowCounts) -> SplitFacts:
    counted = counts.by_status
    return SplitFacts(
        split=split,
        items=counts.items,
        rows=counts.rows,
        by_status={status: counted[status] for status in _STATUSES if status in counted},
        psnr_db=tuple(spread(counts.psnr_db).values()),
    )


def _label_facts(table: pa.Table) -> tuple[LabelFacts, ...]:
    named = table.filter(pc.field("label") >= 0)
    counts = named.group_by(["label", "label_name"]).aggregate([("item_id", "count_distinct")])
    return tuple(
        LabelFacts(label=row["label"], name=row["label_name"], items=row["item_id_count_distinct"])
        for row in counts.sort_by("label").to_pylist()
    )


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
        recipe=str(store.built_identity.get("recipe", "")),
        operation=store.derivation.operation if store.derivation else "",
        rows=table.num_rows,
        rows_planned=sum(layout.rows for layout in store.layouts.values()),
        splits=tuple(_split_facts(split, counts[split]) for split in SPLITS if split in counts),
        labels=_label_facts(table),
        engines=tuple(sorted(table["engine"].unique().to_pylist())),
        seeds=tuple(sorted(table["seed"].unique().to_pylist())),
    )
