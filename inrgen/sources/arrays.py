"""Data sets of equally large pictures, held in memory as the bytes of their files."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int, Integer, UInt8

from inrgen.core.config import SPLITS, Split
from inrgen.sources.base import Signal, SourceFacts
from inrgen.sources.config import SourceConfig
from inrgen.sources.items import ItemRun, NumberedItems, bucket_split
from inrgen.sources.pictures import picture_signal


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledPixels:
    """The pictures of one file, in its order, each with a label."""

    pixels: UInt8[np.ndarray, "n rows columns c"]
    labels: Integer[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitPart:
    """The pictures of one split, and the number that each has in its own file."""

    split: Split
    prefix: str
    numbers: Int[np.ndarray, " n"]
    content: LabelledPixels


@dataclass(frozen=True, kw_only=True, slots=True)
class ArraySource:
    """A Source over pixels; picture i is items[i], and a pixel of `peak` has intensity 1."""

    facts: SourceFacts
    items: NumberedItems
    pixels: UInt8[np.ndarray, "n rows columns c"]
    peak: int = 255

    def load(self, index: int) -> Signal:
        """Scale the pixels of items[index] to a signal."""
        values = self.pixels[index].astype(np.float32) / np.float32(self.peak)
        return picture_signal(values, self.facts.d_out)


def train_parts(content: LabelledPixels, one_in: int) -> tuple[SplitPart, SplitPart]:
    """Cut a train file into train and val: val is its tail, one picture in `one_in`.

    Both keep the file's own numbers, so train/55000 is the first item of MNIST's val split.
    """
    numbers = np.arange(len(content))
    cut = len(content) - len(content) // one_in
    halves = (slice(None, cut), slice(cut, None))
    train, val = (
        LabelledPixels(pixels=content.pixels[half], labels=content.labels[half]) for half in halves
    )
    return (
        SplitPart(split="train", prefix="train", numbers=numbers[:cut], content=train),
        SplitPart(split="val", prefix="train", numbers=numbers[cut:], content=val),
    )


def test_part(content: LabelledPixels) -> SplitPart:
    """Take a test file as the test split."""
    numbers = np.arange(len(content))
    return SplitPart(split="test", prefix="test", numbers=numbers, content=content)


def array_source(
    config: SourceConfig,
    parts: Sequence[SplitPart],
    label_names: tuple[str, ...],
    peak: int = 255,
) -> ArraySource:
    """Join the parts that config asks for, in the order of the splits."""
    chosen = [part for split in config.splits for part in parts if part.split == split]
    pixels = [part.content.pixels for part in chosen]
    runs = tuple(
        ItemRun(
            split=part.split,
            prefix=part.prefix,
            numbers=part.numbers,
            labels=part.content.labels.astype(np.int64),
        )
        for part in chosen
    )
    joined = pixels[0] if len(pixels) == 1 else np.concatenate(pixels)
    d_out = config.num_outputs(joined.shape[3])
    return ArraySource(
        facts=SourceFacts(name=config.name, value_kind="intensity", d_in=2, d_out=d_out),
        items=NumberedItems(runs=runs, label_names=label_names),
        pixels=joined,
        peak=peak,
    )


def open_digits(config: SourceConfig) -> ArraySource:
    """Open the 1,797 handwritten digits that ship with scikit-learn, 8 x 8 with 17 grays.

    They come without splits, so a hash of the id decides; ids are digits/00017.
    """
    from sklearn.datasets import load_digits  # takes a second, which only this source should pay

    digits: Any = load_digits()
    images, labels = digits.images, digits.target
    splits = np.array([bucket_split(f"digits/{number:05d}") for number in range(len(images))])
    parts = []
    for split in SPLITS:
        numbers = np.flatnonzero(splits == split)
        content = LabelledPixels(
            pixels=images[numbers].astype(np.uint8)[..., None], labels=labels[numbers]
        )
        parts.append(SplitPart(split=split, prefix="digits", numbers=numbers, content=content))
    return array_source(config, parts, tuple("0123456789"), peak=16)
