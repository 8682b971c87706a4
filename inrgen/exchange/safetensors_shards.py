"""Shards of safetensors: rows as the store has them, and all they mean as metadata.

<split>-<part>.safetensors holds params (n, P) float32, label, view and row; its metadata are JSON:
spec (the conventions), layers (where each weight lies in a row), item_ids and label_names.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.core.splits import SPLITS
from inrgen.exchange.files import BadEntry, find_files, inside, write_whole
from inrgen.exchange.format import Entry, Exporter, Loaded, Row, Survey, Target, Wishes, Writing
from inrgen.exchange.moments import Moments
from inrgen.exchange.stated import Stated, stated_of


def plain_target(spec: InrSpec, wishes: Wishes) -> Target:
    """The store's own conventions, less what was wished for."""
    if wishes.omega or wishes.value_mean or wishes.value_std:
        raise ValueError("this format keeps the store's conventions: leave out omega, mean and std")
    return Target(spec=spec)


def spec_from_json(text: object, name: str) -> InrSpec:
    """A spec that somebody else may have written. Raises ValueError for what is none."""
    try:
        facts = json.loads(text)  # pyright: ignore[reportArgumentType]
        return InrSpec.from_dict(facts)
    except (TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ValueError(f"{name}: its spec is not one: {error}") from error


class Safetensors:
    """See the module's docstring."""

    exporter = Exporter(rows_per_part=4000)

    def target(self, spec: InrSpec, source: str, wishes: Wishes) -> Target:
        return plain_target(spec, wishes)

    def write(self, writing: Writing, part: int, rows: Sequence[Row], params: Params) -> None:
        spec = writing.target.spec
        layers = [{"name": s.name, "shape": s.shape, "offset": s.offset} for s in spec.layers]
        names = {row["label"]: row["label_name"] for row in rows if row["label"] >= 0}
        metadata = {
            "spec": json.dumps(spec.to_dict()),
            "layers": json.dumps(layers),
            "item_ids": json.dumps([row["item_id"] for row in rows]),
            "label_names": json.dumps(names),
        }
        tensors = {key: np.array([row[key] for row in rows]) for key in ("label", "view", "row")}
        tensors["params"] = params.flat().contiguous().numpy()
        path = writing.folder / f"{rows[0]['split']}-{part:05d}.safetensors"
        write_whole(path, lambda made: save_file(tensors, made, metadata))

    def finish(self, writing: Writing, rows: pa.Table, moments: Moments) -> None:
        """Nothing more: every file says what it is."""

    def survey(self, folder: Path) -> Survey:
        """What every file says of its rows; a file that cannot be read is an error.

        Its item ids are in it, so nobody could tell which rows it held.
        """
        entries, said, names = [], None, {}
        for path in find_files(folder, "*.safetensors"):
            split = path.split("-")[0]
            if split not in SPLITS:
                raise ValueError(f"{path} is not called after train, val or test")
            header, columns = _read_header(folder, path)
            spec = spec_from_json(header.get("spec"), path)
            if said not in (None, spec):
                raise ValueError(f"{path} holds other networks than the files before it")
            said = spec
            names |= header["label_names"]
            for row, item in enumerate(header["item_ids"]):
                label, view = int(columns["label"][row]), int(columns["view"][row])
                entries.append(
                    Entry(item_id=item, view=view, split=split, path=path, row=row, label=label)
                )
        stated = Stated() if said is None else stated_of(said, None, None)
        widths = None if said is None else said.widths
        return Survey(entries=entries, label_names=names, stated=stated, widths=widths)

    def load(
        self, folder: Path, entries: Sequence[Entry], widths: tuple[int, ...] | None
    ) -> Iterator[Loaded | BadEntry]:
        assert widths is not None, "survey says them"
        for path, group in groupby(entries, lambda entry: entry.path):
            same = list(group)
            with safe_open(inside(folder, path), framework="np") as file:
                params = file.get_tensor("params")
            for entry in same:
                flat = torch.from_numpy(params[entry.row].copy())
                yield Loaded(widths=widths, flat=flat, label=entry.label)


def _read_header(folder: Path, path: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The metadata and the small tensors of a file, held to what this format is."""
    try:
        with safe_open(inside(folder, path), framework="np") as file:
            metadata = dict(file.metadata() or {})
            shape = file.get_slice("params").get_shape()
            if file.get_slice("params").get_dtype() != "F32" or len(shape) != 2:
                raise ValueError(f"{path}: params must be (rows, parameters) in float32")
            columns = {key: file.get_tensor(key) for key in ("label", "view")}
        ids = json.loads(metadata["item_ids"])
        names = {int(k): str(v) for k, v in json.loads(metadata["label_names"]).items()}
    except (SafetensorError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is no shard of inrgen's: {error}") from error
    num = spec_from_json(metadata.get("spec"), path).num_params
    fits = all(c.shape == (shape[0],) and c.dtype.kind in "iu" for c in columns.values())
    texts = isinstance(ids, list) and len(ids) == shape[0] and all(type(i) is str for i in ids)
    if not fits or not texts or shape[1] != num:
        raise ValueError(f"{path}: params, label, view and item_ids do not belong together")
    return {**metadata, "item_ids": ids, "label_names": names}, columns
