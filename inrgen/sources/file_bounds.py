"""Sizes of arrays in files, judged by their headers before anything is unpacked."""

import math
import zipfile
from pathlib import Path

import numpy as np


class TooLarge(ValueError):
    """A file whose content takes more memory than is allowed."""


def check_file_bytes(path: Path, num_bytes: int, memory_bytes: int) -> None:
    """Raise TooLarge, naming the file, if its content takes more memory than is allowed."""
    if num_bytes > memory_bytes:
        raise TooLarge(
            f"{path} takes {num_bytes / 1e9:.1f} GB unpacked, more than the "
            f"{memory_bytes / 1e9:g} GB of --memory-limit"
        )


def _array_bytes(archive: zipfile.ZipFile, name: str) -> int:
    """Bytes of an array by its .npy header, which may say more than the archive holds."""
    with archive.open(name) as file:
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[np.lib.format.read_magic(file)]
        shape, _, dtype = read_header(file)
    return math.prod(shape) * dtype.itemsize


def check_npz(path: Path, names: tuple[str, ...], memory_bytes: int) -> None:
    """Raise TooLarge if some arrays of an npz archive take more memory than is allowed.

    Raises what zipfile and numpy raise for a damaged archive, and KeyError for a missing array.
    """
    with zipfile.ZipFile(path) as archive:
        total = sum(_array_bytes(archive, f"{name}.npy") for name in names)
    check_file_bytes(path, total, memory_bytes)
