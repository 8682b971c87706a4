"""Sets of fit-a-nef and of neural-field-arena (arXiv 2312.10531): many INRs in an HDF5 file.

nefs_<start>-<end>.hdf5 holds params (N, P), param_config (1,) as JSON [[name, shape], ...] and
labels (N,): for each layer the bias, then the kernel as (in, out). metadata.json holds mean and
deviation of the training rows, one number a tensor as its loader computes them by default, repeated
for each parameter. nef.json holds omega. Values are standardised by the data set's mean and
deviation.
"""

import json
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from inrgen.core.atomic import write_whole
from inrgen.core.moments import Moments
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.exchange.conventions import Conventions, ExportOptions
from inrgen.exchange.conversion import image_spec, standardisation
from inrgen.exchange.files import (
    MAX_PARAMS,
    BadEntry,
    find_files,
    open_hdf5,
    plain_dataset,
    read_json,
    write_json,
)
from inrgen.exchange.formats import splits
from inrgen.exchange.formats.base import (
    Entry,
    ExportContext,
    Format,
    Listing,
    Loaded,
    Row,
    Target,
)
from inrgen.exchange.formats.state_dicts import chain_widths

# Mean and deviation of the training pixels in [0, 1], as published code commonly uses them.
_PIXELS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "mnist": ((0.1307,), (0.3081,)),
    "fashion-mnist": ((0.2860,), (0.3530,)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
}


def _layer_names(num_layers: int) -> list[str]:
    return [*(f"kernel_net_{i}.linear" for i in range(num_layers - 1)), "output_linear"]


def _flat(params: Params) -> Float[Tensor, "b p"]:
    """Rows in this format's order: bias first, then the kernel as (in, out)."""
    parts = []
    for weight, bias in zip(params.weights, params.biases, strict=True):
        parts += [bias, weight.mT.flatten(1)]
    return torch.cat(parts, dim=1)


def _param_config(spec: InrSpec) -> list[Any]:
    config = []
    for name, (fan_in, fan_out) in zip(
        _layer_names(spec.num_hidden + 1), pairwise(spec.widths), strict=True
    ):
        config += [[f"{name}.bias", [fan_out]], [f"{name}.kernel", [fan_in, fan_out]]]
    return config


def _target(spec: InrSpec, source: str, options: ExportOptions) -> Target:
    """Images over (column, row), standardised; one omega and one hidden width throughout."""
    if not spec.is_siren or len(set(spec.widths[1:-1])) > 1:
        raise ValueError(
            "fit-a-nef's networks are SIRENs with hidden layers of one width; got "
            f"{spec.architecture}, {spec.kind}"
        )
    made = image_spec(
        spec,
        coord_order="xy",
        value_range=(0.0, 1.0),
        output_offset=0.0,
        omega=options.omega or spec.omega[0],
    )
    mean, std = options.value_mean, options.value_std
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


def _write(context: ExportContext, part: int, rows: Sequence[Row], params: Params) -> None:
    """Write one file; its name counts rows of the whole export, and it never spans two splits."""
    start = rows[0]["place"]
    columns = {key: np.array([row[key] for row in rows]) for key in ("label", "view", "item")}

    def fill(path: Path) -> None:
        with h5py.File(path, "w") as file:
            file.create_dataset("params", data=_flat(params).numpy())
            text = file.create_dataset("param_config", (1,), dtype=h5py.string_dtype())
            text[0] = json.dumps(_param_config(context.target.spec))
            file.create_dataset("labels", data=columns["label"])
            # no loader asks for views and items; an import needs them
            file.create_dataset("views", data=columns["view"])
            file.create_dataset("items", data=columns["item"])

    write_whole(context.folder / f"nefs_{start}-{start + len(rows)}.hdf5", fill, durable=False)


def _finish(context: ExportContext, rows: pa.Table, moments: Moments) -> None:
    """Write metadata.json with the keys that loaders ask for, nef.json, and the split points."""
    spec = context.target.spec
    splits.write_split_points(context.folder, rows, "row")
    # loaders ask for one key or the other
    if moments.count:
        mean, std = (_flat(p)[0].tolist() for p in _of_tensors(moments, spec))
        found = {"mean": mean, "std": std}
        write_json(context.folder / "metadata.json", {"train": found, f"0_{moments.count}": found})
    layers = {"num_layers": spec.num_hidden + 1, "hidden_dim": spec.widths[1]}
    params = {"output_dim": spec.d_out, **layers, "omega_0": spec.omega[0]}
    write_json(context.folder / "nef.json", {"name": "SIREN", "params": params})


def _of_tensors(moments: Moments, spec: InrSpec) -> tuple[Params, Params]:
    """Mean and deviation of all entries of each tensor, at each of its entries."""
    flat = torch.from_numpy(np.stack([moments.mean, moments.squares / moments.count]))
    both = Params.from_flat(spec, flat)

    def coarse(pair: Float[Tensor, "2 ..."]) -> Float[Tensor, "2 ..."]:
        mean = pair[0].mean()
        # E[x^2] - E[x]^2 without cancellation: the variance of each entry, and that of their means
        variance = pair[1].mean() + (pair[0] - mean).square().mean()
        return torch.stack([mean.expand(pair[0].shape), variance.sqrt().expand(pair[0].shape)])

    found = both.map(coarse)
    return found[0:1], found[1:2]


def _omega(folder: Path) -> Conventions:
    """The omega that nef.json states, if there is one."""
    try:
        document = read_json(folder, "nef.json")
    except FileNotFoundError:
        return Conventions()
    params = document.get("params", document) if isinstance(document, dict) else None
    omega = params.get("omega_0") if isinstance(params, dict) else None
    return Conventions() if omega is None else Conventions.from_dict({"omega": [omega]})


def _list_entries(folder: Path) -> Listing:
    points, entries, files = splits.read_split_points(folder), [], []
    for path in find_files(folder, "*.hdf5"):
        match = re.fullmatch(r"\D*_(\d{1,12})-(\d{1,12})\.hdf5", path)
        if match is None:
            raise ValueError(f"{path} is not called nefs_<start>-<end>.hdf5")
        files.append((int(match[1]), int(match[2]), path))
    # by number: names sort as text
    for start, stop, path in sorted(files):
        entries += _list_file(folder, path, range(start, stop), points)
    return Listing(entries=entries, conventions=_omega(folder))


def _list_file(folder: Path, path: str, span: range, points: list[int]) -> list[Entry]:
    """The rows of a file by its name, with items, views and labels if the file states them."""
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
        # the name of an unreadable file may claim any number of rows
        if len(span) > 1_000_000:
            raise ValueError(str(error)) from error
        columns = dict.fromkeys(columns)
    items, views = columns["items"] or list(span), columns["views"] or [0] * len(span)
    labels = columns["labels"] or [-1] * len(span)
    return [
        Entry(
            item_id=f"nef/{items[row]:05d}",
            view=views[row],
            split=splits.split_at(span[row], points),
            path=path,
            row=row,
            label=max(labels[row], -1),
        )
        for row in range(len(span))
    ]


def _read_file(
    folder: Path, entries: Sequence[Entry], widths: tuple[int, ...] | None
) -> list[Loaded]:
    path, rows = entries[0].path, [entry.row for entry in entries]
    with open_hdf5(folder, path) as file:
        has = _read_widths(path, plain_dataset(file, path, "param_config", "OS", 1)[0])
        params = plain_dataset(file, path, "params", "f", 2)
        num_params = sum((i + 1) * o for i, o in pairwise(has))
        if params.shape[1] != num_params or num_params > MAX_PARAMS:
            raise BadEntry(f"{path}: params has {params.shape[1]} columns, not {num_params}")
        # one read of the whole span instead of one read a row
        values = torch.from_numpy(params[min(rows) : max(rows) + 1].astype(np.float32))
    fits = widths in (None, has)
    flats = [_reorder(values[row - min(rows)], has) if fits else None for row in rows]
    return [
        Loaded(widths=has, flat=flat, label=entry.label)
        for entry, flat in zip(entries, flats, strict=True)
    ]


def _read_widths(name: str, text: object) -> tuple[int, ...]:
    """The widths in param_config, whose names must follow this format's order."""
    try:
        config = json.loads(text)  # pyright: ignore[reportArgumentType]
        shapes = [(str(key), tuple(int(n) for n in shape)) for key, shape in config]
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise BadEntry(f"{name}: param_config is no JSON of names and shapes") from error
    names = [f"{x}.{k}" for x in _layer_names(len(shapes) // 2) for k in ("bias", "kernel")]
    if [key for key, _ in shapes] != names:
        raise BadEntry(f"{name}: param_config must name {names}; got {shapes!r:.200}")
    pairs = zip(shapes[1::2], shapes[0::2], strict=True)
    return chain_widths(name, [(kernel[::-1], bias) for (_, kernel), (_, bias) in pairs])


def _reorder(row: Float[Tensor, " p"], widths: tuple[int, ...]) -> Float[Tensor, " p"]:
    """A row in the store's order: the weight as (out, in), then the bias."""
    parts, at = [], 0
    for fan_in, fan_out in pairwise(widths):
        bias = row[at : at + fan_out]
        kernel = row[at + fan_out : at + fan_out * (fan_in + 1)].view(fan_in, fan_out)
        parts += [kernel.T.flatten(), bias]
        at += fan_out * (fan_in + 1)
    return torch.cat(parts)


FORMAT = Format(
    target=_target,
    write=_write,
    finish=_finish,
    list_entries=_list_entries,
    read_file=_read_file,
    rows_per_part=4000,
    one_view=True,
    options=("omega", "value_mean", "value_std"),
)
