"""MNIST and Fashion-MNIST from their idx files (Y. LeCun's format), raw or gzipped.

The files lie where torchvision puts them: DIR/MNIST/raw and DIR/FashionMNIST/raw.
"""

import gzip
import math
import zlib
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


def _read_bytes(path: Path) -> bytes:
    if path.suffix != ".gz":
        return path.read_bytes()
    try:
        with gzip.open(path) as file:
            return file.read()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is not a whole gzip file: {error}") from error


def read_idx(path: Path, num_dims: int) -> UInt8[np.ndarray, "n ..."]:
    """Read the unsigned bytes of an idx file, in the shape that its header states.

    Raises:
        ValueError: the magic number is wrong, the gzip file is cut short, or the content does not
            fill the shape exactly; the message names the file.
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


def _read_file_pair(folder: Path, stem: str, num_labels: int) -> LabelledPixels:
    """Read the images and the labels of one half of the data set."""
    images_path = find_idx(folder, f"{stem}-images-idx3-ubyte")
    labels_path = find_idx(folder, f"{stem}-labels-idx1-ubyte")
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
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
    """Open MNIST or Fashion-MNIST, by config.name, reading only the files of the wanted splits.

    Train is images 0..54,999 of the train file and val its tail, 55,000..59,999. Ids keep the
    file's own numbers: train/55000 is the first item of val, test/00000 the first of test.
    """
    folder_name, names = _SETS[config.name]
    data = config.data_folder(f"{folder_name}/raw")
    if config.download:
        from inrgen.sources.torchvision_sets import download

        download(folder_name, data)
    folder = Path(data) / folder_name / "raw"
    parts: list[SplitPart] = []
    if config.split != "test":
        parts += train_parts(_read_file_pair(folder, "train", len(names)), _VAL_ONE_IN)
    if config.split in ("all", "test"):
        parts.append(test_part(_read_file_pair(folder, "t10k", len(names))))
    return array_source(config, parts, names)
