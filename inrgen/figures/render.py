"""Pictures of a store: a choice of rows, drawn beside their originals, and the quality of all."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from inrgen.core.geometry import grid_coords, noted_grid
from inrgen.core.siren import evaluate
from inrgen.core.spec import SOLID_KINDS
from inrgen.figures.fields import planes_figure, waves_figure
from inrgen.figures.meshes import Up, solid_pairs, solids_figure
from inrgen.figures.pictures import PicturePair, as_intensity, reconstructions_figure
from inrgen.figures.quality import QualityData, quality_figure
from inrgen.figures.signals import load_original, row_caption, row_title, store_sections
from inrgen.figures.style import save_figure
from inrgen.sources.base import Source
from inrgen.store.queries import COUNT_COLUMNS, count_by_split, count_rows, read_usable_records
from inrgen.store.reader import Store
from inrgen.store.records import is_usable

_COLUMNS = ["item_id", "view", "label_name", "psnr_db", "grid"]


def choose_rows(store: Store, num: int, spec_id: str | None = None) -> list[int]:
    """Choose rows of a spec that hold weights, evenly spaced in order of PSNR, worst to best.

    A picture of the best rows alone would flatter the store. Returns at most num rows.
    """
    if num < 1:
        raise ValueError(f"num must be positive; got {num}")
    table = store.read_records(["row", "spec_id", "psnr_db", "status"])
    is_of_spec = np.asarray(table["spec_id"]) == (spec_id or store.spec.spec_id)
    kept = is_of_spec & is_usable(table["status"])
    rows = table["row"].to_numpy()[kept]
    psnr = table["psnr_db"].to_numpy()[kept]
    if not len(rows):
        raise ValueError(f"{store.path} has no row that holds weights, so there is nothing to draw")
    # A stable sort draws the same rows of equal PSNR everywhere.
    order = rows[np.argsort(psnr, kind="stable")]
    places = np.linspace(0, len(order) - 1, min(num, len(order))).round().astype(int)
    return order[places].tolist()


def _original(
    source: Source | None, index: int | None, grid: tuple[int, ...]
) -> Float[np.ndarray, "rows columns c"] | None:
    """Load the original; None if the source lacks it now or has it in another size."""
    signal = load_original(source, index)
    # An original of another size is another picture, and has no error pixel by pixel.
    if signal is None or signal.grid != grid:
        return None
    return signal.values.reshape(*grid, -1).numpy()


def picture_pairs(
    store: Store, source: Source | None, rows: Sequence[int], spec_id: str | None = None
) -> list[PicturePair]:
    """Evaluate rows of a store of pictures on their own grids, and pair them with originals.

    A row without a recorded grid is drawn on 28 x 28 points.

    Raises ValueError for signals that are no pictures, and for rows without weights.
    """
    spec = store.specs[spec_id] if spec_id else store.spec
    if spec.value_kind != "intensity" or spec.d_in != 2 or spec.d_out not in (1, 3):
        raise ValueError(f"pictures need intensities over two coordinates; got {spec.spec_id}")
    records = read_usable_records(store, rows, spec.spec_id, _COLUMNS)
    shown = {record["item_id"] for record in records}
    places: dict[str, int] = {}
    if source is not None:
        # One pass over the source: it may have millions of items, and a picture shows ten.
        places = {item.item_id: i for i, item in enumerate(source.items) if item.item_id in shown}
    pairs = []
    for row, record in zip(rows, records, strict=True):
        grid = noted_grid(spec, record["grid"])
        values = evaluate(spec, store.read([row], spec.spec_id), grid_coords(spec, grid))[0]
        pairs.append(
            PicturePair(
                reconstruction=as_intensity(spec, values.reshape(*grid, -1).numpy()),
                original=_original(source, places.get(record["item_id"]), grid),
                title=row_title(record),
                caption=row_caption(record),
            )
        )
    return pairs


def quality_data(store: Store) -> QualityData:
    """Gather the data of the quality plot from the records alone."""
    table = store.read_records([*COUNT_COLUMNS, "split"])
    by_split = count_by_split(table)
    return QualityData(
        psnr_db={split: rows.psnr_db for split, rows in by_split.items() if len(rows.psnr_db)},
        status_counts=count_rows(table).by_status,
        # A derived store keeps the build's identity, and with it the target of its fits.
        target_db=store.built_identity.get("min_psnr_db"),
    )


def _draw(store: Store, source: Source | None, rows: Sequence[int], up: Up, heading: str) -> Figure:
    """Draw rows as their kind of signal asks: solids, pictures, waves, or sections with colours."""
    spec = store.spec
    if spec.d_in == 3 and spec.d_out == 1 and spec.value_kind in SOLID_KINDS:
        return solids_figure(solid_pairs(store, source, rows, up=up), heading)
    if spec.value_kind == "intensity" and spec.d_in == 2 and spec.d_out in (1, 3):
        noted = read_usable_records(store, rows, spec.spec_id, ["grid"])
        # Imported pictures note no grid either, but have no source of loose points.
        if source is None or all(record["grid"] for record in noted):
            return reconstructions_figure(picture_pairs(store, source, rows), heading)
    inrs = store_sections(store, source, rows)
    if spec.d_in == 1:
        return waves_figure(spec, [parts[0] for parts in inrs], heading)
    return planes_figure(spec, inrs, heading)


def render_store(
    store: Store,
    source: Source | None,
    rows: Sequence[int] | int,
    out: str | Path,
    up: Up = "auto",
) -> tuple[Path, Path]:
    """Write reconstructions.png and quality.png into the folder out, and return their paths.

    Args:
        source: source of the originals; None draws reconstructions alone.
        rows: the rows to draw, or their number, spread from the worst PSNR to the best.
        up: the axis of shapes that points up; auto takes y for OBJ and GLB, z for others.
    """
    chosen = choose_rows(store, rows) if isinstance(rows, int) else list(rows)
    quality = quality_data(store)
    spread = " from worst to best" if isinstance(rows, int) and quality.psnr_db else ""
    recipe = store.built_identity.get("recipe", "")
    subject = ", ".join(
        filter(None, [store.source_name, store.spec.architecture, recipe and f"recipe {recipe}"])
    )
    heading = f"{subject}; {len(chosen)} of its INRs{spread}"
    pictures = _draw(store, source, chosen, up, heading)
    folder = Path(out)
    return (
        save_figure(pictures, folder / "reconstructions.png"),
        save_figure(quality_figure(quality, subject), folder / "quality.png"),
    )
