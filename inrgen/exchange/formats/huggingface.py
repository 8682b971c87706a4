"""A folder for the Hugging Face hub: Parquet files by split, a card, and a Croissant record.

data/<split>-<part>.parquet holds a row an INR: weights as a list of P float32, and the records'
item_id, view, label, label_name and row. `datasets` and `polars` open it unchanged. The card
carries the sections of the store's own card: counts, quality, recipe and licence.
"""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Float32

from inrgen.core.activations import ACTIVATIONS
from inrgen.core.atomic import write_whole
from inrgen.core.config import SPLITS
from inrgen.core.memory import bounded_memory, check_memory
from inrgen.core.moments import Moments
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.exchange.card.croissant import croissant_document
from inrgen.exchange.card.facts import read_card_facts
from inrgen.exchange.card.text import Wording, origin_text
from inrgen.exchange.files import BadEntry, inside, write_json
from inrgen.exchange.formats.base import ExportContext, Format, Row
from inrgen.exchange.formats.row_files import (
    RowKeys,
    keep_conventions,
    list_files,
    load_rows,
    spec_from_json,
)
from inrgen.store.reader import open_store

_KEYS = ("item_id", "view", "label", "label_name")
_TEXTS = ("item_id", "label_name")
# Memory of the keys of a row as Python objects.
_ROW_BYTES = 600
_SPEC_KEY = b"inrgen.spec"

_CARD = '''\
---
{license}configs:
- config_name: default
  data_files:
{files}
{features}tags:
- implicit-neural-representations
- weight-space
---

# INRs of {source} ({job})

{rows:,} implicit neural representations, written by inrgen. `weights` is one network: for each
layer W row-major as (out, in), then b.

```python
import numpy as np
from datasets import load_dataset

# This folder, seen from the one that holds it; or USER/NAME once it is on the hub.
data = load_dataset({folder!r}, split={first!r}).with_format("numpy")
widths, omega, offset = {widths}, {omega}, {offset}


def evaluate(weights, coords):
    """One network's values at coords (n, {d_in})."""
{encoding}    h, at = {inputs}, 0
    for layer, (fan_in, fan_out) in enumerate(zip(widths, widths[1:])):
        w = weights[at : at + fan_in * fan_out].reshape(fan_out, fan_in)
        b = weights[at + w.size : at + w.size + fan_out]
        h, at = h @ w.T + b, at + w.size + b.size
        if layer < len(omega):
            h = {activation}(omega[layer] * h)
    return h + offset


print(evaluate(data[0]["weights"], np.array([{center}])))
```

Coordinates are {coord_order} in {coord_range}, values {value_kind} in {value_range}.

`index.html`, where it is present, shows the networks in a browser; a static Space serves it.

# The store that it was made from

{origin}'''


def _schema(spec: InrSpec) -> pa.Schema:
    return pa.schema(
        [
            pa.field("weights", pa.list_(pa.float32(), spec.num_params)),
            pa.field("item_id", pa.string()),
            pa.field("view", pa.int32()),
            pa.field("label", pa.int64()),
            pa.field("label_name", pa.string()),
            pa.field("row", pa.int64()),
        ],
        metadata={_SPEC_KEY: json.dumps(spec.to_dict()).encode()},
    )


def _croissant(context: ExportContext, schema: pa.Schema, rows: int) -> dict[str, Any]:
    """The Croissant record of the Parquet files, in which weights are lists of numbers."""
    spec = context.target.spec
    document = croissant_document(
        name=f"inrs-of-{context.source or 'signals'}-{spec.architecture}",
        description=f"{rows:,} implicit neural representations, one a row.",
        schema=schema,
        folder=PurePosixPath("."),
        root_document=b"",
    )
    # an export has no zarr.json, so the description of that file goes
    files = document["distribution"][1]
    files["description"], files["includes"] = "Rows by split.", "data/*.parquet"
    document["distribution"] = [files]
    weights = document["recordSet"][0]["field"][0]
    weights |= {"dataType": "sc:Float", "repeated": True}
    weights["description"] = "One network, flat: W row-major as (out, in), then b, of each layer."
    return document


def _write(context: ExportContext, part: int, rows: Sequence[Row], params: Params) -> None:
    schema = _schema(context.target.spec)
    flat = pa.array(params.flat().numpy().reshape(-1))
    weights = pa.FixedSizeListArray.from_arrays(flat, context.target.spec.num_params)
    others = [pa.array([row[f.name] for row in rows], f.type) for f in list(schema)[1:]]
    table = pa.Table.from_arrays([weights, *others], schema=schema)
    path = context.folder / "data" / f"{rows[0]['split']}-{part:05d}.parquet"

    def fill(staged: Path) -> None:
        pq.write_table(table, staged, write_page_checksum=True)

    write_whole(path, fill, durable=False)


def _code(spec: InrSpec) -> dict[str, str]:
    """Activation and inputs of the first layer as numpy code for the card."""
    activation = ACTIVATIONS[spec.activation].numpy.replace("OMEGA", "omega[layer]")
    code = {"activation": f"({activation})" if " " in activation else activation}
    if spec.encoding is None:
        return code | {"encoding": "", "inputs": "coords"}
    rows = [list(row) for row in spec.encoding.frequencies]
    return code | {
        "encoding": f"    u = 2 * np.pi * coords @ np.array({rows}).T\n",
        "inputs": "np.concatenate([np.cos(u), np.sin(u)], axis=1)",
    }


def _features(spec: InrSpec, rows: pa.Table) -> str:
    """YAML that names the columns for `datasets`, so that label is a ClassLabel.

    Nothing where some row has no class or a number in between has no name: a ClassLabel needs all.
    """
    pairs = rows.select(["label", "label_name"]).group_by(["label", "label_name"]).aggregate([])
    names = dict(sorted(zip(*(pairs[k].to_pylist() for k in ("label", "label_name")), strict=True)))
    if list(names) != list(range(len(names))) or len(set(names.values())) < len(names):
        return ""
    lines = ["dataset_info:", "  features:"]
    for field in _schema(spec):
        lines.append(f"  - name: {field.name}")
        if field.name == "weights":
            lines += ["    sequence: float32", f"    length: {spec.num_params}"]
        elif field.name == "label":
            lines += ["    dtype:", "      class_label:", "        names:"]
            lines += [f"          '{label}': {json.dumps(name)}" for label, name in names.items()]
        else:
            lines.append(f"    dtype: {field.type}")
    return "\n".join([*lines, ""])


def _finish(context: ExportContext, rows: pa.Table, moments: Moments) -> None:
    spec, present = context.target.spec, rows["split"].unique().to_pylist()
    splits = [split for split in SPLITS if split in present]
    card = _CARD.format(
        **spec.to_dict() | _code(spec),
        files="\n".join(f"  - split: {s}\n    path: data/{s}-*.parquet" for s in splits),
        first=splits[0],
        folder=f"./{context.folder.name}",
        license=f"license: {json.dumps(context.options.license)}\n"
        if context.options.license
        else "",
        features=_features(spec, rows),
        origin=origin_text(
            read_card_facts(open_store(context.store)), Wording(license=context.options.license)
        ),
        source=context.source or "signals",
        job=spec.architecture,
        rows=rows.num_rows,
        d_in=spec.d_in,
        offset=spec.output_offset,
        center=list(spec.coord_center),
    )
    write_whole(
        context.folder / "README.md",
        lambda to: to.write_text(card, encoding="utf-8"),
        durable=False,
    )
    document = _croissant(context, _schema(spec), rows.num_rows)
    write_json(context.folder / "croissant.json", document)


def _open(folder: Path, path: str) -> pq.ParquetFile:
    # Texts stay in their dictionaries, so that a long one is not repeated in every row.
    return pq.ParquetFile(
        inside(folder, path), page_checksum_verification=True, read_dictionary=list(_TEXTS)
    )


def _read_columns(file: pq.ParquetFile, path: str, columns: Sequence[str]) -> pa.Table:
    """Read columns, after a look at the sizes that the file states and at its texts."""
    meta = file.metadata
    chunks = [
        meta.row_group(group).column(at)
        for group in range(meta.num_row_groups)
        for at in range(meta.num_columns)
    ]
    stated = sum(
        chunk.total_uncompressed_size
        for chunk in chunks
        if chunk.path_in_schema.split(".")[0] in columns
    )
    check_memory(stated + _ROW_BYTES * meta.num_rows * (columns != ["weights"]), path)
    table = file.read(columns=list(columns))
    texts = [chunk for name in set(columns) & set(_TEXTS) for chunk in table[name].chunks]
    num_bytes = 0
    for chunk in texts:
        if isinstance(chunk, pa.DictionaryArray):
            lengths = pc.binary_length(chunk.dictionary)  # pyright: ignore
            num_bytes += pc.sum(pc.take(lengths, chunk.indices)).as_py() or 0  # pyright: ignore
    check_memory(2 * num_bytes, f"{path}, with every text spelt out,")
    return table


def _read_keys(folder: Path, path: str) -> RowKeys:
    """Read and check the spec and the columns of a file, except the weights."""
    try:
        with bounded_memory(), _open(folder, path) as file:
            text = (file.schema_arrow.metadata or {}).get(_SPEC_KEY)
            spec = spec_from_json(text, path)
            if file.schema_arrow.field("weights").type != _schema(spec).field("weights").type:
                raise ValueError(f"{path}: weights must be lists of {spec.num_params} float32")
            keys = _read_columns(file, path, _KEYS).cast(
                pa.schema([_schema(spec).field(k) for k in _KEYS])
            )
            # anybody may have written the file, and pyarrow lets null pass a cast
            if any(keys[key].null_count for key in _KEYS):
                raise ValueError(f"{path} has rows without item_id, view or label")
            names = dict(
                zip(keys["label"].to_pylist(), keys["label_name"].to_pylist(), strict=True)
            )
            rows = keys.drop_columns(["label_name"]).to_pylist()
            return RowKeys(spec=spec, rows=rows, label_names=names)
    except (pa.ArrowException, KeyError, MemoryError) as error:
        raise ValueError(f"{path} cannot be read: {error!s:.200}") from error


def _read_weights(folder: Path, path: str) -> Float32[np.ndarray, "r p"]:
    try:
        with _open(folder, path) as file:
            column = _read_columns(file, path, ["weights"])["weights"].combine_chunks()
        num = len(column)
        values = column.flatten().to_numpy(zero_copy_only=False)
        return values.astype(np.float32).reshape(num, -1)
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise BadEntry(f"{path} cannot be read: {error!s:.200}") from error


FORMAT = Format(
    target=keep_conventions,
    write=_write,
    finish=_finish,
    list_entries=partial(list_files, "data/*.parquet", _read_keys),
    read_file=partial(load_rows, _read_weights),
    rows_per_part=4000,
    options=("license",),
)
