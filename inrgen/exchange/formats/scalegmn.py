"""Sets of ScaleGMN (arXiv 2406.10685): its MNIST is DWSNets', its CIFAR-10 is NFN's.

Any other data set lies as its Fashion-MNIST: {train,test}/model_<i>.pth with the label in the
file, and splits.json with lists of paths, of which the loader uses the last two parts. Pass the
folder to that loader with a "/" at the end.
"""

from pathlib import Path

import pyarrow as pa

from inrgen.core.moments import Moments
from inrgen.exchange.formats import dws, nfn, splits, state_dicts
from inrgen.exchange.formats.base import Entry, ExportContext, Listing, Row, choose_layout


def _path(context: ExportContext, row: Row) -> str:
    return f"{state_dicts.split_folder(row)}/model_{row['number']}.pth"


def _finish(context: ExportContext, rows: pa.Table, moments: Moments) -> None:
    prefix = context.options.path_prefix or context.folder.name
    state_dicts.write_statistics(context, moments)
    splits.write_path_lists(context, rows, prefix, _path, context.views)


def _list_entries(folder: Path) -> Listing:
    if splits.find_splits(folder) is None:
        return nfn.FORMAT.list_entries(folder)
    if (folder / dws.FOLDER).is_dir():
        return dws.list_entries(folder)
    entries = []
    for split, path, _ in splits.read_splits(folder):
        inner = splits.last_parts(path, 2)
        item = splits.item_id_of(inner.split("/")[0], inner)
        entries.append(Entry(item_id=item, view=0, split=split, path=inner))
    return Listing(entries=entries)


_FASHION = state_dicts.models_format(
    _path,
    label_inside=True,
    finish=_finish,
    list_entries=_list_entries,
    one_view=True,
    options=("omega", "path_prefix"),
)
FORMAT = choose_layout(_FASHION, {"mnist": dws.FORMAT, "cifar10": nfn.FORMAT})
