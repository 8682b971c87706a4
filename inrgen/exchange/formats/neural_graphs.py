"""Files of neural-graphs (arXiv 2403.12143): paths relative to the data set's folder.

splits.json has paths and whole-number labels. MNIST lies as DWSNets has it; anything else as its
Fashion-MNIST, fmnist_inrs/{train,test}/model_<i>.pth, with the label in the file, too.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.exchange.files import BadEntry
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
from inrgen.exchange.formats.dws import png_entries, png_path, write_labelled_splits, write_pngs
from inrgen.exchange.formats.model_files import write_models
from inrgen.exchange.formats.splits_file import last_parts, numbered, read_splits
from inrgen.exchange.formats.state_dicts import (
    dws_family,
    load_models,
    seq_names,
    write_statistics,
)
from inrgen.exchange.moments import Moments

_FOLDER = "fmnist_inrs"


def _fashion_path(row: Row) -> str:
    kind = "test" if row["split"] == "test" else "train"
    return f"{_FOLDER}/{kind}/model_{row['number']}.pth"


def _like_mnist(writing: Writing) -> bool:
    return (writing.wishes.like or writing.source) == "mnist"


class NeuralGraphs:
    """See the module's docstring."""

    exporter = Exporter(
        rows_per_part=500, one_view=True, labelled=True, heeds=("omega", "like", "path_prefix")
    )

    def target(self, spec: InrSpec, source: str, wishes: Wishes) -> Target:
        return Target(spec=dws_family(spec, wishes.omega))

    def write(self, writing: Writing, part: int, rows: Sequence[Row], params: Params) -> None:
        if _like_mnist(writing):
            write_pngs(writing, rows, params)
            return
        names = seq_names(len(params.weights))
        places = [(writing.folder / _fashion_path(row), row["label"]) for row in rows]
        write_models(names, params, places)

    def finish(self, writing: Writing, rows: pa.Table, moments: Moments) -> None:
        path_of = png_path if _like_mnist(writing) else _fashion_path
        write_statistics(writing, moments)
        write_labelled_splits(writing, rows, writing.wishes.path_prefix or "", path_of, int)

    def survey(self, folder: Path) -> Survey:
        if (folder / "mnist-inrs").is_dir():
            return Survey(entries=png_entries(folder))
        entries = []
        for split, path, label in read_splits(folder):
            inner = last_parts(path, 3)
            kind = (inner.split("/") * 2)[1]
            item = numbered(kind, inner)
            entries.append(Entry(item_id=item, view=0, split=split, path=inner, label=label))
        return Survey(entries=entries)

    def load(
        self, folder: Path, entries: Sequence[Entry], widths: tuple[int, ...] | None
    ) -> Iterator[Loaded | BadEntry]:
        return load_models(folder, entries, widths)
