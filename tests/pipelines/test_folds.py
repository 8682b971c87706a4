"""Folds of a store: every item is tested once, by a training that never saw it."""

from collections import Counter

import pytest

from inrgen.store.content import content_sha256
from inrgen.store.lineage import walk_back
from inrgen.store.reader import open_store
from inrgen.store.verify import verify_store
from pipelines.folds import with_fold
from tests.labelled import LabelledRows

FOLDS = 3


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    return LabelledRows(items=60, views=2).build(tmp_path_factory.mktemp("folds") / "given")


@pytest.fixture(scope="module")
def folds(given):
    return [
        with_fold(given, given.parent / f"{fold}of{FOLDS}", fold=fold, num_folds=FOLDS)
        for fold in range(FOLDS)
    ]


def read_column(path, name):
    rows = open_store(path).records.to_table().to_pylist()
    return {row["item_id"]: row[name] for row in rows}


def test_each_item_is_tested_in_one_fold_and_never_learned_from_there(given, folds):
    items = set(read_column(given, "split"))
    tested = Counter()
    for path in folds:
        splits = read_column(path, "split")
        assert set(splits) == items
        assert set(splits.values()) == {"train", "val", "test"}
        tested.update(item for item, split in splits.items() if split == "test")
    assert tested == Counter(dict.fromkeys(items, 1))


def test_all_views_of_an_item_share_its_split_and_classes_are_dealt_evenly(given, folds):
    labels = read_column(given, "label")
    for path in folds:
        table = open_store(path).read_records(["item_id", "split"]).to_pylist()
        assert len({(row["item_id"], row["split"]) for row in table}) == len(labels)
        splits = read_column(path, "split")
        counts = Counter(labels[item] for item, split in splits.items() if split == "test")
        assert max(counts.values()) - min(counts.values()) <= 1
        assert set(counts) == set(labels.values())


def test_a_fold_is_derived_and_whole(given, folds):
    for path in folds:
        assert verify_store(path).ok
        steps = walk_back(open_store(path))
        assert steps[0].operation == "fold-split"
        assert steps[1].content_sha256 == content_sha256(given)
        assert read_column(path, "label") == read_column(given, "label")


def test_another_fold_in_the_same_folder_is_refused(given, folds):
    with pytest.raises(ValueError, match="fold"):
        with_fold(given, folds[0], fold=1, num_folds=FOLDS)


@pytest.mark.parametrize(
    ("classes", "fold", "num_folds", "said"),
    [
        (3, 3, 3, "fold must be from 0 to 2; got 3"),
        (3, 0, 21, "folds must be at most the items of a class, 20; got 21"),
        (-1, 0, 3, "needs? a label for every item"),
    ],
)
def test_folds_that_cannot_be_are_one_sentence_and_no_store(
    classes, fold, num_folds, said, tmp_path
):
    given = LabelledRows(items=60, views=1, classes=classes).build(tmp_path / "given")
    with pytest.raises(ValueError, match=said):
        with_fold(given, tmp_path / "fold", fold=fold, num_folds=num_folds)
    assert not (tmp_path / "fold").exists()
