"""How far apart the views of an item are, and different items, in the weights of a store."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro
from jaxtyping import Int

from inrgen.core import rng
from inrgen.core.arguments import OptionalLocalPath, StoreArgument
from inrgen.core.diversity import DiversityRow, measure_diversity
from inrgen.core.grid import grid_coords, noted_grid
from inrgen.core.matching import thorough
from inrgen.core.spec import InrSpec
from inrgen.core.symmetry import Kind
from inrgen.figures.midpoints import MidpointColumn, midpoint_pictures, midpoints_figure
from inrgen.figures.style import save_figure
from inrgen.store.lookup import served_records
from inrgen.store.reader import Store, open_store
from inrgen.store.records import USABLE_STATUSES

_NUM_DRAWN = 8
# Points along a side at which functions are compared, by the number of coordinates.
_SIDES = {1: 256, 2: 28, 3: 12}


@dataclass(frozen=True, kw_only=True, slots=True)
class DiversityConfig:
    """Say how far apart views of one item are, and different items, as they are and aligned.

    A sample of items is measured, pair by pair; of a larger store more records are read, and no
    more weights. Functions are compared on a grid of 28 x 28 points, or 12 x 12 x 12. With --out
    it also draws, of a few items, what lies halfway between two views.

    Attributes:
        store: the store's folder.
        split: whose items are compared; all takes every split.
        match: what to align pairs by, searched as align does by default; relu networks take
            permutation alone.
        pairs: how many of views, and as many of items; twins drop out.
        seed: names the sample.
        out: where midpoints.png goes; drawn of stores of pictures with two views an item.
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
class SpecDiversity:
    """The figures of one architecture, and of how many items they are a sample."""

    spec_id: str
    num_items: int
    rows: tuple[DiversityRow, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class DiversitySummary:
    """The figures of a store; all are root mean squares, over weights or in value units."""

    store: str
    split: str
    specs: tuple[SpecDiversity, ...]
    figure: str = ""

    @property
    def failed(self) -> bool:
        return False

    def text(self) -> str:
        """A table for each architecture."""
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

    def document(self) -> dict[str, Any]:
        """The same as plain values."""
        return asdict(self)


def _sampled(
    store: Store, spec_id: str, config: DiversityConfig
) -> tuple[Int[np.ndarray, " r"], Int[np.ndarray, " r"]]:
    """Up to config.pairs items, two views of each where there are two: their rows and numbers."""
    table = store.read_records(["item_id", "row", "spec_id", "split", "status"])
    names = {
        name: np.array(table[name].to_pylist(), dtype=object)
        for name in ("item_id", "spec_id", "split", "status")
    }
    kept = np.isin(names["status"], USABLE_STATUSES) & (names["spec_id"] == spec_id)
    if config.split != "all":
        kept &= names["split"] == config.split
    if not kept.any():
        raise ValueError(
            f"split must be one with rows of {spec_id} that hold weights; got {config.split!r}"
        )
    rows = np.asarray(table["row"])[kept]
    named = names["item_id"][kept].astype(str)
    ids = np.unique(named)
    items = np.searchsorted(ids, named)
    draws = rng.bits(rng.keys(config.seed, "diversity items", rng.hash_items(ids.tolist())), 1)
    chosen = np.isin(items, draws[:, 0].argsort().numpy()[: config.pairs])
    rows, items = rows[chosen], items[chosen]
    taken = _two_of_each(items, rng.keys(config.seed, "diversity views", torch.from_numpy(rows)))
    return rows[taken], items[taken]


def _two_of_each(
    items: Int[np.ndarray, " r"], keys: Int[torch.Tensor, " r"]
) -> Int[np.ndarray, " t"]:
    """Places of two entries of each item, of one where it has one, drawn by their keys."""
    shuffled = rng.bits(keys, 1)[:, 0].argsort().numpy()
    order = shuffled[np.argsort(items[shuffled], kind="stable")]
    grouped = items[order]
    return order[np.arange(len(order)) - np.searchsorted(grouped, grouped) < 2]


def _measure(store: Store, spec: InrSpec, spec_id: str, config: DiversityConfig) -> SpecDiversity:
    rows, items = _sampled(store, spec_id, config)
    found = measure_diversity(
        spec,
        store.read(rows, spec_id),
        torch.from_numpy(items),
        grid_coords(spec, (_SIDES[spec.d_in],) * spec.d_in),
        tuple(thorough(kind) for kind in config.match),
        config.pairs,
        config.seed,
    )
    return SpecDiversity(spec_id=spec_id, num_items=len(np.unique(items)), rows=found)


def _draw(store: Store, config: DiversityConfig, out: Path) -> Path:
    """Write midpoints.png of the first architecture: a column an item of the sample.

    Raises ValueError where the INRs are no pictures, or no item of the sample has two views.
    """
    spec = store.spec
    if spec.value_kind != "intensity" or spec.d_in != 2 or spec.d_out not in (1, 3):
        raise ValueError(f"out draws pictures, so it needs a store of them; got {spec.spec_id}")
    rows, items = _sampled(store, spec.spec_id, config)
    twins = np.flatnonzero(items[1:] == items[:-1])
    pairs = np.stack([rows[twins], rows[twins + 1]], axis=1)
    columns = ["item_id", "label_name", "grid"]
    records = served_records(store, pairs[:, 0].tolist(), spec.spec_id, columns)
    alike = [i for i, record in enumerate(records) if record["grid"] == records[0]["grid"]]
    if not alike:
        raise ValueError(f"out draws two views of an item; no item of {config.split} has two")
    alike = alike[:_NUM_DRAWN]
    first, second = (store.read(pairs[alike, side], spec.spec_id) for side in (0, 1))
    rows_of, columns_of = noted_grid(spec, records[0]["grid"])
    pictures = midpoint_pictures(spec, first, second, (rows_of, columns_of), config.match)
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

    Raises ValueError for a split without rows that hold weights, for an alignment that an
    architecture's activation does not allow, and for a figure of what cannot be drawn.
    """
    store = open_store(config.store)
    figure = "" if config.out is None else str(_draw(store, config, config.out))
    return DiversitySummary(
        store=str(config.store),
        split=config.split,
        specs=tuple(_measure(store, spec, of, config) for of, spec in store.specs.items()),
        figure=figure,
    )
