"""Reading returns what was committed, in any order."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inrgen.core.params import Params
from inrgen.store.errors import DamagedStore
from inrgen.store.layout import fragment_key
from inrgen.store.reader import open_store
from inrgen.store.records import table_to_records


@pytest.fixture(scope="session")
def shared_store(sample, tmp_path_factory):
    return sample.build(tmp_path_factory.mktemp("shared") / "store")


@settings(deadline=None)
@given(rows=st.lists(st.integers(0, 4256), max_size=40))
def test_any_rows_in_any_order(sample, shared_store, rows):
    read = open_store(shared_store).read(rows).flat().numpy()
    np.testing.assert_array_equal(read, sample.flat[np.array(rows, dtype=int)])


@pytest.mark.parametrize("rows", [range(4257), np.arange(7, 900), torch.arange(4256, -1, -1)])
def test_all_forms_of_rows(sample, shared_store, rows):
    read = open_store(shared_store).read(rows)
    expected = Params.from_flat(sample.spec, torch.from_numpy(sample.flat[np.asarray(rows)]))
    torch.testing.assert_close(read.flat(), expected.flat(), rtol=0, atol=0, equal_nan=True)


def test_records_come_back_as_they_went_in(sample, shared_store):
    table = open_store(shared_store).records.to_table()
    records = table_to_records(table)
    assert repr(records) == repr(sample.records)


@pytest.mark.usefixtures("quickly")
def test_flipped_bits_never_give_wrong_records(small_sample, tmp_path):
    path = small_sample.build(tmp_path / "store")
    fragment = path / fragment_key(small_sample.spec_id, 0)
    columns = ["item_id", "view", "row", "split", "label", "status", "psnr_db"]
    whole, data = open_store(path).records.to_table(columns=columns), fragment.read_bytes()
    refused = 0
    for at in range(0, len(data), 53):
        fragment.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
        try:
            read = open_store(path).read_records(columns)
        except DamagedStore:
            refused += 1
            continue
        # compared as text, since NaN is not equal to itself
        assert repr(read.to_pylist()) == repr(whole.to_pylist()), f"byte {at}"
    assert refused > 0


def test_facts(sample, shared_store):
    store = open_store(shared_store)
    assert store.spec == sample.spec
    assert store.specs == {sample.spec_id: sample.spec}
    assert store.layouts == {sample.spec_id: sample.layout}
    assert store.identity == sample.identity
    assert store.about == {"version": "1"}
    assert store.committed() == list(range(sample.layout.num_blocks))


def test_its_length_counts_rows_and_its_repr_is_one_line(sample, shared_store):
    store = open_store(shared_store)
    assert len(store) == sample.rows
    assert repr(store) == f"Store({str(shared_store)!r}, {sample.spec_id}: 4,257 rows)"


def test_uncommitted_rows_are_refused(sample, tmp_path):
    store = open_store(sample.build(tmp_path / "store", num_blocks=2))
    assert store.committed() == [0, 1]
    assert f"{sample.spec_id}: 516 of {sample.rows:,} rows" in repr(store)
    assert store.records.count_rows() == 516
    store.read(range(516))
    with pytest.raises(ValueError, match=r"rows 516..773 .* not there yet: block 2"):
        store.read([3, 600])


def test_rows_out_of_range_are_refused(shared_store):
    with pytest.raises(ValueError, match=r"rows must be in 0..4256; got -1..4257"):
        open_store(shared_store).read([-1, 4257])


@pytest.mark.usefixtures("quickly")
@pytest.mark.parametrize(
    ("rows", "got"),
    [
        ([True, False], "bool, a mask; np.flatnonzero gives its rows"),
        ([0.5], "float64$"),
        (np.ones(3, dtype=bool), "bool, a mask; np.flatnonzero gives its rows"),
    ],
)
def test_rows_that_are_no_numbers_of_rows_are_refused(shared_store, rows, got):
    with pytest.raises(ValueError, match=f"rows must be whole numbers; got {got}"):
        open_store(shared_store).read(rows)


def test_a_store_opened_by_a_relative_path_stays_the_same_one_elsewhere(
    sample, small_sample, shared_store, tmp_path, monkeypatch
):
    small_sample.build(tmp_path / shared_store.name)
    monkeypatch.chdir(shared_store.parent)
    opened = open_store(shared_store.name)
    # another store has that name here
    monkeypatch.chdir(tmp_path)
    shards = opened.open_rows()
    found = np.zeros((1, sample.spec.num_params), dtype=np.float32)
    shards.copy(16, np.array([16 * 258]), found, np.array([0]))
    np.testing.assert_array_equal(found, sample.flat[[16 * 258]])
    for sent in (opened, pickle.loads(pickle.dumps(opened))):
        assert Path(sent.path) == shared_store
        np.testing.assert_array_equal(sent.read([4000]).flat().numpy(), sample.flat[[4000]])
