"""Files of ScaleGMN (arXiv 2406.10685): its MNIST is DWSNets', its CIFAR-10 NFN's.

Its Fashion-MNIST has splits.json with lists of paths, of which the last two parts are used, and the
label in the file: {train,test}/model_<i>.pth. The folder is given to it with a "/" at the end.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.exchange.files import BadEntry, write_json
from inrgen.exchange.formats.base import (
    Entry,
    Exporter,
    Format,
    Loaded,
    Row,
    Survey,
    Target,
    Wishes,
    Writing,
)
from inrgen.exchange.formats.dws import Dws
from inrgen.exchange.formats.model_files import write_models
from inrgen.exchange.formats.nfn import Nfn
from inrgen.exchange.formats.splits_file import SPLITS_FILE, last_parts, numbered, read_splits
from inrgen.exchange.formats.state_dicts import (
    dws_family,
    load_models,
    seq_names,
    write_statistics,
)
from inrgen.exchange.moments import Moments


def _path(row: Row) -> str:
    kind = "test" if row["split"] == "test" else "train"
    return f"{kind}/model_{row['number']}.pth"


class _Fashion:
    exporter = Exporter(
        rows_per_part=500, one_view=True, labelled=True, heeds=("omega", "path_prefix")
    )

    def target(self, spec: InrSpec, source: str, wishes: Wishes) -> Target:
        return Target(spec=dws_family(spec, wishes.omega))

    def write(self, writing: Writing, part: int, rows: Sequence[Row], params: Params) -> None:
        names = seq_names(len(params.weights))
        places = [(writing.folder / _path(row), row["label"]) for row in rows]
        write_models(names, params, places)

    def finish(self, writing: Writing, rows: pa.Table, moments: Moments) -> None:
        paths: dict[str, list[str]] = {"train": [], "val": [], "test": []}
        before = writing.wishes.path_prefix or writing.folder.name
        for row in rows.select(["split", "number"]).to_pylist():
            paths[row["split"]].append(f"{before}/{_path(row)}")
        write_statistics(writing, moments)
        write_json(writing.folder / SPLITS_FILE, paths)

    def survey(self, folder: Path) -> Survey:
        entries = []
        for split, path, _ in read_splits(folder):
            inner = last_parts(path, 2)
            item = numbered(inner.split("/")[0], inner)
            entries.append(Entry(item_id=item, view=0, split=split, path=inner))
        return Survey(entries=entries)

    def load(
        self, folder: Path, entries: Sequence[Entry], widths: tuple[int, ...] | None
    ) -> Iterator[Loaded | BadEntry]:
        return load_models(folder, entries, widths)


def _layout(name: str) -> Format:
    return {"mnist": Dws(), "cifar10": Nfn()}.get(name) or _Fashion()


class ScaleGmn:
    """See the module's docstring; which of the three layouts is decided by the data set's name."""

    exporter = Exporter(
        rows_per_part=500,
        one_view=True,
        whole_items=True,
        labelled=True,
        heeds=("omega", "like", "path_prefix"),
    )

    def target(self, spec: InrSpec, source: str, wishes: Wishes) -> Target:
        layout = _layout(wishes.like or source)
        if wishes.path_prefix is not None and "path_prefix" not in layout.exporter.heeds:
            raise ValueError("path_prefix means nothing here: such files have no list of paths")
        return layout.target(spec, source, wishes)

    def write(self, writing: Writing, part: int, rows: Sequence[Row], params: Params) -> None:
        _layout(writing.wishes.like or writing.source).write(writing, part, rows, params)

    def finish(self, writing: Writing, rows: pa.Table, moments: Moments) -> None:
        _layout(writing.wishes.like or writing.source).finish(writing, rows, moments)

    def survey(self, folder: Path) -> Survey:
        if (folder / SPLITS_FILE).exists():
            is_mnist = (folder / "mnist-inrs").is_dir()
            return _layout("mnist" if is_mnist else "fashion-mnist").survey(folder)
        return _layout("cifar10").survey(folder)

    def load(
        self, folder: Path, entries: Sequence[Entry], widths: tuple[int, ...] | None
    ) -> Iterator[Loaded | BadEntry]:
        return load_models(folder, entries, widths)
