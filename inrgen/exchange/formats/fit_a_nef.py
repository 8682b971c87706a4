"""Files of fit-a-nef and of neural-field-arena (arXiv 2312.10531): many INRs in an HDF5 file.

nefs_<start>-<end>.hdf5 holds params (N, P), param_config (1,) as JSON [[name, shape], ...] and
labels (N,): for each layer the bias, then the kernel as (in, out). metadata.json holds mean and
deviation of the training rows. Values are standardised by the data set's mean and deviation.
"""

import json
import re
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.exchange.conventions import pictures_as, standardisation
from inrgen.exchange.files import MAX_PARAMS, BadEntry, find_files, write_json, write_whole
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
from inrgen.exchange.formats.hdf5 import open_hdf5, plain_dataset
from inrgen.exchange.formats.splits_file import read_split_points, split_at, write_split_points
from inrgen.exchange.formats.state_dicts import chain_widths
from inrgen.exchange.moments import Moments

# Mean and deviation of the pixels of the training pictures, in [0, 1], as commonly used.
_PIXELS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "mnist": ((0.1307,), (0.3081,)),
    "fashion-mnist": ((0.2860,), (0.3530,)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
}


def layer_names(num_layers: int) -> list[str]:
    """kernel_net_0.linear, ..., output_linear."""
    return [*(f"kernel_net_{i}.linear" for i in range(num_layers - 1)), "output_linear"]


def _flat(params: Params) -> Float[Tensor, "b p"]:
    parts = []
    for weight, bias in zip(params.weights, params.biases, strict=True):
        parts += [bias, weight.mT.flatten(1)]
    return torch.cat(parts, dim=1)


def _param_config(spec: InrSpec) -> list[Any]:
    config = []
    for name, fan_in, fan_out in zip(
        layer_names(spec.num_hidden + 1), spec.widths[:-1], spec.widths[1:], strict=True
    ):
        config += [[f"{name}.bias", [fan_out]], [f"{name}.kernel", [fan_in, fan_out]]]
    return config


class FitANef:
    """See the module's docstring."""

    exporter = Exporter(
        rows_per_part=4000, one_view=True, heeds=("omega", "value_mean", "value_std")
    )

    def target(self, spec: InrSpec, source: str, wishes: Wishes) -> Target:
        """Images over (column, row), standardised; one omega and one hidden width throughout."""
        if spec.activation != "sine" or len(set(spec.widths[1:-1])) > 1:
            raise ValueError(
                f"fit-a-nef's SIRENs have hidden layers of one width; got {spec.architecture}"
            )
        made = pictures_as(
            spec,
            coord_order="xy",
            value_range=(0.0, 1.0),
            output_offset=0.0,
            omega=wishes.omega or spec.omega[0],
        )
        mean, std = wishes.value_mean, wishes.value_std
        if mean is None and spec.value_kind == "intensity":
            mean, std = _PIXELS.get(source, (None, None))
        if mean is not None and std is not None:
            standardisation(spec, mean, std)
        elif spec.value_kind == "intensity":
            raise ValueError(
                "fit-a-nef standardises values: state --value-mean and --value-std of the pixels "
                "(0 and 1 leave values as they are)"
            )
        return Target(spec=made, mean=mean, std=std)

    def write(self, writing: Writing, part: int, rows: Sequence[Row], params: Params) -> None:
        """One file; its numbers count all rows that go out, and no file spans two splits."""
        start = rows[0]["place"]
        name = f"nefs_{start}-{start + len(rows)}.hdf5"
        columns = {key: np.array([row[key] for row in rows]) for key in ("label", "view", "item")}

        def made(path: Path) -> None:
            with h5py.File(path, "w") as file:
                file.create_dataset("params", data=_flat(params).numpy())
                text = file.create_dataset("param_config", (1,), dtype=h5py.string_dtype())
                text[0] = json.dumps(_param_config(writing.target.spec))
                file.create_dataset("labels", data=columns["label"])
                file.create_dataset("views", data=columns["view"])
                file.create_dataset("items", data=columns["item"])

        write_whole(writing.folder / name, made)

    def finish(self, writing: Writing, rows: pa.Table, moments: Moments) -> None:
        """metadata.json by the names that loaders ask for, nef.json, and where splits begin."""
        spec = writing.target.spec
        write_split_points(writing.folder, rows, "row")
        if moments.count >= 2:
            mean, std = (_flat(p)[0].tolist() for p in moments.mean_and_std(spec))
            found = {"mean": mean, "std": std}
            write_json(
                writing.folder / "metadata.json", {"train": found, f"0_{moments.count}": found}
            )
        layers = {"num_layers": spec.num_hidden + 1, "hidden_dim": spec.widths[1]}
        params = {"output_dim": spec.d_out, **layers, "omega_0": spec.omega[0]}
        write_json(writing.folder / "nef.json", {"name": "SIREN", "params": params})

    def survey(self, folder: Path) -> Survey:
        points, entries = read_split_points(folder), []
        files = []
        for path in find_files(folder, "*.hdf5"):
            match = re.fullmatch(r"\D*_(\d{1,12})-(\d{1,12})\.hdf5", path)
            if match is None:
                raise ValueError(f"{path} is not called nefs_<start>-<end>.hdf5")
            files.append((int(match[1]), int(match[2]), path))
        for start, stop, path in sorted(files):
            entries += _entries(folder, path, range(start, stop), points)
        return Survey(entries=entries)

    def load(
        self, folder: Path, entries: Sequence[Entry], widths: tuple[int, ...] | None
    ) -> Iterator[Loaded | BadEntry]:
        for path, group in groupby(entries, lambda entry: entry.path):
            same = list(group)
            try:
                yield from _load(folder, path, same, widths)
            except BadEntry as error:
                yield from [error] * len(same)


def _entries(folder: Path, path: str, span: range, points: list[int]) -> list[Entry]:
    """The rows of a file by its name; what it says of items and views where it says so."""
    columns: dict[str, Any] = {"labels": None, "views": None, "items": None}
    try:
        with open_hdf5(folder, path) as file:
            held = len(plain_dataset(file, path, "params", "f", 2))
            if held != len(span):
                raise ValueError(f"{path} holds {held} rows; its name says {len(span)}")
            for key in columns:
                if key in file:
                    columns[key] = plain_dataset(file, path, key, "iu", 1)[:].tolist()
                    if len(columns[key]) != held:
                        raise ValueError(f"{path}: {key} needs {held} numbers")
    except BadEntry as error:
        if len(span) > 1_000_000:
            raise ValueError(str(error)) from error
        columns = dict.fromkeys(columns)
    items, views = columns["items"] or list(span), columns["views"] or [0] * len(span)
    labels = columns["labels"] or [-1] * len(span)
    return [
        Entry(
            item_id=f"nef/{items[row]:05d}",
            view=views[row],
            split=split_at(span[row], points),
            path=path,
            row=row,
            label=max(labels[row], -1),
        )
        for row in range(len(span))
    ]


def _widths(name: str, text: object) -> tuple[int, ...]:
    """The widths that param_config tells of; it must be in the order that this format has."""
    try:
        config = json.loads(text)  # pyright: ignore[reportArgumentType]
        shapes = [(str(key), tuple(int(n) for n in shape)) for key, shape in config]
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise BadEntry(f"{name}: param_config is no JSON of names and shapes") from error
    names = [f"{x}.{k}" for x in layer_names(len(shapes) // 2) for k in ("bias", "kernel")]
    if [key for key, _ in shapes] != names:
        raise BadEntry(f"{name}: param_config must name {names}; got {shapes!r:.200}")
    pairs = zip(shapes[1::2], shapes[0::2], strict=True)
    return chain_widths(name, [(kernel[::-1], bias) for (_, kernel), (_, bias) in pairs])


def _load(
    folder: Path, path: str, entries: Sequence[Entry], widths: tuple[int, ...] | None
) -> Iterator[Loaded]:
    with open_hdf5(folder, path) as file:
        text = plain_dataset(file, path, "param_config", "OS", 1)[0]
        has = _widths(path, text)
        params = plain_dataset(file, path, "params", "f", 2)
        sizes = [(i + 1) * o for i, o in pairwise(has)]
        if params.shape[1] != sum(sizes) or sum(sizes) > MAX_PARAMS:
            raise BadEntry(f"{path}: params has {params.shape[1]} columns, not {sum(sizes)}")
        rows = [entry.row for entry in entries]
        values = torch.from_numpy(params[min(rows) : max(rows) + 1].astype(np.float32))
    for entry, row in zip(entries, rows, strict=True):
        flat = _reorder(values[row - min(rows)], has) if widths in (None, has) else None
        yield Loaded(widths=has, flat=flat, label=entry.label)


def _reorder(row: Float[Tensor, " p"], widths: tuple[int, ...]) -> Float[Tensor, " p"]:
    parts, at = [], 0
    for fan_in, fan_out in pairwise(widths):
        bias = row[at : at + fan_out]
        kernel = row[at + fan_out : at + fan_out * (fan_in + 1)].view(fan_in, fan_out)
        parts += [kernel.T.flatten(), bias]
        at += fan_out * (fan_in + 1)
    return torch.cat(parts)
