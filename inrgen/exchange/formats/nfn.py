"""Sets of NFN (arXiv 2302.14040), and of the neighbours that read its CIFAR-10.

siren_{mnist,fashion,cifar}_wts/<prefix>_<label>s/net<i>.pth, keys net.0.linear.weight, ... in
order and no label among them. Numbers run without a gap: train, then val, then test. The prefix is
randinit_smaller for the first view, and randinit_smaller_aug0, _aug1, ... for further ones.
"""

import re
from pathlib import Path

import pyarrow as pa

from inrgen.core.moments import Moments
from inrgen.core.spec import InrSpec
from inrgen.exchange.conventions import ExportOptions
from inrgen.exchange.conversion import image_spec
from inrgen.exchange.files import find_files
from inrgen.exchange.formats import splits, state_dicts
from inrgen.exchange.formats.base import Entry, ExportContext, Listing, Row, Target

_PREFIX = "randinit_smaller"
_FOLDERS = {"mnist": "siren_mnist_wts", "fashion-mnist": "siren_fashion_wts"}
_CIFAR = "siren_cifar_wts"


def _path(context: ExportContext, row: Row) -> str:
    if row["label"] > 9:
        raise ValueError(f"nfn's loader knows ten classes, 0 to 9; got {row['label']}")
    folder = _FOLDERS.get(context.options.like or context.source, _CIFAR)
    # the first exported view has the plain prefix, even if its number is not 0
    place = context.views.index(row["view"])
    prefix = f"{_PREFIX}_aug{place - 1}" if place else _PREFIX
    return f"{folder}/{prefix}_{row['label']}s/net{row['item']}.pth"


def _target(spec: InrSpec, source: str, options: ExportOptions) -> Target:
    """Images in [-1, 1] over (row, column), without an output offset."""
    if spec.d_in != 2 or spec.value_kind != "intensity" or not spec.is_siren:
        raise ValueError(
            f"nfn holds SIRENs of images; this store's are {spec.architecture}, {spec.kind}"
        )
    made = image_spec(
        spec,
        coord_order="ij",
        value_range=(-1.0, 1.0),
        output_offset=0.0,
        omega=options.omega or 30.0,
    )
    return Target(spec=made)


def _finish(context: ExportContext, rows: pa.Table, moments: Moments) -> None:
    # loaders take these points as options (45,000 and 50,000 for CIFAR-10)
    splits.write_split_points(context.folder, rows, "item")


def _list_entries(folder: Path) -> Listing:
    """List the files that match the loader's pattern, with splits by split_points.json.

    Raises ValueError without that file: numbers alone do not say where val begins.
    """
    points = splits.read_split_points(folder)
    entries = []
    # earlier versions of inrgen wrote _aug1 onwards; an import counts only views that are there
    for path in find_files(folder, f"**/{_PREFIX}*s/net*.pth"):
        match = re.search(rf"{_PREFIX}(?:_aug(\d{{1,4}}))?_(\d)s/net(\d{{1,12}})\.pth$", path)
        if match:
            number = int(match[3])
            entries.append(
                Entry(
                    item_id=f"net/{number:05d}",
                    view=0 if match[1] is None else int(match[1]) + 1,
                    split=splits.split_at(number, points),
                    path=path,
                    label=int(match[2]),
                )
            )
    return Listing(entries=entries)


FORMAT = state_dicts.models_format(
    _path,
    label_inside=False,
    names=state_dicts.net_names,
    target=_target,
    finish=_finish,
    list_entries=_list_entries,
    whole_items=True,
    train_views=True,
    options=("omega", "like", "all_views"),
)
