"""A limit keeps the shares of classes, a larger one contains a smaller one, and names decide."""

import numpy as np
import pytest

from inrgen.sources.catalog import choose_part, open_source
from inrgen.sources.config import SourceConfig
from inrgen.sources.given import as_source
from inrgen.sources.selection import choose_limited, describe_part, stratified_order

SIZES = {"equal": [50] * 8, "one large class": [500] + [5] * 100, "one class": [40]}


def class_list(sizes: list[int]) -> tuple[list[str], np.ndarray]:
    """Items sorted by class, as folders give them."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return [f"item/{number}" for number in range(len(labels))], labels


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_every_beginning_keeps_the_classes_shares(sizes):
    names, labels = class_list(sizes)
    order = stratified_order(names, labels)
    assert sorted(order) == list(range(len(labels)))
    for num in range(1, len(labels)):
        found = np.bincount(labels[order[:num]], minlength=len(sizes))
        wanted = np.array(sizes) * num / len(labels)
        # A class may be an item ahead or behind; the largest one bears the rounding of all others.
        assert np.abs(found - wanted).max() < (1.01 if len(set(sizes)) == 1 else 2)


def test_limits_are_nested_and_do_not_depend_on_the_order_of_items():
    names, labels = class_list([30, 20, 10])
    shuffled = np.random.default_rng(0).permutation(60)
    before: set[str] = set()
    for limit in (3, 7, 30, 59, 60, 61):
        chosen = choose_limited(names, labels, limit, None)
        moved = choose_limited([names[at] for at in shuffled], labels[shuffled], limit, None)
        found = {names[at] for at in chosen}
        assert found == {names[shuffled[at]] for at in moved}
        assert list(chosen) == sorted(chosen)
        assert (len(found), found >= before) == (min(limit, 60), True)
        before = found
    assert list(choose_limited(names, labels, 3, "first")) == [0, 1, 2]


def test_sources_of_every_kind_are_limited_alike():
    whole = open_source(SourceConfig(name="digits"))
    part = open_source(SourceConfig(name="digits", limit=20))
    assert [item.split for item in part.items] == ["train"] * 20 + ["val"] * 20 + ["test"] * 20
    assert len({item.label for item in part.items if item.split == "train"}) == 10
    place = [item.item_id for item in whole.items].index(part.items[33].item_id)
    assert part.load(33).sha256() == whole.load(place).sha256()
    array = as_source(np.zeros((60, 4)), axes="nt", labels=[0] * 30 + [1] * 30, splits="train")
    config = SourceConfig(name="array", limit=20, split="train")
    counts = np.bincount([item.label for item in choose_part(array, config).items])
    assert list(counts) == [10, 10]


@pytest.mark.parametrize(
    ("labels", "splits", "said"),
    [
        ("aaab", ["train", "train", "val", "test"], ["train has one class only, a", "lacks: b"]),
        ("ab", ["train", "train"], ["no items in val and test"]),
        ("abab", ["train", "train", "val", "test"], []),
    ],
)
def test_what_a_classifier_will_lack_is_said_before_the_fits(labels, splits, said):
    source = as_source(np.zeros((len(labels), 3)), axes="nt", labels=list(labels), splits=splits)
    notes = describe_part(source.items, SourceConfig(name="array"))
    assert all(any(words in note for note in notes) for words in said)
    assert len(notes) == len(said)
    (alone,) = describe_part(source.items[:1], SourceConfig(name="array", split="train", limit=1))
    assert alone == "a stratified sample of 1 item of each split (train 1)"
    (whole,) = describe_part(source.items[:1], SourceConfig(name="array", split="train", limit=2))
    assert whole == "all items (train 1)"


def test_identities_without_an_order_are_of_the_first_items():
    here = SourceConfig(name="digits", limit=3)
    facts = here.identity()
    assert facts["limit_order"] == "stratified"
    old = {name: value for name, value in facts.items() if name != "limit_order"}
    first = SourceConfig(name="digits", limit=3, limit_order="first")
    assert first.identity() == old
    assert SourceConfig.from_identity(old, None) == first == here.with_order(old)
    assert here.with_order(facts) == here.with_order(None) != first.with_order(facts)
    assert "limit_order" not in SourceConfig(name="digits").identity()
