"""The quality of a store is that of its records, in memory that does not grow with them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inrgen.store.quality import ValueCounts, measure_quality
from inrgen.store.queries import summarize
from inrgen.store.reader import open_store

FLOATS = st.floats(-1e3, 1e3)


@given(parts=st.lists(st.lists(FLOATS, max_size=9), max_size=5))
def test_counted_values_have_the_summary_of_all_values(parts):
    counts = ValueCounts()
    for part in parts:
        counts.add(np.array(part, dtype=float))
    expected = summarize(np.concatenate([np.zeros(0), *map(np.array, parts)]))
    assert counts.summary() == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_many_different_values_are_rounded_and_take_little_memory(monkeypatch):
    monkeypatch.setattr("inrgen.store.quality._EXACT", 1000)
    counts, values = ValueCounts(), np.random.default_rng(0).normal(30, 3, 40_000)
    values[::100] = np.inf
    for part in np.split(values, 100):
        counts.add(part)
    assert len(counts._values) < 30_000
    found, expected = counts.summary(), summarize(values)
    assert found["mean"] == np.inf
    assert [found[f"p{q}"] for q in (5, 25, 50, 75, 95)] == pytest.approx(
        [expected[f"p{q}"] for q in (5, 25, 50, 75, 95)], rel=1e-5
    )


def test_a_store_is_summed_up_in_words(sample, store):
    quality = measure_quality(open_store(store))
    assert (quality.rows, quality.items, quality.by_split) == (4257, 33, {"train": 4257})
    assert quality.by_status == {"bad_input": 2, "ok": 4255}
    assert (quality.mean_steps, quality.fit_core_s) == (3.0, 4257 * 0.5)
    text = "\n".join(quality.lines())
    assert "4,257 INRs of 33 items (4,257 train): 2 bad_input, 4,255 ok" in text
    assert f"items without weights: {quality.num_bad_items}" in text
    for bad in quality.bad_items:
        assert f"  {bad.item_id} (bad_input): {bad.reason}" in text
    assert "the store's records list all" in text
    assert "IoU" not in text
    assert replace(quality, rows=0, items=0).lines() == ["no INRs yet"]
    assert replace(quality, rows=1, items=1).lines()[0].startswith("1 INR of 1 item (")
    solid = replace(quality, iou=summarize(np.array([0.9])), chamfer=summarize(np.array([0.0123])))
    assert "IoU: median 0.900" in "\n".join(solid.lines())
    assert "median 1.23%" in "\n".join(solid.lines())


def test_items_without_weights_are_named_the_first_ten_of_them(sample, store, monkeypatch):
    monkeypatch.setattr("inrgen.store.quality._MOST_BAD", 1)
    quality = measure_quality(open_store(store))
    bad = {r.item_id: r.reason for r in sample.records if r.status == "bad_input"}
    assert quality.num_bad_items == len(bad)
    (first,) = quality.bad_items
    assert (first.item_id, first.reason) == next(iter(bad.items()))
    assert (f"  and {len(bad) - 1:,} more" in quality.lines()) == (len(bad) > 1)
