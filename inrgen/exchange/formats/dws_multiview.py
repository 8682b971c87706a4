"""Multi-view sets of deep-weight-space-augmentations (arXiv 2402.04081), also read by deep-align.

<root>/splits.json lists paths; <root>/<view>/<train or test>/model_<i>.pth holds keys seq.0.weight,
seq.0.bias, ... in order, and "label". The loader cuts each path at the first part named as the
root. The third last part is the view, views sort as text, and the file name identifies the object
across views. splits.json lists all views of training rows, but the first view only of val and test.
"""

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pyarrow as pa

from inrgen.core.moments import Moments
from inrgen.core.params import Params
from inrgen.core.splits import Split
from inrgen.exchange.formats.base import Entry, ExportContext, Format, Listing, Row
from inrgen.exchange.formats.splits import (
    SPLITS_FILE,
    item_id_of,
    last_parts,
    read_splits,
    write_path_lists,
)
from inrgen.exchange.formats.state_dicts import (
    dws_target,
    load_models,
    split_folder,
    write_seq_models,
    write_statistics,
)


def _path(context: ExportContext, row: Row) -> str:
    # padded with zeros, because the loader sorts views as text
    view = str(row["view"]).zfill(len(str(context.views[-1])))
    return f"{view}/{split_folder(row)}/model_{row['number']}.pth"


def _write(context: ExportContext, part: int, rows: Sequence[Row], params: Params) -> None:
    write_seq_models(context, rows, params, lambda row: _path(context, row))


def _finish(context: ExportContext, rows: pa.Table, moments: Moments) -> None:
    prefix = (PurePosixPath(context.options.path_prefix or "") / context.folder.name).as_posix()

    def listed(row: Row) -> str | None:
        used = row["split"] == "train" or row["view"] == context.views[0]
        return f"{prefix}/{_path(context, row)}" if used else None

    write_statistics(context, moments)
    write_path_lists(context.folder, rows, listed)


def _list_entries(folder: Path) -> Listing:
    """List every object that splits.json names in every view that it names, listed or not."""
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
        Entry(item_id=item_id_of(kind, name), view=view, split=split, path=f"{label}/{kind}/{name}")
        for (kind, name), split in objects.items()
        for view, label in enumerate(sorted(views))
        # later views may hold training objects only
        if split == "train" or view == 0 or os.path.lexists(folder / label / kind / name)
    ]
    return Listing(entries=entries)


FORMAT = Format(
    target=dws_target,
    write=_write,
    finish=_finish,
    list_entries=_list_entries,
    load=load_models,
    rows_per_part=500,
    whole_items=True,
    labelled=True,
    options=("omega", "path_prefix"),
    cut_at_folder=True,
)
