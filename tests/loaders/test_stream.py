"""A pass over a store serves every selected row once, with its labels and origins."""

from collections import Counter

import numpy as np
import pyarrow.dataset as ds
import pytest
import torch

from inrgen.core.rng import hash_items
from inrgen.loaders.batches import Gatherer
from inrgen.loaders.collate import check_objects
from inrgen.loaders.config import LoaderConfig
from inrgen.loaders.stream import StreamLoader
from inrgen.store.reader import open_store


def rows_of(batches):
    return [row for batch in batches for row in batch.rows.tolist()]


@pytest.mark.parametrize("batch_size", [7, 256, 5000])
def test_a_pass_serves_every_row_with_weights_once(sample, path, batch_size):
    loader = StreamLoader(path, split="all", batch_size=batch_size)
    batches = list(loader)
    assert sorted(rows_of(batches)) == sample.served
    assert len(loader) == len(batches)
    assert all(len(batch) == batch_size for batch in batches[:-1])


def test_a_batch_says_what_its_rows_are(sample, path):
    for batch in StreamLoader(path, split="all", batch_size=100):
        records = [sample.records[row] for row in batch.rows]
        np.testing.assert_array_equal(batch.params.flat(), sample.flat[batch.rows])
        assert batch.labels.tolist() == [record.label for record in records]
        assert batch.views.tolist() == [record.view for record in records]
        assert batch.items.equal(hash_items(record.item_id for record in records))
        assert batch.stores.eq(0).all()
        assert batch.soft_labels is None
        assert batch.second is None


@pytest.mark.parametrize("world_size", [1, 2, 3, 4, 8])
def test_ranks_share_a_pass(sample, path, world_size):
    ranks = [
        rows_of(StreamLoader(path, split="all", batch_size=30, rank=rank, world_size=world_size))
        for rank in range(world_size)
    ]
    assert sorted(row for rank in ranks for row in rank) == sample.served
    assert max(map(len, ranks)) - min(map(len, ranks)) <= 1


def test_passes_differ_and_repeat_with_the_seed(path):
    loader = StreamLoader(path, batch_size=100)
    first, second = rows_of(loader), rows_of(loader)
    assert first != second
    assert sorted(first) == sorted(second)
    again = StreamLoader(path, batch_size=33)
    again.set_epoch(1)
    assert rows_of(again) == second
    assert rows_of(StreamLoader(path, batch_size=100, seed=1)) != first


def test_a_pass_that_is_broken_off_is_over(path):
    loader = StreamLoader(path, batch_size=100)
    next(iter(loader))
    assert next(iter(loader)).epoch == 1


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_splits(sample, path, split):
    expected = [row for row in sample.served if sample.records[row].split == split]
    assert sorted(rows_of(StreamLoader(path, split=split))) == expected


def test_chosen_views(sample, path):
    expected = [row for row in sample.served if row % sample.views in (0, 3)]
    assert sorted(rows_of(StreamLoader(path, split="all", views=[3, 0]))) == expected


def test_one_random_view_of_each_item_every_epoch(sample, path):
    loader = StreamLoader(path, split="all", views="random", batch_size=50)
    items = sample.rows // sample.views
    seen = Counter()
    for _ in range(12):
        rows = rows_of(loader)
        assert sorted(row // sample.views for row in rows) == list(range(items))
        seen.update(rows)
    assert set(seen) <= set(sample.served)
    # A view is missing after 12 draws among four with a chance of 3 %.
    assert 0.9 * len(sample.served) < len(seen)


def test_pairs_are_two_different_views_of_each_item(sample, path):
    loader = StreamLoader(path, split="all", views="pairs", batch_size=50)
    batches = list(loader)
    # Items 2 and 125 lack views, but have two left.
    assert sorted(row // sample.views for row in rows_of(batches)) == list(
        range(sample.rows // sample.views)
    )
    seen = Counter()
    for batch in batches:
        assert batch.items.equal(batch.second.items)
        assert not batch.views.eq(batch.second.views).any()
        np.testing.assert_array_equal(batch.second.params.flat(), sample.flat[batch.second.rows])
        seen.update(zip(batch.views.tolist(), batch.second.views.tolist(), strict=True))
    assert len(seen) == 12
    only = StreamLoader(path, split="all", views="pairs", filter=ds.field("row") < 10)
    assert sorted(row // 4 for row in rows_of(only)) == [0, 1]


def test_a_filter_chooses_rows_and_other_shards_are_not_touched(sample, path, monkeypatch):
    read = set()
    copy = Gatherer._copy
    monkeypatch.setattr(
        Gatherer,
        "_copy",
        lambda self, shard, rows, flat, places: (
            read.update((rows // 256).tolist()) or copy(self, shard, rows, flat, places)
        ),
    )
    chosen = (ds.field("psnr_db") >= 300) & (ds.field("psnr_db") < 520)
    loader = StreamLoader(path, split="all", filter=chosen)
    assert sorted(rows_of(loader)) == [row for row in sample.served if 300 <= row < 520]
    assert read == {1, 2}


def test_several_stores(sample, path, other):
    loader = StreamLoader([path, open_store(other)], split="all", batch_size=64)
    seen = Counter()
    for batch in loader:
        seen.update(zip(batch.stores.tolist(), batch.rows.tolist(), strict=True))
    expected = [(0, row) for row in sample.served]
    expected += [(1, row) for row in range(300) if row not in sample.unserved]
    assert sorted(seen) == expected
    assert set(seen.values()) == {1}


def test_a_loader_keeps_a_number_a_row_and_a_hash_and_label_an_item(sample, path):
    (keys,) = StreamLoader(path, split="all")._index.selection.keys
    held = keys.rows.nbytes + keys.items.nbytes + keys.labels.nbytes
    # Two bytes a row here, four in larger stores; items have four views.
    assert held <= 2 * sample.rows + 12 * sample.rows / 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"views": [4]}, r"views must be numbers in 0..3; got \[4\]"),
        ({"views": []}, "views must be numbers"),
        ({"filter": ds.field("psnr_db") > 1e9}, "no row .* is left to serve"),
        ({"batch_size": 0}, "batch_size and pool_shards must be at least 1; got 0"),
        ({"num_classes": 0}, "num_classes must be at least 1, or None; got 0"),
        ({"rank": 2, "world_size": 2}, r"rank must be in 0..world_size - 1; got 2 of 2"),
        ({"weights": [1.0, 2.0]}, "weights needs a positive number for each of 1 stores"),
        ({"spec_id": "2-2-2_0"}, "spec_id must be one of"),
    ],
)
def test_wrong_arguments_are_named(path, arguments, message):
    with pytest.raises(ValueError, match=message):
        StreamLoader(path, **arguments)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("batchsize", "did you mean batch_size"),
        ("where", "did you mean filter"),
        ("transform", "did you mean transforms"),
        ("zzz", "it has split, views"),
    ],
)
def test_an_unknown_option_is_refused_with_the_nearest_name(path, name, message):
    with pytest.raises(TypeError, match=f"StreamLoader has no option '{name}'.*{message}"):
        StreamLoader(path, **{name: 1})


def test_keywords_replace_fields_of_the_config(path):
    config = LoaderConfig(split="all", batch_size=100)
    loader = StreamLoader(path, config, batch_size=7)
    assert loader.config == LoaderConfig(split="all", batch_size=7)
    assert rows_of(loader) == rows_of(StreamLoader(path, config))


def test_another_dtype_or_device_is_the_trainers_choice(path):
    batch = next(iter(StreamLoader(path, device=torch.device("cpu"))))
    assert batch.params.dtype == torch.float32
    assert batch.params.device == batch.labels.device == torch.device("cpu")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"split": "trian"}, r"split must be .*'trian'; did you mean train\?"),
        ({"batch_size": "big"}, "batch_size must be a whole number; got 'big'"),
        ({"views": [0, "one"]}, "views must be .*each a whole number; got"),
        ({"transforms": ["negation"]}, r"transforms must be transforms such as .*'negation'"),
        ({"filter": "psnr_db > 30"}, r"filter must be an expression .*'psnr_db > 30'"),
        ({"device": "cuda:99"}, "device must be one that torch can use here; got 'cuda:99'"),
        ({"device": "gpu"}, "device must be one that torch can use here; got 'gpu'"),
    ],
)
def test_a_loader_names_a_wrong_argument(values, message, path):
    with pytest.raises(ValueError, match=message):
        StreamLoader(path, **values)


def test_a_loader_says_how_mixup_is_written():
    others = {"filter": None, "device": "cpu"}
    with pytest.raises(ValueError, match=r"mixup must be a MixUp, such as .*; got 'direct'"):
        check_objects(mixup="direct", **others)
