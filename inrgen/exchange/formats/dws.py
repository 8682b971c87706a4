"""Files of DWSNets' MNIST (arXiv 2301.12780), with paths opened as they are given.

mnist-inrs/mnist_png_{training,testing}_<label>_<i>/checkpoints/model_final.pth, and splits.json =
{"train": {"path": [...], "label": ["3", ...]}, ...}.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.exchange.files import BadEntry, write_json
from inrgen.exchange.formats.base import (
    Entry,
    Exporter,
    Loaded,
    Row,
    Survey,
    Target,
    Wishes,
    Writing,
)
from inrgen.exchange.formats.model_files import write_models
from inrgen.exchange.formats.splits_file import SPLITS_FILE, last_parts, read_splits
from inrgen.exchange.formats.state_dicts import (
    dws_family,
    load_models,
    seq_names,
    write_statistics,
)
from inrgen.exchange.moments import Moments

_FOLDER = "mnist-inrs"


def png_path(row: Row) -> str:
    """Where a row goes, relative to the folder."""
    kind = "testing" if row["split"] == "test" else "training"
    name = f"mnist_png_{kind}_{row['label']}_{row['number']}"
    return f"{_FOLDER}/{name}/checkpoints/model_final.pth"


def png_entries(folder: Path) -> list[Entry]:
    """What splits.json names, each at the end of its path within the folder."""
    entries = []
    for split, path, label in read_splits(folder):
        inner = last_parts(path, 4)
        match = re.search(r"mnist_png_(train|test)ing_\d+_(\d{1,12})/", inner)
        item = f"{match[1]}/{int(match[2]):05d}" if match else inner.removesuffix(".pth")
        entries.append(Entry(item_id=item, view=0, split=split, path=inner, label=label))
    return entries


def write_pngs(writing: Writing, rows: Sequence[Row], params: Params) -> None:
    """The files of a part."""
    names = seq_names(len(params.weights))
    write_models(names, params, [(writing.folder / png_path(row), None) for row in rows])


def write_labelled_splits(
    writing: Writing, rows: pa.Table, prefix: str, path_of: Any, label_of: Any
) -> None:
    """splits.json with paths and labels of every row, each made by a function of the row."""
    found: dict[str, dict[str, list[Any]]] = {
        split: {"path": [], "label": []} for split in ("train", "val", "test")
    }
    for batch in rows.select(["split", "view", "number", "label"]).to_batches():
        for row in batch.to_pylist():
            found[row["split"]]["path"].append((PurePosixPath(prefix) / path_of(row)).as_posix())
            found[row["split"]]["label"].append(label_of(row["label"]))
    write_json(writing.folder / SPLITS_FILE, found)


class Dws:
    """See the module's docstring. Labels are text; without a prefix, paths are absolute."""

    exporter = Exporter(
        rows_per_part=500, one_view=True, labelled=True, heeds=("omega", "path_prefix")
    )

    def target(self, spec: InrSpec, source: str, wishes: Wishes) -> Target:
        return Target(spec=dws_family(spec, wishes.omega))

    def write(self, writing: Writing, part: int, rows: Sequence[Row], params: Params) -> None:
        write_pngs(writing, rows, params)

    def finish(self, writing: Writing, rows: pa.Table, moments: Moments) -> None:
        prefix = writing.wishes.path_prefix
        before = writing.folder.absolute().as_posix() if prefix is None else prefix
        write_statistics(writing, moments)
        write_labelled_splits(writing, rows, before, png_path, str)

    def survey(self, folder: Path) -> Survey:
        return Survey(entries=png_entries(folder))

    def load(
        self, folder: Path, entries: Sequence[Entry], widths: tuple[int, ...] | None
    ) -> Iterator[Loaded | BadEntry]:
        return load_models(folder, entries, widths)
