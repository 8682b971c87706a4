"""Files of deep-weight-space-augmentations (arXiv 2402.04081), which deep-align reads as well.

<root>/splits.json lists paths; <root>/<view>/<train or test>/model_<i>.pth holds keys seq.0.weight,
seq.0.bias, ... in order, and "label". The loader cuts each path at the first part that is called as
the root is; the view is the third last part, views sort as text, and a file's name is its
object's in every view.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import pyarrow as pa

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.core.splits import Split
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
from inrgen.exchange.formats.splits_file import SPLITS_FILE, last_parts, numbered, read_splits
from inrgen.exchange.formats.state_dicts import (
    dws_family,
    load_models,
    seq_names,
    write_statistics,
)
from inrgen.exchange.moments import Moments


def _path(writing: Writing, row: Row) -> str:
    """Where a row goes, relative to the root; val comes of the training files."""
    view = str(row["view"]).zfill(len(str(writing.views[-1])))
    kind = "test" if row["split"] == "test" else "train"
    return f"{view}/{kind}/model_{row['number']}.pth"


class DwsMultiview:
    """See the module's docstring."""

    exporter = Exporter(
        rows_per_part=500,
        whole_items=True,
        labelled=True,
        heeds=("omega", "path_prefix"),
        cut_at_folder=True,
    )

    def target(self, spec: InrSpec, source: str, wishes: Wishes) -> Target:
        return Target(spec=dws_family(spec, wishes.omega))

    def write(self, writing: Writing, part: int, rows: Sequence[Row], params: Params) -> None:
        names = seq_names(len(params.weights))
        places = [(writing.folder / _path(writing, row), row["label"]) for row in rows]
        write_models(names, params, places)

    def finish(self, writing: Writing, rows: pa.Table, moments: Moments) -> None:
        """splits.json lists all views of training rows, and the first of the others."""
        prefix = (PurePosixPath(writing.wishes.path_prefix or "") / writing.folder.name).as_posix()
        paths: dict[str, list[str]] = {"train": [], "val": [], "test": []}
        for batch in rows.select(["split", "view", "number"]).to_batches():
            for row in batch.to_pylist():
                if row["split"] == "train" or row["view"] == writing.views[0]:
                    paths[row["split"]].append(f"{prefix}/{_path(writing, row)}")
        write_statistics(writing, moments)
        write_json(writing.folder / SPLITS_FILE, paths)

    def survey(self, folder: Path) -> Survey:
        """Every object that splits.json names, in every view that it names, listed or not."""
        objects: dict[tuple[str, str], Split] = {}
        views: set[str] = set()
        for split, path, _ in read_splits(folder):
            parts = last_parts(path, 3).split("/")
            if len(parts) < 3 or ".." in parts:
                raise ValueError(f"{SPLITS_FILE}: {path!r:.200} has no view, part and file name")
            views.add(parts[0])
            if objects.setdefault((parts[1], parts[2]), split) != split:
                raise ValueError(f"{SPLITS_FILE}: {'/'.join(parts[1:])} is in two splits")
        entries = [
            Entry(
                item_id=numbered(kind, name), view=view, split=split, path=f"{label}/{kind}/{name}"
            )
            for (kind, name), split in objects.items()
            for view, label in enumerate(sorted(views))
            # a view may hold training objects alone
            if split == "train" or view == 0 or os.path.lexists(folder / label / kind / name)
        ]
        return Survey(entries=entries)

    def load(
        self, folder: Path, entries: Sequence[Entry], widths: tuple[int, ...] | None
    ) -> Iterator[Loaded | BadEntry]:
        return load_models(folder, entries, widths)
