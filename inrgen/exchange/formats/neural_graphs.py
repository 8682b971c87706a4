"""Sets of neural-graphs (arXiv 2403.12143): paths relative to the data set's folder.

splits.json has paths and whole-number labels. MNIST lies as DWSNets has it. Any other data set
lies as its Fashion-MNIST: fmnist_inrs/{train,test}/model_<i>.pth, with the label also in the file.
"""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pyarrow as pa

from inrgen.core.moments import Moments
from inrgen.core.params import Params
from inrgen.exchange.formats import dws
from inrgen.exchange.formats.base import Entry, ExportContext, Format, Listing, Row
from inrgen.exchange.formats.splits import (
    item_id_of,
    last_parts,
    read_splits,
    write_labelled_paths,
)
from inrgen.exchange.formats.state_dicts import (
    dws_target,
    load_models,
    split_folder,
    write_seq_models,
    write_statistics,
)


def _fashion_path(row: Row) -> str:
    return f"fmnist_inrs/{split_folder(row)}/model_{row['number']}.pth"


def _is_mnist(context: ExportContext) -> bool:
    return (context.options.like or context.source) == "mnist"


def _write(context: ExportContext, part: int, rows: Sequence[Row], params: Params) -> None:
    if _is_mnist(context):
        dws.write(context, part, rows, params)
    else:
        write_seq_models(context, rows, params, _fashion_path)


def _finish(context: ExportContext, rows: pa.Table, moments: Moments) -> None:
    prefix = PurePosixPath(context.options.path_prefix or "")
    path_of = dws.png_path if _is_mnist(context) else _fashion_path
    write_statistics(context, moments)
    write_labelled_paths(context.folder, rows, lambda row: (prefix / path_of(row)).as_posix(), int)


def _list_entries(folder: Path) -> Listing:
    if (folder / dws.FOLDER).is_dir():
        return dws.list_entries(folder)
    entries = []
    for split, path, label in read_splits(folder):
        inner = last_parts(path, 3)
        # a path of one part names its folder itself
        kind = (inner.split("/") * 2)[1]
        item = item_id_of(kind, inner)
        entries.append(Entry(item_id=item, view=0, split=split, path=inner, label=label))
    return Listing(entries=entries)


FORMAT = Format(
    target=dws_target,
    write=_write,
    finish=_finish,
    list_entries=_list_entries,
    load=load_models,
    rows_per_part=500,
    one_view=True,
    labelled=True,
    options=("omega", "like", "path_prefix"),
)
