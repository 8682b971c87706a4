"""The idx files of MNIST and its kin (Y. LeCun's format), raw or gzipped."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

# A magic number is two zero bytes, 0x08 for unsigned bytes, and the number of dimensions.
_UNSIGNED_BYTES = 0x08


def find_idx(folder: Path, name: str) -> Path:
    """The file of that name in a folder, or the same with .gz. FileNotFoundError if neither is."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise FileNotFoundError(f"there is no {name} and no {name}.gz in {folder}")


def _read_bytes(path: Path) -> bytes:
    if path.suffix != ".gz":
        return path.read_bytes()
    try:
        with gzip.open(path) as file:
            return file.read()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is not a whole gzip file: {error}") from error


def read_idx(path: Path, num_dims: int) -> UInt8[np.ndarray, "n ..."]:
    """The unsigned bytes of an idx file, in its own shape.

    Raises ValueError, naming the file, for a wrong magic number, a gzip file that is cut short,
    or contents that do not fill the shape exactly.
    """
    content = _read_bytes(path)
    magic, wanted = content[:4], bytes((0, 0, _UNSIGNED_BYTES, num_dims))
    if magic != wanted:
        raise ValueError(f"{path} needs the idx magic number {wanted.hex()}; got {magic.hex()!r}")
    start = 4 + 4 * num_dims
    if len(content) < start:
        raise ValueError(f"{path} is cut short: its header needs {start} bytes; got {len(content)}")
    shape = tuple(int(side) for side in np.frombuffer(content[4:start], dtype=">u4"))
    if len(content) - start != math.prod(shape):
        raise ValueError(
            f"{path} needs {math.prod(shape)} bytes after its header for the shape {shape}; "
            f"got {len(content) - start}"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)
