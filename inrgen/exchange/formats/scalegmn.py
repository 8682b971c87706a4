"""Sets of ScaleGMN (arXiv 2406.10685): its MNIST is DWSNets', its CIFAR-10 is NFN's.

Any other data set lies as its Fashion-MNIST: {train,test}/model_<i>.pth with the label in the
file, and splits.json with lists of paths, of which the loader uses the last two parts. Pass the
folder to that loader with a "/" at the end.
"""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from inrgen.core.moments import Moments
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.exchange.conventions import ExportOptions
from inrgen.exchange.formats import dws, nfn
from inrgen.exchange.formats.base import Entry, ExportContext, Format, Listing, Row, Target
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


def _path(row: Row) -> str:
    return f"{split_folder(row)}/model_{row['number']}.pth"


def _write_fashion(context: ExportContext, part: int, rows: Sequence[Row], params: Params) -> None:
    write_seq_models(context, rows, params, _path)


def _finish_fashion(context: ExportContext, rows: pa.Table, moments: Moments) -> None:
    prefix = context.options.path_prefix or context.folder.name
    write_statistics(context, moments)
    write_path_lists(context.folder, rows, lambda row: f"{prefix}/{_path(row)}")


def _list_fashion(folder: Path) -> Listing:
    entries = []
    for split, path, _ in read_splits(folder):
        inner = last_parts(path, 2)
        item = item_id_of(inner.split("/")[0], inner)
        entries.append(Entry(item_id=item, view=0, split=split, path=inner))
    return Listing(entries=entries)


_FASHION = Format(
    target=dws_target,
    write=_write_fashion,
    finish=_finish_fashion,
    list_entries=_list_fashion,
    load=load_models,
    rows_per_part=500,
    one_view=True,
    labelled=True,
    options=("omega", "path_prefix"),
)


def _layout(dataset: str) -> Format:
    return {"mnist": dws.FORMAT, "cifar10": nfn.FORMAT}.get(dataset, _FASHION)


def _target(spec: InrSpec, source: str, options: ExportOptions) -> Target:
    layout = _layout(options.like or source)
    if options.path_prefix is not None and "path_prefix" not in layout.options:
        raise ValueError("path_prefix means nothing here: such files have no list of paths")
    return layout.target(spec, source, options)


def _write(context: ExportContext, part: int, rows: Sequence[Row], params: Params) -> None:
    _layout(context.options.like or context.source).write(context, part, rows, params)


def _finish(context: ExportContext, rows: pa.Table, moments: Moments) -> None:
    finish = _layout(context.options.like or context.source).finish
    assert finish is not None, "each of the three layouts has files about all rows"
    finish(context, rows, moments)


def _list_entries(folder: Path) -> Listing:
    if not (folder / SPLITS_FILE).exists():
        return nfn.FORMAT.list_entries(folder)
    layout = dws.FORMAT if (folder / dws.FOLDER).is_dir() else _FASHION
    return layout.list_entries(folder)


FORMAT = Format(
    target=_target,
    write=_write,
    finish=_finish,
    list_entries=_list_entries,
    load=load_models,
    rows_per_part=500,
    one_view=True,
    # NFN's numbers must have no gap
    whole_items=True,
    labelled=True,
    options=("omega", "like", "path_prefix"),
)
