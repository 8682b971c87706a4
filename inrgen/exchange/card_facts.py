"""What a data card states, read from a store's metadata and records alone."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from inrgen.core.spec import InrSpec
from inrgen.core.splits import SPLITS
from inrgen.store.reader import Store
from inrgen.store.records import SERVED

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_STATUSES = ("ok", "below_target", "non_finite", "bad_input")
_COLUMNS = ["item_id", "split", "label", "label_name", "psnr_db", "status", "engine", "seed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitFacts:
    """One split: counts, and PSNR in dB of its rows that hold weights.

    psnr_db is the mean and then the QUANTILES, or () where nothing was measured.
    """

    split: str
    items: int
    rows: int
    by_status: dict[str, int]
    psnr_db: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelFacts:
    """One class: its number, its name and how many items have it."""

    label: int
    name: str
    items: int


@dataclass(frozen=True, kw_only=True, slots=True)
class CardFacts:
    """All that a card states of a store.

    rows_planned is what the finished store holds; rows are there now. views is by spec_id.
    """

    specs: dict[str, InrSpec]
    views: dict[str, int]
    identity: dict[str, Any]
    about: dict[str, Any]
    rows: int
    rows_planned: int
    splits: tuple[SplitFacts, ...]
    labels: tuple[LabelFacts, ...]
    engines: tuple[str, ...]
    seeds: tuple[int, ...]

    @property
    def items(self) -> int:
        return sum(split.items for split in self.splits)

    @property
    def source(self) -> str:
        """The name of the source that the store was fitted to, or "" where it does not say."""
        return str(self.identity.get("source", {}).get("name", ""))


def _split_facts(table: pa.Table, split: str) -> SplitFacts:
    of = table.filter(pc.field("split") == split)
    held = of.filter(pc.field("status").isin(SERVED))
    psnr = held["psnr_db"].to_numpy()
    psnr = psnr[~np.isnan(psnr)]
    figures = (psnr.mean(), *np.quantile(psnr, QUANTILES)) if len(psnr) else ()
    counted = {c["values"]: c["counts"] for c in of["status"].value_counts().to_pylist()}
    return SplitFacts(
        split=split,
        items=len(of["item_id"].unique()),
        rows=of.num_rows,
        by_status={status: counted[status] for status in _STATUSES if status in counted},
        psnr_db=tuple(float(figure) for figure in figures),
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
    there = set(table["split"].unique().to_pylist())
    return CardFacts(
        specs=store.specs,
        views={spec_id: layout.views for spec_id, layout in store.layouts.items()},
        identity=store.identity,
        about=store.about,
        rows=table.num_rows,
        rows_planned=sum(layout.rows for layout in store.layouts.values()),
        splits=tuple(_split_facts(table, split) for split in SPLITS if split in there),
        labels=_label_facts(table),
        engines=tuple(sorted(table["engine"].unique().to_pylist())),
        seeds=tuple(sorted(table["seed"].unique().to_pylist())),
    )
