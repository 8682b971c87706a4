"""Sets of neural-graphs (arXiv 2403.12143): paths relative to the data set's folder.

splits.json, which is also written under the loader's own name, has paths and whole-number labels.
MNIST lies as DWSNets has it. Any other data set lies as its Fashion-MNIST:
fmnist_inrs/{train,test}/model_<i>.pth, with the label also in the file.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pyarrow as pa

from inrgen.core.moments import Moments
from inrgen.exchange.formats import dws, splits, state_dicts
from inrgen.exchange.formats.base import (
    Entry,
    ExportContext,
    Listing,
    PathOf,
    Row,
    choose_layout,
)


def _fashion_path(context: ExportContext, row: Row) -> str:
    return f"fmnist_inrs/{state_dicts.split_folder(row)}/model_{row['number']}.pth"


def _finish(
    path_of: PathOf, own_name: str, context: ExportContext, rows: pa.Table, moments: Moments
) -> None:
    prefix = context.options.path_prefix or ""
    state_dicts.write_statistics(context, moments)
    splits.write_labelled_paths(context, rows, prefix, path_of, int, own_name)


def _list_entries(folder: Path) -> Listing:
    if (folder / dws.FOLDER).is_dir():
        return dws.list_entries(folder)
    entries = []
    for split, path, label in splits.read_splits(folder):
        inner = splits.last_parts(path, 3)
        # a path of one part names its folder itself
        kind = (inner.split("/") * 2)[1]
        item = splits.item_id_of(kind, inner)
        entries.append(Entry(item_id=item, view=0, split=split, path=inner, label=label))
    return Listing(entries=entries)


_FASHION = state_dicts.models_format(
    _fashion_path,
    label_inside=True,
    finish=partial(_finish, _fashion_path, splits.FASHION_SPLITS),
    list_entries=_list_entries,
    one_view=True,
    options=("omega", "path_prefix"),
)
_MNIST = replace(dws.FORMAT, finish=partial(_finish, dws.png_path, splits.MNIST_SPLITS))
FORMAT = choose_layout(_FASHION, {"mnist": _MNIST})
