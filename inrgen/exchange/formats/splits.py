"""Documents that tell train, val and test apart: splits.json and split_points.json.

splits.json of the DWSNets family has two forms: lists of paths, or lists of paths and labels. Its
loaders take its name as an option, and some have another one by default.
split_points.json gives the numbers at which val and test begin.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa

from inrgen.core.config import SPLITS, Split
from inrgen.exchange.files import read_json, write_json
from inrgen.exchange.formats.base import ExportContext, PathOf, Row

SPLITS_FILE = "splits.json"
# Defaults of DWSNets and of neural-graphs.
MNIST_SPLITS, FASHION_SPLITS = "mnist_splits.json", "fmnist_splits.json"
_POINTS = "split_points.json"


def write_split_points(folder: Path, rows: pa.Table, column: str) -> None:
    """Write the numbers at which val and test begin, which loaders take as options.

    Args:
        column: column whose distinct values are counted: "item" or "row".
    """
    # NFN counts items, fit-a-nef counts rows
    values, splits = rows[column].to_numpy(), np.array(rows["split"].to_pylist())
    counts = [len(np.unique(values[splits == split])) for split in SPLITS]
    write_json(folder / _POINTS, {"split_points": [counts[0], counts[0] + counts[1]]})


def read_split_points(folder: Path) -> list[int]:
    """Read the numbers at which val and test begin. Raises ValueError if they are not stated."""
    try:
        found = read_json(folder, _POINTS)
    except FileNotFoundError as error:
        raise ValueError(
            f"{folder} does not say where val and test begin: write {_POINTS} there, with "
            'numbers such as {"split_points": [45000, 50000]}'
        ) from error
    points = found.get("split_points") if isinstance(found, dict) else None
    if (
        not isinstance(points, list)
        or not all(type(point) is int for point in points)
        or len(points) != 2
        or not 0 <= points[0] <= points[1]
    ):
        raise ValueError(f'{_POINTS} must be {{"split_points": [val, test]}}; got {found!r:.100}')
    return points


def split_at(number: int, points: list[int]) -> Split:
    """The split of a number, if val and test begin at points."""
    return SPLITS[sum(number >= point for point in points)]


def write_path_lists(
    context: ExportContext, rows: pa.Table, prefix: str, path_of: PathOf, views: Sequence[int]
) -> None:
    """Write splits.json with a list of paths for each split.

    Args:
        prefix: text before each path and a slash.
        path_of: path of a row's file, relative to the export's folder.
        views: views to list of val and test items; train lists all.
    """
    paths: dict[str, list[str]] = {split: [] for split in SPLITS}
    for row in _iterate(rows):
        if row["split"] == "train" or row["view"] in views:
            paths[row["split"]].append(f"{prefix}/{path_of(context, row)}")
    write_json(context.folder / SPLITS_FILE, paths)


def write_labelled_paths(
    context: ExportContext,
    rows: pa.Table,
    prefix: str | Path,
    path_of: PathOf,
    label_of: Callable[[int], Any],
    own_name: str,
) -> None:
    """Write splits.json with lists of paths and labels for each split.

    Args:
        own_name: name that the loader looks for by default; the file is written under both.
        prefix: folder to put before each path.
        path_of: path of a row's file, relative to the export's folder.
        label_of: turns a label into the JSON value that the loader expects.
    """
    found: dict[str, dict[str, list[Any]]] = {split: {"path": [], "label": []} for split in SPLITS}
    for row in _iterate(rows):
        path = PurePosixPath(prefix) / path_of(context, row)
        found[row["split"]]["path"].append(path.as_posix())
        found[row["split"]]["label"].append(label_of(row["label"]))
    for name in (SPLITS_FILE, own_name):
        write_json(context.folder / name, found)


def _iterate(rows: pa.Table) -> Iterator[Row]:
    for batch in rows.select(["split", "view", "number", "label"]).to_batches():
        yield from batch.to_pylist()


def find_splits(folder: Path) -> str | None:
    """Name of the file of splits that a folder holds, or None."""
    names = (SPLITS_FILE, FASHION_SPLITS, MNIST_SPLITS)
    return next((name for name in names if os.path.lexists(folder / name)), None)


def read_splits(folder: Path) -> Iterator[tuple[Split, str, int]]:
    """Read split, path and label (-1 if there is none) of every sample, in order.

    Raises ValueError for anything but {"train": [...], ...} or {"train": {"path": [...], "label":
    [...]}, ...} with the names train, val and test, and FileNotFoundError without such a file.
    """
    name = find_splits(folder)
    if name is None:
        raise FileNotFoundError(
            f"{folder} has no {SPLITS_FILE}, {FASHION_SPLITS} or {MNIST_SPLITS}"
        )
    found = read_json(folder, name)
    if not isinstance(found, dict) or not found or not set(found) <= set(SPLITS):
        raise ValueError(f"{SPLITS_FILE} must have the keys train, val and test alone")
    for split in SPLITS:
        paths, labels = found.get(split, []), None
        if isinstance(paths, dict):
            paths, labels = paths.get("path"), paths.get("label")
            if not isinstance(labels, list):
                raise ValueError(f"{SPLITS_FILE}: {split} has no list of labels")
        if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
            raise ValueError(f"{SPLITS_FILE}: {split} has no list of paths")
        if labels is not None and len(labels) != len(paths):
            raise ValueError(
                f"{SPLITS_FILE}: {split} has {len(paths)} paths and {len(labels)} labels"
            )
        for index, path in enumerate(paths):
            yield split, path, -1 if labels is None else _label(labels[index])


def _label(value: object) -> int:
    # DWSNets writes labels as text, the others as numbers; bool is an int in Python
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise ValueError(f"{SPLITS_FILE}: labels must be whole numbers; got {value!r:.100}")
    return value


def last_parts(path: str, count: int) -> str:
    """The end of a path, as the loaders cut it; an import ignores where the rest leads."""
    return "/".join(PurePosixPath(path).parts[-count:])


def item_id_of(folder: str, path: str) -> str:
    """An item id such as train/00017 for model_17.pth; the stem if it has no number."""
    match = re.search(r"(\d{1,12})(?=\D*$)", PurePosixPath(path).stem)
    return f"{folder}/{int(match[1]):05d}" if match else f"{folder}/{PurePosixPath(path).stem}"
