"""DWSNets' MNIST (arXiv 2301.12780): one file an INR, opened by the paths as listed.

mnist-inrs/mnist_png_{training,testing}_<label>_<i>/checkpoints/model_final.pth, and splits.json =
{"train": {"path": [...], "label": ["3", ...]}, ...}. Labels are text. Paths are absolute unless
the user gives a prefix.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from inrgen.core.moments import Moments
from inrgen.core.params import Params
from inrgen.exchange.formats.base import Entry, ExportContext, Format, Listing, Row
from inrgen.exchange.formats.splits import last_parts, read_splits, write_labelled_paths
from inrgen.exchange.formats.state_dicts import (
    dws_target,
    load_models,
    seq_names,
    write_models,
    write_statistics,
)

FOLDER = "mnist-inrs"


def png_path(row: Row) -> str:
    """Path of a row's file, relative to the export's folder."""
    kind = "testing" if row["split"] == "test" else "training"
    name = f"mnist_png_{kind}_{row['label']}_{row['number']}"
    return f"{FOLDER}/{name}/checkpoints/model_final.pth"


def write(context: ExportContext, part: int, rows: Sequence[Row], params: Params) -> None:
    """Write the files of a part, without labels in them."""
    places = [(context.folder / png_path(row), None) for row in rows]
    write_models(seq_names(len(params.weights)), params, places)


def _finish(context: ExportContext, rows: pa.Table, moments: Moments) -> None:
    prefix = context.options.path_prefix
    before = Path(context.folder.absolute() if prefix is None else prefix)
    write_statistics(context, moments)
    write_labelled_paths(context.folder, rows, lambda row: (before / png_path(row)).as_posix(), str)


def list_entries(folder: Path) -> Listing:
    """List the files that splits.json names, by the last four parts of their paths."""
    entries = []
    for split, path, label in read_splits(folder):
        inner = last_parts(path, 4)
        match = re.search(r"mnist_png_(train|test)ing_\d+_(\d{1,12})/", inner)
        item = f"{match[1]}/{int(match[2]):05d}" if match else inner.removesuffix(".pth")
        entries.append(Entry(item_id=item, view=0, split=split, path=inner, label=label))
    return Listing(entries=entries)


FORMAT = Format(
    target=dws_target,
    write=write,
    finish=_finish,
    list_entries=list_entries,
    load=load_models,
    rows_per_part=500,
    one_view=True,
    labelled=True,
    options=("omega", "path_prefix"),
)
