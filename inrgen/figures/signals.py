"""Signals that are no pictures, beside their INRs: what to evaluate and to draw of a row."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from inrgen.core.geometry import grid_axes, noted_grid
from inrgen.core.params import Params
from inrgen.core.siren import evaluate
from inrgen.core.spec import InrSpec
from inrgen.sources.base import BadSignal, Signal, Source
from inrgen.sources.bounds import load_item
from inrgen.store.queries import read_usable_records
from inrgen.store.reader import Store

# Slices of a volume or frames of a film, spread from the first to the last.
_NUM_SLICES = 5
# Samples of a wave without a record of its grid.
_WAVE_SAMPLES = 400


@dataclass(frozen=True, kw_only=True, slots=True)
class Samples:
    """Values of a signal at some of its points, and the INR's values there.

    Attributes:
        coords: (n, d) coordinates in the directions that are drawn: (horizontal, vertical), or the
            only one of a wave.
    """

    coords: Float[np.ndarray, "n d"]
    values: Float[np.ndarray, "n c"]
    inr: Float[np.ndarray, "n c"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A part of one INR over one or two coordinates: a whole wave, a slice or a frame.

    Attributes:
        axes: the coordinate along the wave, or along the rows and the columns.
        inr: values of the INR, (n, c) or (rows, columns, c).
        signal: values of the original there; None without it.
        samples: an original of loose points: those of this section.
        title: such as an item's id, or the place of a slice.
        caption: such as the PSNR.
    """

    axes: tuple[Float[np.ndarray, " _n"], ...]
    inr: Float[np.ndarray, "*axes c"]
    signal: Float[np.ndarray, "*axes c"] | None = None
    samples: Samples | None = None
    title: str = ""
    caption: str = ""


def drawn_coords(spec: InrSpec) -> tuple[int, ...]:
    """The coordinates that a section shows: (horizontal, vertical), or the only one."""
    if spec.d_in == 1:
        return (0,)
    return (0, 1) if spec.coord_order == "xy" else (spec.d_in - 1, spec.d_in - 2)


def _evaluate(
    spec: InrSpec, params: Params, coords: Float[np.ndarray, "n d_in"]
) -> Float[np.ndarray, "n c"]:
    return evaluate(spec, params, torch.from_numpy(coords).float())[0].numpy()


def _samples(
    spec: InrSpec, params: Params, signal: Signal, fixed: Sequence[float], step: float
) -> Samples:
    """The points of a signal that lie within a step of a slice, at the INR's coordinates."""
    assert signal.coords is not None, "signals on a grid have no loose points"
    coords = signal.coords.numpy()
    near = (np.abs(coords[:, : len(fixed)] - np.array(fixed)) <= step).all(axis=1)
    some = coords[near]
    return Samples(
        coords=some[:, drawn_coords(spec)],
        values=signal.values.numpy()[near],
        inr=_evaluate(spec, params, some),
    )


def sections(
    spec: InrSpec,
    params: Params,
    noted: Sequence[int],
    signal: Signal | None,
    names: tuple[str, str] = ("", ""),
) -> list[Section]:
    """The sections of one INR: a wave, a plane, or slices along its first coordinate.

    Over four coordinates, slices lie in the middle of the second one.

    Args:
        noted: the grid of the INR's record; empty for loose points, which are drawn on a grid.
        signal: the original, if it is at hand.
        names: title and caption of the INR.
    """
    grid = tuple(noted) or ((_WAVE_SAMPLES,) if spec.d_in == 1 else noted_grid(spec, noted))
    along = [axis.numpy() for axis in grid_axes(spec, grid)]
    on_grid = signal is not None and signal.grid == grid
    shown, first = along[-2:], max(0, spec.d_in - 2)
    places = [()]
    if first:
        num = min(_NUM_SLICES, grid[0])
        spread = np.linspace(0, grid[0] - 1, num).round().astype(int).tolist()
        places = [(at, *(side // 2 for side in grid[1:first])) for at in spread]
    step = (spec.coord_range[1] - spec.coord_range[0]) / (max(grid) - 1 or 1)
    made = []
    for number, place in enumerate(places):
        fixed = [float(axis[at]) for axis, at in zip(along, place, strict=False)]
        mesh = np.meshgrid(*([at] for at in fixed), *shown, indexing="ij")
        coords = np.stack(mesh, axis=-1).reshape(-1, spec.d_in)
        if spec.coord_order == "xy":  # a grid's axes are rows and columns
            coords = coords[:, ::-1].copy()
        values = _evaluate(spec, params, coords).reshape(*map(len, shown), -1)
        original = samples = None
        if signal is not None and on_grid:
            original = signal.values.numpy().reshape(*grid, -1)[place]
        elif signal is not None and signal.coords is not None:
            samples = _samples(spec, params, signal, fixed, step)
        title = f"{spec.coord_order[0]} = {fixed[0]:.2f}" if place else ""
        made.append(
            Section(
                axes=tuple(shown),
                inr=values,
                signal=original,
                samples=samples,
                title="\n".join(filter(None, [names[0] if number == 0 else "", title])),
                caption=names[1] if number == 0 else "",
            )
        )
    return made


def load_original(source: Source | None, index: int | None) -> Signal | None:
    """Load an original; None if the source lacks it now."""
    if source is None or index is None:
        return None
    signal = load_item(source, index)
    return None if isinstance(signal, BadSignal) else signal


def store_sections(store: Store, source: Source | None, rows: Sequence[int]) -> list[list[Section]]:
    """The sections of some rows of a store, with originals where a source has them."""
    spec = store.spec
    columns = ["item_id", "view", "label_name", "psnr_db", "grid"]
    records = read_usable_records(store, rows, spec.spec_id, columns)
    shown = {record["item_id"] for record in records}
    places = {}
    if source is not None:
        places = {item.item_id: i for i, item in enumerate(source.items) if item.item_id in shown}
    return [
        sections(
            spec,
            store.read([row], spec.spec_id),
            record["grid"],
            load_original(source, places.get(record["item_id"])),
            (row_title(record), row_caption(record)),
        )
        for row, record in zip(rows, records, strict=True)
    ]


def row_title(record: dict) -> str:
    """Name of an item, cut from the left to fit above a picture, with label and view."""
    name = record["item_id"]
    name = name if len(name) <= 16 else f"…{name[-15:]}"
    label = f"{record['label_name'][:14]}, " if record["label_name"] else ""
    return f"{name}\n{label}view {record['view']}"


def row_caption(record: dict) -> str:
    """PSNR of an INR; nothing for augmented ones, which were not measured."""
    return f"{record['psnr_db']:.1f} dB" if np.isfinite(record["psnr_db"]) else ""
