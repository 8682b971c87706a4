"""Counts and summaries follow the records, and cover only rows that hold weights."""

from dataclasses import replace

import numpy as np
import pytest

from inrgen.store.queries import count_by_split, count_rows, summarize, usable_values
from inrgen.store.records import records_to_table


@pytest.fixture
def table(sample):
    first = sample.records[:10]  # row 5 holds no weights
    marked = [replace(r, split="test" if r.row < 4 else "val") for r in first]
    return records_to_table([replace(marked[0], psnr_db=np.nan, iou=0.5), *marked[1:]])


def test_rows_are_counted_and_the_psnr_is_of_those_with_weights(table):
    counts = count_rows(table)
    assert (counts.rows, counts.items) == (10, 1)
    assert counts.by_status == {"bad_input": 1, "ok": 9}
    assert counts.psnr_db.tolist() == [20.0 + row / 100 for row in (1, 2, 3, 4, 6, 7, 8, 9)]
    assert usable_values(table, "iou").tolist() == [0.5]


def test_the_splits_share_the_rows_out(table):
    counts = count_by_split(table)
    assert {split: of.rows for split, of in counts.items()} == {"test": 4, "val": 6}
    assert counts["test"].by_status == {"ok": 4}
    assert len(counts["val"].psnr_db) == 5


def test_a_spread_is_named_by_its_quantiles():
    values = np.arange(101.0)
    figures = {"mean": 50.0, "p5": 5.0, "p25": 25.0, "p50": 50.0, "p75": 75.0, "p95": 95.0}
    assert summarize(values) == pytest.approx(figures)
    assert summarize(values[:0]) == {}
