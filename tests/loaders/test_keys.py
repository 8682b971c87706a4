"""Key columns hold what the records say of each row, for any rows and labels."""

from dataclasses import replace

import numpy as np
import pyarrow.dataset as ds
import pytest

from inrgen.core.rng import hash_items
from inrgen.loaders.keys import KeyRequest, read_key_columns
from inrgen.store.errors import DamagedStore
from inrgen.store.reader import open_store
from tests.loaders.conftest import Sample


def changed(tmp_path, **columns):
    """A small store whose records are changed by functions of the old record."""
    sample = Sample(rows=48, seed=3)
    sample.records = [
        replace(record, **{name: change(record) for name, change in columns.items()})
        for record in sample.records
    ]
    return sample, open_store(sample.build(tmp_path / "store"))


@pytest.mark.parametrize(
    "label",
    [lambda r: r.row // 4 % 3, lambda r: r.row % 5, lambda r: 2**40 + r.row // 4],
    ids=["of items", "of rows", "large"],
)
def test_each_row_keeps_its_origins(tmp_path, label):
    sample, store = changed(tmp_path, label=label)
    keys = read_key_columns(
        KeyRequest(
            store=store,
            spec_id=sample.spec.spec_id,
            split="train",
            views=(0, 1, 3),
            filter=ds.field("row") > 4,
        )
    )
    found = keys.origins(np.arange(len(keys.rows)))
    records = [sample.records[row] for row in found.rows]
    assert found.rows.tolist() == [
        r.row
        for r in sample.records
        if r.split == "train" and r.view != 2 and r.row > 4 and r.row not in sample.unserved
    ]
    assert found.labels.tolist() == [r.label for r in records]
    assert found.views.tolist() == [r.view for r in records]
    assert found.items.tolist() == hash_items([r.item_id for r in records]).tolist()


@pytest.mark.parametrize(
    "column",
    [{"view": lambda r: r.view ^ 1}, {"item_id": lambda r: f"{r.row}"}],
    ids=["view", "item"],
)
def test_records_of_another_item_or_view_are_refused(tmp_path, column):
    sample, store = changed(tmp_path, **column)
    with pytest.raises(DamagedStore, match=r"rows 0\.\.\d+ have records of another item or view"):
        read_key_columns(KeyRequest(store=store, spec_id=sample.spec.spec_id))
