"""Any image data set of torchvision's as a source: torchvision:SVHN and the like.

torchvision reads the files its own way. It unpickles those of CIFAR10 and CIFAR100, once their
MD5 is the official one; inrgen itself unpickles nothing.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from inrgen.core.splits import Split
from inrgen.sources.base import Signal, SourceFacts
from inrgen.sources.config import SourceConfig
from inrgen.sources.items import ItemRun, NumberedItems, bucket_split
from inrgen.sources.pictures import decode, is_gray, one_bad_picture
from inrgen.sources.pixels import picture_signal
from inrgen.sources.torchvision_import import import_datasets

PREFIX = "torchvision:"
# How data sets with a split argument call train, val and test; None where val is train's tail.
# Imagenette keeps its test labels to itself, so its val is what others call test.
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
# Where val is the tail of train it is a tenth of it, as for CIFAR-10.
_VAL_ONE_IN = 10


def _construct(name: str, data: str, download: bool, **which: Any) -> Any:
    """One of torchvision's data sets; whatever fails becomes one sentence."""
    known: Callable[..., Any] = getattr(import_datasets(), name)
    # A data set that offers no download (StanfordCars) is not asked for one.
    if "download" in inspect.signature(known).parameters or download:
        which["download"] = download
    try:
        return known(root=data, **which)
    # torchvision raises RuntimeError for missing files, and whatever the network raises.
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
    """The labels of a data set, if it can be without decoding its images; -1 for those not one."""
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
    """The items of the splits asked for, opening only those halves of the data set."""
    if name in _UNSPLIT:
        labels = _labels(opened("all", {}))
        of = np.array([bucket_split(f"all/{number:05d}") for number in range(len(labels))])
        return [_run("all", split, np.flatnonzero(of == split), labels) for split in splits]
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
    """A Source over torchvision's data sets; halves[prefix] holds the items called prefix/00017."""

    config: SourceConfig
    facts: SourceFacts
    items: NumberedItems
    halves: dict[str, Any]

    def __reduce__(self) -> tuple[Any, ...]:
        # Opened anew from its config: to unpickle a data set would import torchvision plainly.
        return open_torchvision, (replace(self.config, download=False),)

    def load(self, index: int) -> Signal:
        """The picture of items[index]; BadSignal where torchvision cannot read it."""
        prefix, number = self.items[index].item_id.split("/")
        with one_bad_picture():
            return picture_signal(decode(self.halves[prefix][int(number)][0]), self.facts.d_out)


def _native_channels(first: Any, name: str) -> int:
    if not isinstance(first, Image.Image):
        raise ValueError(f"torchvision's {name} gives no pictures but {type(first).__name__}")
    return 1 if is_gray(first) else 3


def open_torchvision(config: SourceConfig) -> TorchvisionSource:
    """The data set that config.name names after its prefix; ids are train/00017, val/..., test/....

    Val is the data set's own, or else the tail tenth of train; data sets without splits (ids
    all/00017) fall into 80/10/10 by a hash of the id. channels "auto" goes by the first picture.
    """
    name = config.name.removeprefix(PREFIX)
    if name not in NAMES:
        raise ValueError(f"{PREFIX}NAME needs NAME to be one of {', '.join(NAMES)}; got {name!r}")
    data = config.data_folder(f"{name} as torchvision lays it out")
    halves: dict[str, Any] = {}

    def opened(half: str, which: dict[str, Any]) -> Any:
        if half not in halves:
            halves[half] = _construct(name, data, config.download, **which)
        return halves[half]

    runs = _runs(name, opened, config.splits)
    cut = slice(config.limit)
    items = NumberedItems(
        runs=tuple(replace(run, numbers=run.numbers[cut], labels=run.labels[cut]) for run in runs),
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
