"""A self-contained HTML file that shows a store and evaluates its networks where it is opened."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from inrgen.core.geometry import noted_grid
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.figures.meshes import Up, up_axis
from inrgen.figures.viewer.assembly import assemble_page
from inrgen.figures.viewer.choice import choose_page_rows
from inrgen.figures.viewer.partners import align_partners, choose_partners
from inrgen.figures.viewer.quality import describe_quality
from inrgen.figures.viewer.surfaces import extract_surfaces
from inrgen.sources.base import BadSignal, Source
from inrgen.sources.bounds import load_item
from inrgen.sources.listing import Report, report_nothing
from inrgen.store.queries import read_rows
from inrgen.store.reader import Store
from inrgen.store.records import USABLE_STATUSES, record_columns

# The activations that evaluate.js knows.
_ACTIVATIONS = ("sine", "tanh", "relu")
_ORIGINAL_BYTES = 8 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class PageTexts:
    """Texts of a page that other packages write.

    Attributes:
        title: name of the data set.
        summary: a sentence or two about it.
        snippets: code for the reader, such as the command that builds the store again, by title.
    """

    title: str
    summary: str
    snippets: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """A finished page: its text, and the number of rows that it shows."""

    html: str
    rows: int
    pairs: int


def _originals(
    spec: InrSpec, source: Source | None, records: Sequence[dict], report: Report
) -> tuple[np.ndarray, dict[str, int]]:
    """Signals of the page's items as fractions of the value range, and where each one begins.

    Pictures have 8 bits, other signals 16. Signals without a grid, and those beyond 8 MB, are left
    out.
    """
    kind = np.uint8 if spec.d_in == 2 else np.uint16
    levels, places, parts, size = np.iinfo(kind).max, {}, [np.empty(0, kind)], 0
    if source is None or spec.d_in > 2:
        return parts[0], places
    wanted = {r["item_id"]: noted_grid(spec, r["grid"]) for r in records}
    low, width = (
        (0.0, 1.0) if spec.value_kind == "intensity" else (spec.value_range[0], spec.value_width)
    )
    for index, item in enumerate(source.items):
        if item.item_id not in wanted or size > _ORIGINAL_BYTES:
            continue
        signal = load_item(source, index)
        report("originals read", len(places))
        if not isinstance(signal, BadSignal) and signal.grid == wanted[item.item_id]:
            shares = (signal.values.numpy().reshape(-1) - low) / width
            places[item.item_id] = size
            parts.append((shares.clip(0, 1) * levels).round().astype(kind))
            size += parts[-1].size
    return np.concatenate(parts), places


def can_draw(spec: InrSpec) -> bool:
    """Tell whether the page has pictures of such signals."""
    return spec.d_in <= 3


def make_page(
    store: Store,
    source: Source | None,
    num_rows: int,
    spec_id: str | None,
    texts: PageTexts,
    among: Sequence[int] | None = None,
    up: Up = "auto",
    report: Report = report_nothing,
) -> Page:
    """Gather a page's rows, weights, alignments, surfaces and quality, and write it as HTML.

    Args:
        source: source of the originals; None leaves them out.
        num_rows: most INRs on the page; choose_page_rows says which.
        spec_id: the networks to show; None takes the store's only ones.
        among: the rows to choose from and to measure; None takes all.
        up: the axis of shapes that points up; auto takes y for OBJ and GLB, z for others.
        report: gets counts of slow steps, such as ("originals read", 7).

    Raises:
        ValueError: the store has no such spec or no rows, or its networks cannot be drawn.
        DamagedStore: a row of the store is not as it was written.
    """
    if spec_id is not None and spec_id not in store.specs:
        raise ValueError(f"spec must be one of {', '.join(store.specs)}; got {spec_id!r}")
    spec = store.specs[spec_id] if spec_id else store.spec
    if not can_draw(spec):
        raise ValueError(
            f"a page draws networks of up to 3 coordinates; {spec.architecture} has {spec.d_in}"
        )
    columns = [name for name in store.records.schema.names if name != "draw"]
    rows = choose_page_rows(store, spec, num_rows, among)
    records = read_rows(store, rows, spec.spec_id, columns)
    shown = [record for record in records if record["status"] in USABLE_STATUSES]
    params = store.read([record["row"] for record in shown], spec.spec_id)
    arrays: dict[str, np.ndarray] = {"weights": params.flat().numpy()}
    arrays["originals"], original_places = _originals(spec, source, shown, report)
    moves, pairs = _add_partners(spec, params, shown, arrays, report)
    document = {
        "title": texts.title,
        "summary": texts.summary,
        "snippets": texts.snippets,
        "spec": spec.to_dict() | {"id": spec.spec_id, "num_params": spec.num_params},
        "records": {name: [record[name] for record in records] for name in columns},
        "meanings": {name: record_columns()[name].meaning for name in columns},
        "grids": [noted_grid(spec, record["grid"]) for record in records],
        "originals": original_places,
        "pairs": pairs,
        "moves": moves,
        "surfaces": _add_surfaces(spec, params, shown, arrays, report),
        "up": [up_axis(record["item_id"], up) for record in records],
        "quality": describe_quality(store, spec, among),
        "target_db": store.built_identity.get("min_psnr_db"),
        "start": store.learned_start is not None,
        "facts": store.about,
        "identity": store.identity,
    }
    return Page(html=assemble_page(document, arrays), rows=len(shown), pairs=len(pairs))


def _add_partners(
    spec: InrSpec,
    params: Params,
    shown: list[dict],
    arrays: dict[str, np.ndarray],
    report: Report,
) -> tuple[list[str], list[tuple[int, int]]]:
    """Put the alignments of a page's pairs among its arrays; returns their names and the pairs."""
    pairs = choose_partners(shown)
    if not pairs:
        return [], []
    partners = align_partners(spec, params, pairs, report)
    arrays.update({f"moves-{kind}": units for kind, units in partners.moves.items()})
    return list(partners.moves), partners.pairs


def _add_surfaces(
    spec: InrSpec,
    params: Params,
    shown: list[dict],
    arrays: dict[str, np.ndarray],
    report: Report,
) -> list[dict[str, float]]:
    """Put the surfaces of a page's shapes among its arrays; returns the facts of each."""
    # first views first, so that as many items as possible get a surface
    order = sorted(range(len(shown)), key=lambda place: shown[place]["view"])
    surfaces = extract_surfaces(spec, params, order, report)
    if surfaces:
        arrays["vertices"] = np.concatenate([s.vertices.reshape(-1) for s in surfaces])
        arrays["faces"] = np.concatenate([s.faces.reshape(-1) for s in surfaces])
    return [
        {
            "place": s.place,
            "vertices": len(s.vertices),
            "faces": len(s.faces),
            "crumbs": s.crumbs.num,
            "loose": s.crumbs.area_share,
        }
        for s in surfaces
    ]
