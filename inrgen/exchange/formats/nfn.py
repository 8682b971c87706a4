"""Files of NFN (arXiv 2302.14040) and of the neighbours that read its CIFAR-10.

siren_{mnist,fashion,cifar}_wts/<prefix>_<label>s/net<i>.pth, keys net.0.linear.weight, ... in
order and no label among them. Numbers run without a gap: train, then val, then test. The prefix is
randinit_smaller, and randinit_smaller_aug<k> for a further view k.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.exchange.conventions import pictures_as
from inrgen.exchange.files import BadEntry, find_files
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
from inrgen.exchange.formats.splits_file import read_split_points, split_at, write_split_points
from inrgen.exchange.formats.state_dicts import load_models, net_names
from inrgen.exchange.moments import Moments

_PREFIX = "randinit_smaller"
_FOLDERS = {"mnist": "siren_mnist_wts", "fashion-mnist": "siren_fashion_wts"}
_CIFAR = "siren_cifar_wts"


def nfn_path(writing: Writing, row: Row) -> str:
    """Where a row goes, relative to the folder; the first view has the plain prefix."""
    folder = _FOLDERS.get(writing.wishes.like or writing.source, _CIFAR)
    place = writing.views.index(row["view"])
    prefix = f"{_PREFIX}_aug{place}" if place else _PREFIX
    return f"{folder}/{prefix}_{row['label']}s/net{row['item']}.pth"


class Nfn:
    """See the module's docstring."""

    exporter = Exporter(rows_per_part=500, whole_items=True, labelled=True, heeds=("omega", "like"))

    def target(self, spec: InrSpec, source: str, wishes: Wishes) -> Target:
        """Images in [-1, 1] over (row, column), nothing added to the network."""
        if spec.d_in != 2 or spec.value_kind != "intensity" or spec.activation != "sine":
            raise ValueError(f"nfn holds SIRENs of images; this store's are {spec.architecture}")
        made = pictures_as(
            spec,
            coord_order="ij",
            value_range=(-1.0, 1.0),
            output_offset=0.0,
            omega=wishes.omega or 30.0,
        )
        return Target(spec=made)

    def write(self, writing: Writing, part: int, rows: Sequence[Row], params: Params) -> None:
        names = net_names(len(params.weights))
        for row in rows:
            if row["label"] > 9:
                raise ValueError(f"nfn's loader knows ten classes, 0 to 9; got {row['label']}")
        places = [(writing.folder / nfn_path(writing, row), None) for row in rows]
        write_models(names, params, places)

    def finish(self, writing: Writing, rows: pa.Table, moments: Moments) -> None:
        """Where val and test begin, for loaders that are told (45,000 and 50,000 of CIFAR-10)."""
        write_split_points(writing.folder, rows, "item")

    def survey(self, folder: Path) -> Survey:
        """All that matches the loader's pattern; splits by split_points.json.

        Raises ValueError where there is no such file: numbers alone do not say where val begins.
        """
        bounds = read_split_points(folder)
        entries = []
        for path in find_files(folder, f"**/{_PREFIX}*s/net*.pth"):
            match = re.search(rf"{_PREFIX}(?:_aug(\d{{1,4}}))?_(\d)s/net(\d{{1,12}})\.pth$", path)
            if match:
                number = int(match[3])
                entries.append(
                    Entry(
                        item_id=f"net/{number:05d}",
                        view=int(match[1] or 0),
                        split=split_at(number, bounds),
                        path=path,
                        label=int(match[2]),
                    )
                )
        return Survey(entries=entries)

    def load(
        self, folder: Path, entries: Sequence[Entry], widths: tuple[int, ...] | None
    ) -> Iterator[Loaded | BadEntry]:
        return load_models(folder, entries, widths)
