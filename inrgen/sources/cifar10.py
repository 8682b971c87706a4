"""CIFAR-10 from its binary version, or from an npz archive of its arrays; never from pickles."""

import zipfile
from pathlib import Path

import numpy as np

from inrgen.sources.arrays import (
    ArraySource,
    LabelledPixels,
    SplitPart,
    array_source,
    test_part,
    train_parts,
)
from inrgen.sources.config import SourceConfig
from inrgen.sources.file_bounds import TooLarge, check_npz

_FOLDER = "cifar-10-batches-bin"
_NPZ = "cifar10_small.npz"
_TRAIN_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
_TEST_FILES = ("test_batch.bin",)
_SIDE = 32
_RECORD_BYTES = 1 + 3 * _SIDE * _SIDE
# Val is the last 5,000 of 50,000 images; a shorter train set keeps the proportion.
_VAL_ONE_IN = 10
_LABELS = tuple("airplane automobile bird cat deer dog frog horse ship truck".split())


def _checked(pixels: np.ndarray, labels: np.ndarray, where: str) -> LabelledPixels:
    if pixels.shape[1:] != (_SIDE, _SIDE, 3) or pixels.dtype != np.uint8:
        raise ValueError(
            f"{where} needs images as uint8 of (n, 32, 32, 3); got {pixels.dtype} {pixels.shape}"
        )
    if labels.shape != (len(pixels),) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"{where} needs {len(pixels)} whole labels; got {labels.shape}")
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(_LABELS):
        raise ValueError(f"{where} needs labels from 0 to 9; got {labels.min()}..{labels.max()}")
    return LabelledPixels(pixels=pixels, labels=labels)


def _read_binary(folder: Path, names: tuple[str, ...]) -> LabelledPixels:
    """Read records of a label byte and 3,072 pixels, plane by plane, from several files."""
    records = []
    for name in names:
        if not (folder / name).is_file():
            raise FileNotFoundError(f"there is no {name} in {folder}")
        content = np.fromfile(folder / name, dtype=np.uint8)
        if len(content) == 0 or len(content) % _RECORD_BYTES:
            raise ValueError(
                f"{folder / name} needs whole records of {_RECORD_BYTES} bytes; "
                f"got {len(content)} bytes"
            )
        records.append(content.reshape(-1, _RECORD_BYTES))
    joined = np.concatenate(records)
    planes = joined[:, 1:].reshape(-1, 3, _SIDE, _SIDE)
    return _checked(planes.transpose(0, 2, 3, 1), joined[:, 0], str(folder))


def _read_npz(path: Path, half: str, memory_bytes: int) -> LabelledPixels:
    """Read x_train and y_train, or x_test and y_test, from an npz archive."""
    try:
        check_npz(path, (f"x_{half}", f"y_{half}"), memory_bytes)
        with np.load(path, allow_pickle=False) as archive:
            arrays = archive[f"x_{half}"], archive[f"y_{half}"]
    except KeyError as error:
        raise ValueError(f"{path} needs the arrays x_{half} and y_{half}: {error}") from error
    except TooLarge:
        raise
    except (zipfile.BadZipFile, ValueError, EOFError, OSError, TypeError) as error:
        raise ValueError(f"{path} is not a whole npz archive of plain arrays: {error}") from error
    return _checked(*arrays, where=f"{path}, {half},")


def open_cifar10(config: SourceConfig) -> ArraySource:
    """Open CIFAR-10; ids are train/00000..49999 across the five train batches, and test/00000...

    config.data is the folder that holds cifar-10-batches-bin or cifar10_small.npz, or an npz file.
    Val is the tail tenth of train: from train/45000 in the whole set, from train/01350 of 1,500.
    """
    if config.download:
        raise ValueError(
            "download cannot fetch cifar10, as torchvision fetches pickles; fetch the binary "
            "version of CIFAR-10 by hand, or name the source torchvision:CIFAR10"
        )
    data = Path(config.data or "")
    if data.suffix != ".npz":
        data = Path(config.data_folder(f"{_FOLDER} or {_NPZ}"))
    npz = data if data.suffix == ".npz" else data / _NPZ
    parts: list[SplitPart] = []
    if (data / _FOLDER).is_dir():
        folder = data / _FOLDER
        if config.split != "test":
            parts += train_parts(_read_binary(folder, _TRAIN_FILES), _VAL_ONE_IN)
        if config.split in ("all", "test"):
            parts.append(test_part(_read_binary(folder, _TEST_FILES)))
    elif npz.is_file():
        if config.split != "test":
            parts += train_parts(_read_npz(npz, "train", config.memory_bytes), _VAL_ONE_IN)
        if config.split in ("all", "test"):
            parts.append(test_part(_read_npz(npz, "test", config.memory_bytes)))
    elif data.suffix == ".npz":
        raise FileNotFoundError(f"there is no file {data}")
    else:
        raise FileNotFoundError(f"there is no {_FOLDER} folder and no {_NPZ} in {data}")
    return array_source(config, parts, _LABELS)
