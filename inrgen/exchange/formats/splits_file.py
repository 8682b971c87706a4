"""splits.json of the DWSNets family, in its two forms: lists of paths, and of paths and labels."""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa

from inrgen.core.splits import SPLITS, Split
from inrgen.exchange.files import read_json, write_json

SPLITS_FILE = "splits.json"
_POINTS = "split_points.json"


def write_split_points(folder: Path, rows: pa.Table, column: str) -> None:
    """Where val and test begin, for formats whose loaders are told so.

    Args:
        column: what is counted: "item" or "row".
    """
    values, splits = rows[column].to_numpy(), np.array(rows["split"].to_pylist())
    counts = [len(np.unique(values[splits == split])) for split in SPLITS]
    write_json(folder / _POINTS, {"split_points": [counts[0], counts[0] + counts[1]]})


def read_split_points(folder: Path) -> list[int]:
    """Where val and test begin. Raises ValueError where that is not said."""
    try:
        found = read_json(folder, _POINTS)
    except FileNotFoundError as error:
        raise ValueError(
            f"{folder} does not say where val and test begin: write {_POINTS} there, with "
            '{"split_points": [45000, 50000]} or whatever they are'
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
    """The split of a number, where val and test begin at points."""
    return SPLITS[sum(number >= point for point in points)]


def read_splits(folder: Path, name: str = SPLITS_FILE) -> Iterator[tuple[Split, str, int]]:
    """Split, path and label (-1 where there is none) of every sample, in order.

    Raises ValueError for anything but {"train": [...], ...} or {"train": {"path": [...], "label":
    [...]}, ...} with the names train, val and test.
    """
    found = read_json(folder, name)
    if not isinstance(found, dict) or not found or not set(found) <= set(SPLITS):
        raise ValueError(f"{name} must have the keys train, val and test alone")
    for split in SPLITS:
        paths, labels = found.get(split, []), None
        if isinstance(paths, dict):
            paths, labels = paths.get("path"), paths.get("label")
            if not isinstance(labels, list):
                raise ValueError(f"{name}: {split} has no list of labels")
        if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
            raise ValueError(f"{name}: {split} has no list of paths")
        if labels is not None and len(labels) != len(paths):
            raise ValueError(f"{name}: {split} has {len(paths)} paths and {len(labels)} labels")
        for index, path in enumerate(paths):
            yield split, path, -1 if labels is None else _label(name, labels[index])


def _label(name: str, value: object) -> int:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise ValueError(f"{name}: labels must be whole numbers; got {value!r:.100}")
    return value


def last_parts(path: str, count: int) -> str:
    """The end of a path, as loaders cut it: where the rest leads to is of no interest here."""
    return "/".join(PurePosixPath(path).parts[-count:])


def numbered(kind: str, path: str) -> str:
    """An item id from a file's name: train/00017 for model_17.pth, or the name as it is."""
    match = re.search(r"(\d{1,12})(?=\D*$)", PurePosixPath(path).stem)
    return f"{kind}/{int(match[1]):05d}" if match else f"{kind}/{PurePosixPath(path).stem}"
