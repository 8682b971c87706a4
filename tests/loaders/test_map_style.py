"""A map-style data set serves the same rows as a stream, by number."""

import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import inrgen
from inrgen.core.params import Params
from inrgen.core.siren import evaluate
from inrgen.transforms import GaussianNoise
from tests.made_up import MadeUp


@pytest.fixture(scope="module")
def made() -> MadeUp:
    return MadeUp(rows=504, widths=(2, 4, 1))


@pytest.fixture(scope="module")
def store(made, tmp_path_factory) -> inrgen.Store:
    return inrgen.open_store(made.build(tmp_path_factory.mktemp("map") / "store"))


@pytest.mark.parametrize("options", [{}, {"transforms": GaussianNoise()}, {"views": [1, 3]}])
def test_a_data_set_holds_what_a_stream_serves(store, options):
    rows = inrgen.WeightDataset(store, split="train", seed=3, **options)
    streamed = {}
    for batch in inrgen.StreamLoader(store, split="train", seed=3, batch_size=7, **options):
        pairs = zip(batch.params.flat(), batch.labels.tolist(), strict=True)
        streamed |= dict(zip(batch.rows.tolist(), pairs, strict=True))
    every = rows.batch(range(len(rows)))
    assert sorted(every.rows.tolist()) == sorted(streamed)
    for index, row in enumerate(every.rows.tolist()):
        assert torch.equal(every.params.flat()[index], streamed[row][0])
        assert int(every.labels[index]) == streamed[row][1]
    loaded = [part for part, _ in DataLoader(rows, batch_size=50)]
    assert torch.equal(torch.cat(loaded), every.params.flat())
    assert torch.equal(pickle.loads(pickle.dumps(rows))[-1][0], every.params.flat()[-1])


def test_epochs_draw_anew_and_wrong_uses_are_refused(store):
    rows = inrgen.WeightDataset(store, transforms=GaussianNoise())
    before = rows[5][0]
    assert torch.equal(rows[5][0], before)
    rows.set_epoch(1)
    assert not torch.equal(rows[5][0], before)
    with pytest.raises(IndexError, match="there are"):
        rows[len(rows)]
    for index in ([1, 2], slice(3), 1.7, "a"):
        with pytest.raises(TypeError, match="whole number"):
            rows[index]
    for wrong, message in [
        ({"batch_size": 3}, "batch_size is for StreamLoader"),
        ({"views": "pairs"}, "views must be 'all' or numbers"),
        ({"on_bad_shard": "skip"}, "on_bad_shard 'raise'"),
    ]:
        with pytest.raises(ValueError, match=message):
            inrgen.WeightDataset(store, **wrong)


def test_a_store_gives_its_rows_as_weights_values_and_tables(made, store):
    flat = torch.from_numpy(made.flat)
    assert torch.equal(store[3].flat(), flat[[3]])
    assert torch.equal(store[-5].flat(), flat[[-5]])
    assert torch.equal(store[10:30:7].flat(), flat[10:30:7])
    assert torch.equal(store[[5, 5, 2]].flat(), flat[[5, 5, 2]])
    with pytest.raises(IndexError, match="there are 504 rows; got row 504"):
        store[504]
    weights, labels = store.to_torch("val")
    assert torch.equal(store.to_torch("all")[0], store.to_torch()[0])
    for wrong in ("trian", "Train"):
        with pytest.raises(ValueError, match=f"split must be one of .*got '{wrong}'"):
            store.to_torch(wrong)
    table = store.to_pandas()
    wanted = table[(table.split == "val") & (table.status == "ok")].sort_values("row")
    assert torch.equal(weights, flat[wanted.row.tolist()])
    assert labels.tolist() == wanted.label.tolist()
    assert len(table) == 504
    coords = torch.rand(5, 2)
    expected = evaluate(made.spec, Params.from_flat(made.spec, flat[1:3]), coords)
    assert torch.equal(store.evaluate([1, 2], coords), expected)
    for same in (coords.numpy(), coords.double(), coords.double().numpy()):
        assert torch.equal(store.evaluate([1, 2], same), expected)
    own = store.evaluate([1, 2], np.stack([coords, coords]))
    assert torch.allclose(own, expected, atol=1e-6)
    for wrong in (np.zeros((5, 3)), np.zeros(2), np.zeros((3, 5, 2))):
        with pytest.raises(ValueError, match=r"coords needs \(n, 2\), or \(2, n, 2\).*got"):
            store.evaluate([1, 2], wrong)
    images = store.images([1, 2])
    assert images.shape == (2, 4, 5, 1)
    assert store.images(np.array([1]), 6).shape == (1, 6, 6, 1)
    assert store.images([1], (3, 9)).shape == (1, 3, 9, 1)
