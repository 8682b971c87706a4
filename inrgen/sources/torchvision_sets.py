"""Every image data set of torchvision as a source, such as torchvision:SVHN.

torchvision itself reads the files. It unpickles those of CIFAR10 and CIFAR100 after comparing
their MD5 with the official one; inrgen unpickles nothing.
"""

import importlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np
import torch
from PIL import Image

from inrgen.core.config import Split
from inrgen.core.config_text import check_name
from inrgen.sources.base import Signal, SourceFacts
from inrgen.sources.config import SourceConfig
from inrgen.sources.items import ItemRun, NumberedItems, bucket_split
from inrgen.sources.pictures import decode, is_gray, one_bad_picture, picture_signal

PREFIX = "torchvision:"
# Names of train, val and test in data sets with a split argument; None if val is train's tail.
# Imagenette publishes no test labels, so its val plays the part of test.
_SPLIT_NAMES: dict[str, tuple[str, str | None, str]] = {
    "Country211": ("train", "valid", "test"),
    "DTD": ("train", "val", "test"),
    "FGVCAircraft": ("train", "val", "test"),
    "Flowers102": ("train", "val", "test"),
    "Food101": ("train", None, "test"),
    "GTSRB": ("train", None, "test"),
    "Imagenette": ("train", None, "val"),
    "OxfordIIITPet": ("trainval", None, "test"),
    "PCAM": ("train", "val", "test"),
    "RenderedSST2": ("train", "val", "test"),
    "STL10": ("train", None, "test"),
    "SVHN": ("train", None, "test"),
    "StanfordCars": ("train", None, "test"),
}
_TRAIN_FLAG = ("CIFAR10", "CIFAR100", "FashionMNIST", "KMNIST", "MNIST", "QMNIST", "USPS")
_UNSPLIT = ("Caltech101", "Caltech256", "EuroSAT", "SEMEION")
NAMES = tuple(sorted((*_SPLIT_NAMES, *_TRAIN_FLAG, *_UNSPLIT)))
# A val split cut from train takes its last tenth, as for CIFAR-10.
_VAL_ONE_IN = 10
# The compiled part of torchvision defines these operators. A wheel for CUDA does not load beside a
# CPU-only torch, and the import then fails because their schemas are missing. Data sets use none.
_SCHEMAS = tuple(
    f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor" for name in ("nms", "qnms")
)
_MISSING = "operator torchvision::nms does not exist"
# Definitions last as long as their library object.
_fragments: list[torch.library.Library] = []


def import_datasets() -> ModuleType:
    """Import torchvision.datasets beside any build of torch. Raises ValueError if that fails."""
    try:
        return importlib.import_module("torchvision.datasets")
    except ImportError as error:
        raise ValueError(f"torchvision is needed for this source and not there: {error}") from error
    except RuntimeError as error:
        if _MISSING not in str(error):
            raise ValueError(f"torchvision does not import beside this torch: {error}") from error
    if not _fragments:
        fragment = torch.library.Library("torchvision", "FRAGMENT")
        for schema in _SCHEMAS:
            fragment.define(schema)
        _fragments.append(fragment)
    return importlib.import_module("torchvision.datasets")


def _construct(name: str, data: str, download: bool, **which: Any) -> Any:
    """Open a data set of torchvision. Every failure becomes one sentence."""
    known: Callable[..., Any] = getattr(import_datasets(), name)
    # StanfordCars takes no download argument.
    if "download" in inspect.signature(known).parameters or download:
        which["download"] = download
    try:
        return known(root=data, **which)
    # torchvision raises RuntimeError for missing files; downloads raise many types.
    except Exception as error:
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        if download:
            raise ValueError(f"torchvision could not download {name}: {first_line}") from error
        raise FileNotFoundError(
            f"torchvision finds no whole {name} in {data} (download would fetch it): {first_line}"
        ) from error


def download(name: str, data: str) -> None:
    """Have torchvision fetch a data set with a train flag into data."""
    for train in (True, False):
        _construct(name, data, download=True, train=train)


def _labels(dataset: Any) -> np.ndarray:
    """Labels of a data set, read without decoding images where it can; -1 for no integer."""
    for name in ("targets", "labels", "_labels"):
        labels = getattr(dataset, name, None)
        if labels is not None and np.ndim(labels) == 1 and len(labels) == len(dataset):
            return np.asarray(labels).astype(np.int64)
    for name in ("samples", "_samples"):
        samples = getattr(dataset, name, None)
        if samples is not None and len(samples) == len(dataset):
            return np.array([label for _, label in samples], dtype=np.int64)
    found = [dataset[index][1] for index in range(len(dataset))]
    return np.array([label if isinstance(label, int) else -1 for label in found], dtype=np.int64)


def _run(prefix: str, split: Split, numbers: np.ndarray, labels: np.ndarray) -> ItemRun:
    return ItemRun(split=split, prefix=prefix, numbers=numbers, labels=labels[numbers])


def _runs(
    name: str, opened: Callable[[str, dict[str, Any]], Any], splits: Sequence[Split]
) -> list[ItemRun]:
    """Items of the wanted splits, opening only the halves of the data set that hold them."""
    if name in _UNSPLIT:
        labels = _labels(opened("all", {}))
        buckets = np.array([bucket_split(f"all/{number:05d}") for number in range(len(labels))])
        return [_run("all", split, np.flatnonzero(buckets == split), labels) for split in splits]
    if name in _TRAIN_FLAG:
        which = {"train": {"train": True}, "test": {"train": False}}
    else:
        train, val, test = _SPLIT_NAMES[name]
        which = {"train": {"split": train}, "test": {"split": test}}
        if val is not None:
            which["val"] = {"split": val}
    runs = []
    for split in splits:
        half = split if split in which else "train"
        labels = _labels(opened(half, which[half]))
        numbers = np.arange(len(labels))
        if "val" not in which and half == "train":
            cut = len(numbers) - len(numbers) // _VAL_ONE_IN
            numbers = numbers[:cut] if split == "train" else numbers[cut:]
        runs.append(_run(half, split, numbers, labels))
    return runs


@dataclass(frozen=True, kw_only=True)
class TorchvisionSource:
    """A Source over torchvision's data sets; halves[prefix] holds the items named prefix/00017."""

    config: SourceConfig
    facts: SourceFacts
    items: NumberedItems
    halves: dict[str, Any]

    def __reduce__(self) -> tuple[Any, ...]:
        # Reopening from the config keeps unpickling from importing torchvision without our schemas.
        return open_torchvision, (replace(self.config, download=False),)

    def load(self, index: int) -> Signal:
        """Read the picture of items[index]. Raises BadSignal if torchvision cannot."""
        prefix, number = self.items[index].item_id.split("/")
        with one_bad_picture():
            return picture_signal(
                decode(self.halves[prefix][int(number)][0], self.config), self.facts.d_out
            )


def _native_channels(first: Any, name: str) -> int:
    if not isinstance(first, Image.Image):
        raise ValueError(f"torchvision's {name} gives no pictures but {type(first).__name__}")
    return 1 if is_gray(first) else 3


def open_torchvision(config: SourceConfig) -> TorchvisionSource:
    """Open the data set named after the prefix; ids are train/00017, val/00017 and test/00017.

    Val is the data set's own, or the tail tenth of train. Items of data sets without splits (ids
    all/00017) are split 80/10/10 by a hash of the id. channels "auto" looks at the first picture.
    """
    name = config.name.removeprefix(PREFIX)
    check_name(name, NAMES, f"NAME of {PREFIX}NAME")
    data = config.data_folder(f"{name} as torchvision lays it out")
    halves: dict[str, Any] = {}

    def opened(half: str, which: dict[str, Any]) -> Any:
        if half not in halves:
            halves[half] = _construct(name, data, config.download, **which)
        return halves[half]

    runs = _runs(name, opened, config.splits)
    items = NumberedItems(
        runs=tuple(runs),
        label_names=tuple(map(str, getattr(next(iter(halves.values())), "classes", ()))),
    )
    if config.channels == "auto" and len(items):
        prefix, number = items[0].item_id.split("/")
        with_first = halves[prefix][int(number)][0]
        native = _native_channels(with_first, name)
    else:
        native = 1
    facts = SourceFacts(
        name=config.name, value_kind="intensity", d_in=2, d_out=config.num_outputs(native)
    )
    return TorchvisionSource(config=config, facts=facts, items=items, halves=halves)
