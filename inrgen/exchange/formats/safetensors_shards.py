"""Shards of safetensors: rows as the store has them, with their meaning in the metadata.

<split>-<part>.safetensors holds params (n, P) float32, label, view and row. Its metadata are JSON:
spec (the conventions), layers (place of each weight in a row), item_ids and label_names.
"""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from inrgen.core.atomic import write_whole
from inrgen.core.params import Params
from inrgen.exchange.files import BadEntry, inside
from inrgen.exchange.formats.base import ExportContext, Format, Row
from inrgen.exchange.formats.row_files import (
    RowKeys,
    keep_conventions,
    list_files,
    load_rows,
    spec_from_json,
)


def _write(context: ExportContext, part: int, rows: Sequence[Row], params: Params) -> None:
    spec = context.target.spec
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
    path = context.folder / f"{rows[0]['split']}-{part:05d}.safetensors"
    # Not save_file, which makes files that nobody but their owner may read, whatever the umask.
    write_whole(path, lambda to: to.write_bytes(save(tensors, metadata)), durable=False)


def _read_keys(folder: Path, path: str) -> RowKeys:
    """Read and check the metadata and the small tensors of a file."""
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
    # safetensors checks each tensor against the file, but not one against another
    spec = spec_from_json(metadata.get("spec"), path)
    fits = all(c.shape == (shape[0],) and c.dtype.kind in "iu" for c in columns.values())
    texts = isinstance(ids, list) and len(ids) == shape[0] and all(type(i) is str for i in ids)
    if not fits or not texts or shape[1] != spec.num_params:
        raise ValueError(f"{path}: params, label, view and item_ids do not belong together")
    pairs = zip(ids, columns["view"].tolist(), columns["label"].tolist(), strict=True)
    rows = [{"item_id": item, "view": view, "label": label} for item, view, label in pairs]
    return RowKeys(spec=spec, rows=rows, label_names=names)


def _read_weights(folder: Path, path: str) -> Float32[np.ndarray, "r p"]:
    try:
        with safe_open(inside(folder, path), framework="np") as file:
            return file.get_tensor("params")
    except (SafetensorError, OSError, MemoryError) as error:
        raise BadEntry(f"{path} cannot be read: {error!s:.200}") from error


FORMAT = Format(
    target=keep_conventions,
    write=_write,
    list_entries=partial(list_files, "*.safetensors", _read_keys),
    read_file=partial(load_rows, _read_weights),
    rows_per_part=4000,
)
