"""Meshes beside the surfaces of the INRs that were fitted to them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from matplotlib.figure import Figure

from inrgen.figures.solids import Camera, draw_solid
from inrgen.figures.style import INK, set_heading
from inrgen.fit.crumbs import count_loose, find_crumbs
from inrgen.fit.surface import grid_step, grid_values, signed_field, zero_set
from inrgen.sources.base import BadSignal, Source
from inrgen.sources.bounds import load_item
from inrgen.sources.mesh import Mesh
from inrgen.store.queries import read_usable_records
from inrgen.store.reader import Store

Up = Literal["auto", "y", "z"]

_COLUMNS = ["item_id", "view", "iou", "chamfer"]
# glTF's specification puts y up, and programs that write OBJ do; ModelNet's OFF, STL and PLY, z.
_Y_UP_SUFFIXES = (".obj", ".glb")
_AXES = {"y": 1, "z": 2}


@dataclass(frozen=True, kw_only=True, slots=True)
class SolidPair:
    """A mesh and the surface of its INR, either of which may be missing, with title and caption.

    up is the axis that points up in the picture: 1 for y, 2 for z.
    """

    original: Mesh | None
    reconstruction: Mesh | None
    title: str
    caption: str
    up: int = 2


def up_axis(item_id: str, up: Up) -> Literal["y", "z"]:
    """The axis that points up: the given one, or for auto the convention of the item's format."""
    if up != "auto":
        return up
    return "y" if PurePosixPath(item_id).suffix.lower() in _Y_UP_SUFFIXES else "z"


def _title(record: dict, up: str) -> str:
    name = record["item_id"].rpartition("/")[2]
    name = name if len(name) <= 20 else f"…{name[-19:]}"
    return f"{name}\nview {record['view']}, {up} up"


def _caption(record: dict, crumbs: str) -> str:
    """IoU, Chamfer distance and crumbs, as far as they are known."""
    parts = [] if math.isnan(record["iou"]) else [f"IoU {record['iou']:.3f}"]
    if not math.isnan(record["chamfer"]):
        parts.append(f"Chamfer {100 * record['chamfer']:.2f} %")
    return "\n".join(filter(None, [", ".join(parts), crumbs]))


def _original(source: Source | None, index: int | None) -> Mesh | None:
    """Load the mesh in the INR's coordinates; None if the source lacks it now."""
    if source is None or index is None:
        return None
    signal = load_item(source, index)
    if isinstance(signal, BadSignal) or signal.reference is None:
        return None
    return signal.reference.mesh


def solid_pairs(
    store: Store,
    source: Source | None,
    rows: Sequence[int],
    resolution: int = 96,
    up: Up = "auto",
) -> list[SolidPair]:
    """Extract surfaces of rows by marching cubes, and pair them with the meshes of source.

    Args:
        resolution: points along each side of the cubic grid.
        up: the axis that points up in the picture; auto takes y for OBJ and GLB, z for others.

    Raises ValueError for a store of other signals, and for rows without weights.
    """
    spec = store.spec
    records = read_usable_records(store, rows, spec.spec_id, _COLUMNS)
    places = {item.item_id: i for i, item in enumerate(source.items)} if source else {}
    pairs = []
    for row, record in zip(rows, records, strict=True):
        # Row by row: a grid of 96^3 points takes megabytes for each INR.
        values = grid_values(spec, store.read([row]), resolution)
        found = zero_set(spec, signed_field(spec, values))
        original = _original(source, places.get(record["item_id"]))
        crumbs = ""
        if found is not None and original is not None:
            crumbs = find_crumbs(found, original, grid_step(spec, values)).text()
        elif found is not None:
            crumbs = count_loose(found).text()
        axis = up_axis(record["item_id"], up)
        pairs.append(
            SolidPair(
                original=original,
                reconstruction=found,
                title=_title(record, axis),
                caption=_caption(record, crumbs),
                up=_AXES[axis],
            )
        )
    return pairs


def solids_figure(pairs: Sequence[SolidPair], heading: str = "") -> Figure:
    """Draw each pair as a column: mesh above, surface of the INR below, with IoU and Chamfer."""
    if not pairs:
        raise ValueError("a figure needs at least one pair; got none")
    figure = Figure(figsize=(2.1 * len(pairs) + 0.6, 5.4), layout="constrained")
    panels = figure.subplots(2, len(pairs), squeeze=False)
    for column, pair in zip(panels.T, pairs, strict=True):
        for axes, mesh in zip(column, (pair.original, pair.reconstruction), strict=True):
            axes.axis("off")
            if mesh is None:
                axes.text(0.5, 0.5, "none", ha="center", va="center", color=INK)
            else:
                draw_solid(axes, mesh, Camera(up=pair.up))
        column[0].set_title(pair.title, fontsize=9, color=INK)
        column[1].set_title(pair.caption, fontsize=8, color=INK, y=-0.1)
    for axes, name in zip(panels[:, 0], ("mesh", "INR"), strict=True):
        axes.text(-0.04, 0.5, name, rotation=90, transform=axes.transAxes, ha="right", va="center")
    if heading:
        set_heading(figure, heading)
    return figure
