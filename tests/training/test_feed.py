"""Training batches depend on seed and epoch alone, and mix only permitted rows."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from inrgen.training.config import TrainConfig
from inrgen.training.data import OpenData, TrainData, open_data
from inrgen.training.distributed import DistributedContext
from inrgen.training.feed import TrainBatch, TrainFeed

CONFIG = TrainConfig(model="mlp", views=1, batch_size=12, mixup="direct", seed=3)


@pytest.fixture
def data(labelled_store) -> TrainData:
    return TrainData(train=labelled_store, val=labelled_store)


def batches(config: TrainConfig, data: TrainData, epoch: int = 0, rank: int = 0, ranks: int = 1):
    process = DistributedContext(device=torch.device("cpu"), rank=rank, world_size=ranks)
    return list(TrainFeed(config, open_data(config, data), process).epoch(epoch))


def flat(parts: list[TrainBatch]) -> torch.Tensor:
    return torch.cat([part.params.flat() for part in parts])


def partner_views(config: TrainConfig, data: TrainData) -> set[int]:
    """The views among which partners are drawn, from the numbers of their rows."""
    opened: OpenData = open_data(config, data)
    feed = TrainFeed(config, opened, DistributedContext(device=torch.device("cpu")))
    assert feed.partners is not None
    rows = {row for batch in feed.partners for row in batch.rows.tolist()}
    assert {row // 4 % 5 for row in rows} <= {0, 1, 2}, "partners are training rows"
    return {row % 4 for row in rows}


def test_clean_partners_are_rows_in_use_and_leaky_ones_any_view(data):
    assert partner_views(CONFIG, data) == {0}
    assert partner_views(replace(CONFIG, views=2), data) == {0, 1}
    assert partner_views(replace(CONFIG, partners="leaky"), data) == {0, 1, 2, 3}
    assert partner_views(replace(CONFIG, partners="leaky", view_mode="random"), data) == set(
        range(4)
    )


def test_weights_and_labels_are_mixed_in_one_proportion(labelled_rows, tmp_path):
    # Without noise the last bias is the class, so it mixes as the labels do.
    store = labelled_rows(classes=2).build(tmp_path / "store")
    data = TrainData(train=store, val=store)
    config = replace(CONFIG, batch_size=36)
    (mixed,) = batches(config, data)
    assert mixed.labels is not None
    assert_close(mixed.labels.sum(dim=1), torch.ones(36))
    assert ((mixed.labels > 0.05) & (mixed.labels < 0.95)).any()
    bias = mixed.params.biases[-1][:, 0]
    assert (bias - mixed.labels[:, 1]).abs().max() < 0.5
    assert torch.corrcoef(torch.stack([bias, mixed.labels[:, 1]]))[0, 1] > 0.9


@pytest.mark.parametrize("mixup", ["none", "permuted", "signed"])
def test_batches_are_a_function_of_seed_and_epoch(data, mixup):
    config = replace(CONFIG, mixup=mixup, augment="negation,translate")
    first, again, later = (flat(batches(config, data, epoch)) for epoch in (0, 0, 1))
    assert torch.equal(first, again)
    assert first.shape == later.shape == (36, 37)
    assert not torch.isin(first, later).all(dim=1).any(), "no row is changed the same way twice"


def test_processes_share_the_batches_of_one(data):
    config = replace(CONFIG, mixup="signed", augment="negation")
    whole = batches(config, data)
    parts = [batches(config, data, rank=rank, ranks=2) for rank in (0, 1)]
    for number, batch in enumerate(whole):
        shares = [parts[row % 2][number].params.flat()[row // 2] for row in range(12)]
        assert_close(torch.stack(shares), batch.params.flat())


def test_a_last_short_batch_is_left_out_unless_it_is_all(data):
    sizes = [len(e) for e in batches(replace(CONFIG, batch_size=16), data)]
    assert sizes == [16, 16]
    assert [len(e) for e in batches(replace(CONFIG, batch_size=100), data)] == [36]


def test_pairs_are_of_one_item_and_changed_differently(data):
    changed = replace(CONFIG, objective="contrastive", mixup="none", augment="negation")
    for config in (changed, replace(changed, pairs="views", views=4)):
        for batch in batches(config, data):
            assert batch.second is not None
            one, other = batch.params, batch.second
            labels = [p.biases[-1][:, 0].round() for p in (one, other)]
            assert torch.equal(*labels)
            assert not torch.equal(one.flat(), other.flat())


def test_an_augmentation_without_meaning_for_the_networks_is_refused(data):
    with pytest.raises(ValueError, match="relu"):
        batches(replace(CONFIG, augment="relu-scale"), data)
