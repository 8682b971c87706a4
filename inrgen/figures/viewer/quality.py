"""Quality of a whole store as plain numbers: histograms by split, and quantiles by class."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from inrgen.core.config import SPLITS
from inrgen.core.spec import InrSpec
from inrgen.figures.quality import db_edges
from inrgen.store.queries import summarize
from inrgen.store.reader import Store
from inrgen.store.records import encode_texts, is_one_of, is_usable

_COLUMNS = ["row", "spec_id", "item_id", "split", "label", "label_name", "status", "psnr_db", "iou"]
_MAX_CLASSES = 60
_IOU_EDGES = np.linspace(0.0, 1.0, 41)


def describe_quality(
    store: Store, spec: InrSpec, among: Sequence[int] | None = None
) -> dict[str, Any]:
    """Read a few columns of a spec's records once, and summarise the field that tells quality.

    That field is IoU where it was measured, as for shapes, and PSNR elsewhere.

    Args:
        among: the rows to measure; None takes all.

    Returns:
        A document for JSON: rows, items, statuses, the field (measure), its histogram over shared
        edges and its quantiles for each split, and its quantiles for each of the first 60 classes.
    """
    table = store.read_records(_COLUMNS)
    kept = is_one_of(table["spec_id"], [spec.spec_id])
    if among is not None:
        kept &= np.isin(table["row"].to_numpy(), among)
    table = table.take(np.flatnonzero(kept))
    usable = is_usable(table["status"])
    iou = table["iou"].to_numpy()
    measure = "iou" if np.isfinite(iou[usable]).any() else "psnr_db"
    values = np.where(usable, table[measure].to_numpy(), np.nan).astype(np.float64)
    finite = {"all": values[np.isfinite(values)]}
    edges = _IOU_EDGES
    if measure == "psnr_db" and len(finite["all"]):
        edges = db_edges(finite)
    names, codes = encode_texts(table["split"])
    label_names, label_codes = encode_texts(table["label_name"])
    named = np.array(label_names, dtype=object)[label_codes]
    statuses, status_codes = encode_texts(table["status"])
    return {
        "rows": table.num_rows,
        "items": len(table["item_id"].unique()),
        "statuses": dict(zip(statuses, np.bincount(status_codes).tolist(), strict=True)),
        "measure": measure,
        "edges": edges.tolist(),
        "splits": {
            split: _distribution(values[codes == names.index(split)], edges)
            for split in SPLITS
            if split in names
        },
        "classes": _classes(table["label"].to_numpy(), named, values),
    }


def _distribution(values: Float[np.ndarray, " n"], edges: np.ndarray) -> dict[str, Any]:
    finite = values[np.isfinite(values)]
    counts = np.histogram(finite, edges)[0].tolist()
    return {"rows": len(values), "counts": counts, **summarize(finite)}


def _classes(
    labels: Int[np.ndarray, " n"], names: np.ndarray, values: Float[np.ndarray, " n"]
) -> list[dict[str, Any]]:
    """Quantiles of each class that has a label; names holds the class name of each row."""
    present, first = np.unique(labels, return_index=True)
    found = []
    for label, place in zip(present.tolist(), first.tolist(), strict=True):
        of_class = values[labels == label]
        finite = of_class[np.isfinite(of_class)]
        if label >= 0 and len(finite):
            name = names[place] or str(label)
            found.append({"name": name, "rows": len(of_class), **summarize(finite)})
    return found[:_MAX_CLASSES]
