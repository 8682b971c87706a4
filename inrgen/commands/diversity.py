"""`inrgen diversity`: distances of views and items in the weights of a store."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from inrgen.core.arguments import OptionalLocalPath, StoreArgument
from inrgen.core.config import Kind
from inrgen.core.summary import Summary

if TYPE_CHECKING:
    from inrgen.jobs.diversity import SpecDiversity
    from inrgen.store.reader import Store

_NUM_DRAWN = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class DiversityConfig:
    """Measure how far apart views and items are, before and after alignment.

    A sample of items is measured, pair by pair, so a larger store costs only more records to
    read. Functions are compared on a grid of 28 x 28 or 12 x 12 x 12 points. With --out it also
    draws the INRs halfway between two views of a few items.

    Attributes:
        store: the store's folder.
        split: the split whose items are compared; all takes every split.
        match: the symmetries by which pairs are aligned, with the search that align uses by
            default; relu, gaussian and sinc networks take only permutation.
        pairs: pairs of views, and pairs of items; two views of one item are no pair of items.
        seed: names the sample.
        out: folder for midpoints.png; for stores of pictures with two views of an item.
    """

    store: tyro.conf.Positional[StoreArgument]
    split: Literal["train", "val", "test", "all"] = "all"
    match: tuple[Kind, ...] = ("permutation", "signed")
    pairs: int = 256
    seed: int = 0
    out: OptionalLocalPath = None

    def __post_init__(self) -> None:
        if not 1 <= self.pairs <= 2000:
            raise ValueError(f"pairs must be in 1..2000; got {self.pairs}")


@dataclass(frozen=True, kw_only=True, slots=True)
class DiversitySummary(Summary):
    """Diversity of a store as root mean squares, over weights or in value units."""

    store: str
    split: str
    specs: "tuple[SpecDiversity, ...]"
    figure: str = ""

    def text(self) -> str:
        """The summary with a table for each architecture."""
        lines = []
        for one in self.specs:
            lines += [
                f"{one.spec_id}: pairs among {one.num_items:,} items of {self.split}",
                "pairs  aligned by   number  distance  function RMS  midpoint RMS",
            ]
            lines += [
                f"{r.pairs:5}  {r.alignment:11} {r.num_pairs:7d} {r.distance:9.3f}"
                f" {r.function_rms:13.4f} {r.midpoint_rms:13.4f}"
                for r in one.rows
            ]
        lines += [f"figure: {self.figure}"] if self.figure else []
        return "\n".join(lines)


def _draw(store: "Store", config: DiversityConfig, out: Path) -> Path:
    """Draw midpoints.png of the first architecture, with one column for each item of the sample.

    Raises ValueError for INRs that are no pictures, or a sample without two views of an item.
    """
    import numpy as np

    from inrgen.core.geometry import noted_grid
    from inrgen.figures.midpoints import MidpointColumn, midpoint_pictures, midpoints_figure
    from inrgen.figures.style import save_figure
    from inrgen.jobs.diversity import sample_views
    from inrgen.store.queries import read_usable_records

    spec = store.spec
    if spec.value_kind != "intensity" or spec.d_in != 2 or spec.d_out not in (1, 3):
        raise ValueError(f"out draws pictures, so it needs a store of them; got {spec.spec_id}")
    rows, items = sample_views(store, spec.spec_id, config.split, config.pairs, config.seed)
    twins = np.flatnonzero(items[1:] == items[:-1])
    pairs = np.stack([rows[twins], rows[twins + 1]], axis=1)
    columns = ["item_id", "label_name", "grid"]
    records = read_usable_records(store, pairs[:, 0].tolist(), spec.spec_id, columns)
    # One figure shows one size of picture.
    alike = [i for i, record in enumerate(records) if record["grid"] == records[0]["grid"]]
    if not alike:
        raise ValueError(f"out draws two views of an item; no item of {config.split} has two")
    alike = alike[:_NUM_DRAWN]
    first, second = (store.read(pairs[alike, side], spec.spec_id) for side in (0, 1))
    num_rows, num_columns = noted_grid(spec, records[0]["grid"])
    pictures = midpoint_pictures(spec, first, second, (num_rows, num_columns), config.match)
    drawn = [
        MidpointColumn(
            title=records[i]["label_name"] or records[i]["item_id"][-12:],
            pictures={name: values[place] for name, values in pictures.items()},
        )
        for place, i in enumerate(alike)
    ]
    heading = "INRs halfway between two views in weights"
    return save_figure(midpoints_figure(drawn, heading), out / "midpoints.png")


def diversity(config: DiversityConfig) -> DiversitySummary:
    """Measure a sample of every architecture of a store.

    Raises ValueError for a split without rows that hold weights, an alignment that the activation
    does not allow, or a figure that cannot be drawn.
    """
    from inrgen.jobs.diversity import measure_store_diversity
    from inrgen.store.reader import open_store

    store = open_store(config.store)
    figure = "" if config.out is None else str(_draw(store, config, config.out))
    specs = tuple(
        measure_store_diversity(
            store, spec_id, config.split, config.match, config.pairs, config.seed
        )
        for spec_id in store.specs
    )
    return DiversitySummary(store=str(config.store), split=config.split, specs=specs, figure=figure)
