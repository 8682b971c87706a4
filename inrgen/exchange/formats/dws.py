"""DWSNets' MNIST (arXiv 2301.12780): one file an INR, opened by the paths as listed.

mnist-inrs/mnist_png_{training,testing}_<label>_<i>/checkpoints/model_final.pth, and splits.json =
{"train": {"path": [...], "label": ["3", ...]}, ...}. Labels are text. Paths are absolute unless
the user gives a prefix.
"""

import re
from pathlib import Path

import pyarrow as pa

from inrgen.core.moments import Moments
from inrgen.exchange.formats import splits, state_dicts
from inrgen.exchange.formats.base import Entry, ExportContext, Listing, Row

FOLDER = "mnist-inrs"


def png_path(context: ExportContext, row: Row) -> str:
    """Path of a row's file, relative to the export's folder."""
    kind = "testing" if row["split"] == "test" else "training"
    name = f"mnist_png_{kind}_{row['label']}_{row['number']}"
    return f"{FOLDER}/{name}/checkpoints/model_final.pth"


def _finish(context: ExportContext, rows: pa.Table, moments: Moments) -> None:
    prefix = context.options.path_prefix
    before = context.folder if prefix is None else prefix
    state_dicts.write_statistics(context, moments)
    splits.write_labelled_paths(context, rows, before, png_path, str, splits.MNIST_SPLITS)


def list_entries(folder: Path) -> Listing:
    """List the files that splits.json names, by the last four parts of their paths."""
    entries = []
    for split, path, label in splits.read_splits(folder):
        inner = splits.last_parts(path, 4)
        # the item id takes the place that our own sources give it, such as train/00017
        match = re.search(r"mnist_png_(train|test)ing_\d+_(\d{1,12})/", inner)
        item = f"{match[1]}/{int(match[2]):05d}" if match else inner.removesuffix(".pth")
        entries.append(Entry(item_id=item, view=0, split=split, path=inner, label=label))
    return Listing(entries=entries)


FORMAT = state_dicts.models_format(
    png_path,
    label_inside=False,
    finish=_finish,
    list_entries=list_entries,
    one_view=True,
    options=("omega", "path_prefix"),
)
