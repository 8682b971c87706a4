"""Training data is checked against the config, and its shares are nested and of whole items."""

from dataclasses import replace

import pytest
import torch

from inrgen.store.reader import open_store
from inrgen.training.config import TrainConfig
from inrgen.training.data import TrainData, _describe_missing, open_data
from inrgen.training.distributed import DistributedContext
from inrgen.training.feed import train_loader
from tests.made_up import MadeUp

CONFIG = TrainConfig(model="mlp", views=2, batch_size=16)
CPU = DistributedContext(device=torch.device("cpu"))


def served(config: TrainConfig, data: TrainData) -> list[int]:
    """The rows of an epoch, sorted."""
    loader = train_loader(config, open_data(config, data), CPU)
    return sorted(row for batch in loader for row in batch.rows.tolist())


@pytest.fixture
def data(labelled_store) -> TrainData:
    return TrainData(train=labelled_store, val=labelled_store, test=labelled_store)


def test_only_the_first_views_of_training_items_are_learned_from(data):
    items = [item for item in range(60) if item % 5 < 3]
    assert served(CONFIG, data) == [4 * item + view for item in items for view in (0, 1)]


def test_a_random_view_of_each_item_comes_from_the_views_in_use(data):
    config = replace(CONFIG, views=3, view_mode="random")
    loader = train_loader(config, open_data(config, data), CPU)
    epochs = [{b: v for batch in loader for b, v in zip(batch.items, batch.views, strict=True)}]
    rows = [[row for batch in loader for row in batch.rows.tolist()] for _ in range(4)]
    assert len(epochs[0]) == 36
    assert all(len(epoch) == 36 for epoch in rows)
    assert {row % 4 for epoch in rows for row in epoch} == {0, 1, 2}


def test_a_smaller_share_lies_in_a_larger_one_and_holds_whole_items(data):
    tenth, half, whole = (set(served(replace(CONFIG, fraction=f), data)) for f in (0.1, 0.5, 1.0))
    assert tenth < half < whole
    assert (len(tenth), len(half), len(whole)) == (8, 36, 72)
    assert all(row ^ 1 in half for row in half)
    other = set(served(replace(CONFIG, fraction=0.5, seed=1), data))
    assert other != half


def test_a_number_that_is_another_class_elsewhere_is_refused(
    labelled_store, labelled_rows, tmp_path
):
    other = labelled_rows(label_names=("dog", "eel", "cat")).build(tmp_path / "other")
    message = r"0 is 'dog' in .*other, and 'cat' in other rows"
    for data in (
        TrainData(train=labelled_store, val=other, test=labelled_store),
        TrainData(train=labelled_store, val=labelled_store, test=other),
        TrainData(train=[labelled_store, other], val=labelled_store),
    ):
        with pytest.raises(ValueError, match=message):
            open_data(CONFIG, data)
    for nameless in (("", "", ""), ("0", "1", "2")):
        path = labelled_rows(label_names=nameless).build(tmp_path / f"nameless{nameless[0]}")
        data = TrainData(train=[path, labelled_store], val=path, test=labelled_store)
        assert open_data(CONFIG, data).classes == ("cat", "dog", "eel")
        alone = TrainData(train=path, val=labelled_store)
        assert open_data(CONFIG, alone).classes == ("0", "1", "2")


def test_stores_may_be_paths_or_open_or_several(labelled_store, labelled_rows, tmp_path):
    more = labelled_rows(seed=1, splits=("train",)).build(tmp_path / "more")
    data = TrainData(train=[labelled_store, open_store(more)], val=str(labelled_store))
    assert len(served(CONFIG, data)) == 72 + 120


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({"classes": -1}, "its training rows have no label; only contrastive"),
        ({"classes": 1}, "all training rows are of one class, {0: 'cat'}"),
    ],
)
def test_rows_that_cannot_be_classified_are_refused(labelled_rows, tmp_path, rows, words):
    store = labelled_rows(**rows).build(tmp_path / "store")
    with pytest.raises(ValueError, match=words.split(",")[0].replace("(", r"\(")):
        open_data(CONFIG, TrainData(train=store, val=store))
    if rows["classes"] < 0:
        contrastive = replace(CONFIG, objective="contrastive", augment="negation")
        assert open_data(contrastive, TrainData(train=store, val=store)).classes == ()


def test_data_that_does_not_fit_is_refused_by_name(labelled_store, labelled_rows, tmp_path):
    few = labelled_rows(classes=2, splits=("train", "val")).build(tmp_path / "few")
    wide = labelled_rows(widths=(2, 5, 4, 1)).build(tmp_path / "wide")
    with pytest.raises(ValueError, match=r"val rows have the labels \[2\], which no training row"):
        open_data(CONFIG, TrainData(train=few, val=labelled_store))
    with pytest.raises(ValueError, match=r"holds networks 2-5-4-1_.*and .* 2-4-4-1_.*one spec"):
        open_data(CONFIG, TrainData(train=labelled_store, val=wide))
    with pytest.raises(ValueError, match=r"views must be at most 4 for .*; got 5"):
        open_data(replace(CONFIG, views=5), TrainData(train=labelled_store, val=labelled_store))
    opened = open_data(CONFIG, TrainData(train=labelled_store, val=labelled_store))
    three = DistributedContext(device=torch.device("cpu"), rank=0, world_size=3)
    with pytest.raises(
        ValueError, match="batch_size must be a multiple of the 3 processes; got 16"
    ):
        train_loader(CONFIG, opened, three)


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": "cnn"},
        {"augment": "blur"},
        {"augment": "translate,,"},
        {"fraction": 0.0},
        {"fraction": 1.5},
        {"lr": float("nan")},
        {"weight_decay": -1.0},
        {"views": 0},
        {"mixup_beta": 2.0},
        {"objective": "contrastive"},
        {"objective": "contrastive", "pairs": "views", "views": 1},
        {"objective": "contrastive", "augment": "negation", "mixup": "direct"},
    ],
    ids=str,
)
def test_a_config_refuses_values_without_meaning(wrong):
    with pytest.raises(ValueError, match="|".join([*wrong, "pairs"])):
        TrainConfig(**wrong)


def test_a_split_that_is_not_there_yet_is_told_from_one_that_never_will_be(tmp_path):
    """A build that was stopped has no test rows until it goes on."""
    sample = MadeUp(rows=1000)
    half = open_store(sample.build(tmp_path / "half", num_blocks=2))
    whole = open_store(sample.build(tmp_path / "whole"))
    owed = sample.rows - half.num_committed_rows(sample.spec_id)
    assert 0 < owed < sample.rows
    assert _describe_missing((half,), sample.spec_id) == (
        f"; {half.path} is unfinished: {owed:,} rows to go"
    )
    assert _describe_missing((whole,), sample.spec_id) == ""
