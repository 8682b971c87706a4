"""MNIST and Fashion-MNIST from their idx files (Y. LeCun's format), raw or gzipped.

The files lie where torchvision puts them: DIR/MNIST/raw and DIR/FashionMNIST/raw.
"""

import gzip
import math
import zlib
from io import BufferedIOBase
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from inrgen.sources.arrays import (
    ArraySource,
    LabelledPixels,
    SplitPart,
    array_source,
    test_part,
    train_parts,
)
from inrgen.sources.config import SourceConfig
from inrgen.sources.file_bounds import check_file_bytes

# A magic number is two zero bytes, 0x08 for unsigned bytes, and the number of dimensions.
_UNSIGNED_BYTES = 0x08
# Source name -> torchvision's class (also the name of its folder), and the names of the labels.
_SETS: dict[str, tuple[str, tuple[str, ...]]] = {
    "mnist": ("MNIST", tuple("0123456789")),
    "fashion-mnist": (
        "FashionMNIST",
        (
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
    ),
}
# Val is the last 5,000 of 60,000 images; a shorter train file keeps the proportion.
_VAL_ONE_IN = 12


def find_idx(folder: Path, name: str) -> Path:
    """Find an idx file in a folder, plain or with .gz. Raises FileNotFoundError."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise FileNotFoundError(f"there is no {name} and no {name}.gz in {folder}")


def _read_idx(file: BufferedIOBase, path: Path, num_dims: int, memory_bytes: int) -> np.ndarray:
    magic, wanted = file.read(4), bytes((0, 0, _UNSIGNED_BYTES, num_dims))
    if magic != wanted:
        raise ValueError(f"{path} needs the idx magic number {wanted.hex()}; got {magic.hex()!r}")
    sides = file.read(4 * num_dims)
    if len(sides) < 4 * num_dims:
        raise ValueError(f"{path} is cut short: its header needs {4 + 4 * num_dims} bytes")
    shape = tuple(int(side) for side in np.frombuffer(sides, dtype=">u4"))
    num_bytes = math.prod(shape)
    check_file_bytes(path, num_bytes, memory_bytes)
    # One byte more than the header says tells a file that is too long, however much it unpacks to.
    content = file.read(num_bytes + 1)
    if len(content) != num_bytes:
        got = "more" if len(content) > num_bytes else len(content)
        raise ValueError(
            f"{path} needs {num_bytes} bytes after its header for the shape {shape}; got {got}"
        )
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)


def read_idx(path: Path, num_dims: int, memory_bytes: int) -> UInt8[np.ndarray, "n ..."]:
    """Read the unsigned bytes of an idx file, in the shape that its header states.

    Raises:
        ValueError: the magic number is wrong, the gzip file is cut short, or the content does not
            fill the shape exactly or takes more than memory_bytes; the message names the file.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return _read_idx(file, path, num_dims, memory_bytes)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is not a whole gzip file: {error}") from error


def _read_file_pair(folder: Path, stem: str, num_labels: int, memory_bytes: int) -> LabelledPixels:
    """Read the images and the labels of one half of the data set."""
    images_path = find_idx(folder, f"{stem}-images-idx3-ubyte")
    labels_path = find_idx(folder, f"{stem}-labels-idx1-ubyte")
    images = read_idx(images_path, 3, memory_bytes)
    labels = read_idx(labels_path, 1, memory_bytes)
    if len(images) != len(labels):
        raise ValueError(
            f"{labels_path} needs one label for each of the {len(images)} images of "
            f"{images_path.name}; got {len(labels)}"
        )
    if len(labels) and labels.max() >= num_labels:
        raise ValueError(
            f"{labels_path} needs labels from 0 to {num_labels - 1}; got {labels.max()}"
        )
    return LabelledPixels(pixels=images[..., None], labels=labels)


def open_mnist(config: SourceConfig) -> ArraySource:
    """Open MNIST or Fashion-MNIST, reading only the files of the wanted splits.

    Train is images 0..54,999 of the train file and val its tail, 55,000..59,999. Ids keep the
    file's own numbers: train/55000 is the first item of val, test/00000 the first of test.
    """
    folder_name, names = _SETS[config.name]
    data = config.data_folder(f"{folder_name}/raw")
    if config.download:
        from inrgen.sources.torchvision_sets import download

        download(folder_name, data)
    folder, most = Path(data) / folder_name / "raw", config.memory_bytes
    parts: list[SplitPart] = []
    if config.split != "test":
        parts += train_parts(_read_file_pair(folder, "train", len(names), most), _VAL_ONE_IN)
    if config.split in ("all", "test"):
        parts.append(test_part(_read_file_pair(folder, "t10k", len(names), most)))
    return array_source(config, parts, names)
