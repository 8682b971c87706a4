"""The 1,797 handwritten digits that ship with scikit-learn, 8 x 8, of 17 grays."""

from typing import Any

import numpy as np

from inrgen.core.splits import SPLITS
from inrgen.sources.arrays import ArraySource, LabelledPixels, SplitPart, array_source
from inrgen.sources.config import SourceConfig
from inrgen.sources.items import bucket_split


def open_digits(config: SourceConfig) -> ArraySource:
    """The digits, split by hash as they come without splits; ids are digits/00017."""
    from sklearn.datasets import load_digits  # a second of import that only this source pays

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
