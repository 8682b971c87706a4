"""What formats of many rows a file have in common: files that say of themselves what they hold.

A file is called after its split, <split>-<part>, and holds weights as the store has them, with
the spec that says what they mean.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float32
from numpy import ndarray

from inrgen.core.spec import InrSpec
from inrgen.core.splits import SPLITS
from inrgen.exchange.files import BadEntry, find_files
from inrgen.exchange.formats.base import Entry, Loaded, Survey
from inrgen.exchange.stated import Stated, stated_of


@dataclass(frozen=True, kw_only=True, slots=True)
class RowKeys:
    """What a file says of its rows: item_id, view and label of each, and names of the labels."""

    spec: InrSpec
    rows: Sequence[dict[str, Any]]
    label_names: dict[int, str]


def spec_from_json(text: object, name: str) -> InrSpec:
    """A spec that somebody else may have written. Raises ValueError for what is none."""
    try:
        facts = json.loads(text)  # pyright: ignore[reportArgumentType]
        return InrSpec.from_dict(facts)
    except (TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ValueError(f"{name}: its spec is not one: {error}") from error


def survey_files(folder: Path, pattern: str, read_keys: Callable[[Path, str], RowKeys]) -> Survey:
    """What every file says of its rows; a file that cannot be read is an error.

    Its item ids are in it, so nobody could tell which rows it held.
    """
    entries, said, names = [], None, {}
    for path in find_files(folder, pattern):
        split = Path(path).name.split("-")[0]
        if split not in SPLITS:
            raise ValueError(f"{path} is not called after train, val or test")
        keys = read_keys(folder, path)
        if said not in (None, keys.spec):
            raise ValueError(f"{path} holds other networks than the files before it")
        said = keys.spec
        names |= keys.label_names
        for row, key in enumerate(keys.rows):
            entries.append(Entry(split=split, path=path, row=row, **key))
    stated = Stated() if said is None else stated_of(said, None, None)
    widths = None if said is None else said.widths
    return Survey(entries=entries, label_names=names, stated=stated, widths=widths)


def load_rows(
    folder: Path,
    entries: Sequence[Entry],
    widths: tuple[int, ...] | None,
    read_weights: Callable[[Path, str], Float32[ndarray, "r p"]],
) -> Iterator[Loaded | BadEntry]:
    """Read entries, each file once for those that follow one another.

    read_weights gives all rows of a file, or raises BadEntry.
    """
    assert widths is not None, "the files say them"
    for path, group in groupby(entries, lambda entry: entry.path):
        same = list(group)
        try:
            flat = read_weights(folder, path)
        except BadEntry as error:
            yield from [error] * len(same)
            continue
        for entry in same:
            row = torch.from_numpy(flat[entry.row].copy())
            yield Loaded(widths=widths, flat=row, label=entry.label)
