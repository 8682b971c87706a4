"""Multi-view sets of deep-weight-space-augmentations (arXiv 2402.04081), also read by deep-align.

<root>/splits.json lists paths; <root>/<view>/<train or test>/model_<i>.pth holds keys seq.0.weight,
seq.0.bias, ... in order, and "label". The loader cuts each path at the first part named as the
root. The third last part is the view, views sort as text, and the file name identifies the object
across views. splits.json lists all views of training rows, but the first view only of val and test.
"""

import os
from pathlib import Path, PurePosixPath

import pyarrow as pa

from inrgen.core.config import Split
from inrgen.core.moments import Moments
from inrgen.exchange.formats import splits, state_dicts
from inrgen.exchange.formats.base import Entry, ExportContext, Listing, Row

# Entries of the table of objects and views for each path listed; val and test list one view each.
_MAX_SHARE, _SMALL_TABLE = 20, 10_000


def _path(context: ExportContext, row: Row) -> str:
    # padded with zeros, because the loader sorts views as text
    view = str(row["view"]).zfill(len(str(context.views[-1])))
    return f"{view}/{state_dicts.split_folder(row)}/model_{row['number']}.pth"


def _finish(context: ExportContext, rows: pa.Table, moments: Moments) -> None:
    prefix = (PurePosixPath(context.options.path_prefix or "") / context.folder.name).as_posix()
    state_dicts.write_statistics(context, moments)
    splits.write_path_lists(context, rows, prefix, _path, context.views[:1])


def _check_table(num_listed: int, num_objects: int, num_views: int) -> None:
    """Raise ValueError for objects times views out of all proportion to the paths listed."""
    if num_objects * num_views > max(_SMALL_TABLE, _MAX_SHARE * num_listed):
        raise ValueError(
            f"{splits.SPLITS_FILE} names {num_views:,} views of {num_objects:,} objects in "
            f"{num_listed:,} paths: most of the table would be holes"
        )


def _list_entries(folder: Path) -> Listing:
    """List every object that splits.json names in every view that it names, listed or not."""
    objects: dict[tuple[str, str], Split] = {}
    views: set[str] = set()
    num_listed = 0
    for split, path, _ in splits.read_splits(folder):
        num_listed += 1
        parts = splits.last_parts(path, 3).split("/")
        if len(parts) < 3 or ".." in parts:
            raise ValueError(f"{splits.SPLITS_FILE}: {path!r:.200} has no view, part and file name")
        views.add(parts[0])
        if objects.setdefault((parts[1], parts[2]), split) != split:
            raise ValueError(f"{splits.SPLITS_FILE}: {'/'.join(parts[1:])} is in two splits")
    _check_table(num_listed, len(objects), len(views))
    entries = [
        Entry(
            item_id=splits.item_id_of(kind, name),
            view=view,
            split=split,
            path=f"{label}/{kind}/{name}",
        )
        for (kind, name), split in objects.items()
        for view, label in enumerate(sorted(views))
        # later views may hold training objects only
        if split == "train" or view == 0 or os.path.lexists(folder / label / kind / name)
    ]
    return Listing(entries=entries)


FORMAT = state_dicts.models_format(
    _path,
    label_inside=True,
    finish=_finish,
    list_entries=_list_entries,
    whole_items=True,
    options=("omega", "path_prefix"),
    cut_at_folder=True,
)
