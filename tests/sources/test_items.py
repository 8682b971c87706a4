"""Laws of items in bulk."""

from dataclasses import replace

import numpy as np
import pytest

from inrgen.sources.base import Item
from inrgen.sources.items import ItemRun, NumberedItems, bucket_split, items_digest

ITEMS = [Item(item_id=f"a/{n}", split="train", label=n) for n in range(5)]


@pytest.mark.parametrize(
    "changed",
    [
        ITEMS[:-1],
        ITEMS[::-1],
        [replace(ITEMS[0], label=7), *ITEMS[1:]],
        [replace(ITEMS[0], split="val"), *ITEMS[1:]],
        [replace(ITEMS[0], item_id="b"), *ITEMS[1:]],
    ],
)
def test_a_digest_notices_every_change(changed):
    assert items_digest(changed) != items_digest(ITEMS)
    assert items_digest(list(ITEMS)) == items_digest(ITEMS)


def test_buckets_are_80_10_10_and_fixed_for_good():
    splits = [bucket_split(f"x/{n}.png") for n in range(5000)]
    shares = [splits.count(s) / 5000 for s in ("train", "val", "test")]
    assert np.allclose(shares, (0.8, 0.1, 0.1), atol=0.02)
    assert splits[:12] == [bucket_split(f"x/{n}.png") for n in range(12)]


def test_numbered_items_slice_as_lists_do():
    run = ItemRun(split="train", prefix="p", numbers=np.arange(7), labels=np.arange(7) - 1)
    other = replace(run, split="val", numbers=np.arange(7, 9), labels=np.zeros(2, int))
    items = NumberedItems(runs=(run, other), label_names=("zero", "one"))
    assert items[5:8] == list(items)[5:8]
    assert list(items) == [items[index] for index in range(9)]
    assert [item.label_name for item in items[:4]] == ["", "zero", "one", ""]
    assert items[7].item_id == "p/00007"
