"""Files of many rows that describe themselves, shared by safetensors and huggingface.

A file is named <split>-<part>. It holds weights as the store has them and the spec that gives
their conventions, so an import needs no options.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float32
from numpy import ndarray

from inrgen.core.config import SPLITS
from inrgen.core.spec import InrSpec
from inrgen.exchange.conventions import Conventions, ExportOptions
from inrgen.exchange.files import find_files
from inrgen.exchange.formats.base import Entry, Listing, Loaded, Target


@dataclass(frozen=True, kw_only=True, slots=True)
class RowKeys:
    """Contents of one file apart from its weights.

    Attributes:
        spec: architecture and conventions of all rows.
        rows: item_id, view and label of each row.
        label_names: name of each label.
    """

    spec: InrSpec
    rows: Sequence[dict[str, Any]]
    label_names: dict[int, str]


def keep_conventions(spec: InrSpec, source: str, options: ExportOptions) -> Target:
    """The store's own conventions, unchanged."""
    return Target(spec=spec)


def spec_from_json(text: object, name: str) -> InrSpec:
    """Parse a spec that anybody may have written. Raises ValueError if it is none."""
    try:
        facts = json.loads(text)  # pyright: ignore[reportArgumentType]
        return InrSpec.from_dict(facts)
    except (TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ValueError(f"{name}: its spec is not one: {error}") from error


def list_files(pattern: str, read_keys: Callable[[Path, str], RowKeys], folder: Path) -> Listing:
    """List the rows of every file that matches a pattern.

    An unreadable file raises ValueError, since its item ids are in it and its rows unknown.
    """
    entries, spec, names = [], None, {}
    for path in find_files(folder, pattern):
        split = Path(path).name.split("-")[0]
        if split not in SPLITS:
            raise ValueError(f"{path} is not called after train, val or test")
        keys = read_keys(folder, path)
        # one store has one spec here, and a mixture would load as garbage
        if spec not in (None, keys.spec):
            raise ValueError(f"{path} holds other networks than the files before it")
        spec = keys.spec
        names |= keys.label_names
        for row, key in enumerate(keys.rows):
            entries.append(Entry(split=split, path=path, row=row, **key))
    if spec is None:
        return Listing(entries=entries)
    return Listing(
        entries=entries,
        label_names=names,
        conventions=Conventions.from_spec(spec),
        widths=spec.widths,
    )


def load_rows(
    read_weights: Callable[[Path, str], Float32[ndarray, "r p"]],
    folder: Path,
    entries: Sequence[Entry],
    widths: tuple[int, ...] | None,
) -> list[Loaded]:
    """Read entries that share one file.

    Args:
        read_weights: gives all rows of a file, (r, p), or raises BadEntry.
    """
    assert widths is not None, "each file states its widths"
    flat = read_weights(folder, entries[0].path)
    return [
        Loaded(widths=widths, flat=torch.from_numpy(flat[entry.row].copy()), label=entry.label)
        for entry in entries
    ]
