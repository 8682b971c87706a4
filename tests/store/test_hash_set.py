"""Repetitions among hashes are found whatever their number and order."""

import numpy as np
import pytest

from inrgen.store.hash_set import HashSet


@pytest.mark.parametrize("batch", [1, 50, 2**16])
def test_later_rows_with_a_hash_that_came_before_are_found(monkeypatch, batch):
    monkeypatch.setattr("inrgen.store.hash_set._BATCH", batch)
    monkeypatch.setattr("inrgen.store.hash_set._SPOOL_BYTES", 64)
    rng, seen, wanted, found = np.random.default_rng(batch), set(), [], HashSet()
    hashes = rng.integers(-(2**63), 2**63 - 1, 1000)
    hashes[rng.integers(0, 1000, 300)] = hashes[rng.integers(0, 1000, 300)]
    for start in range(0, 1000, 30):
        part = hashes[start : start + 30]
        rows = 4 * np.arange(start, start + len(part))
        found.add(part, rows)
        for value, row in zip(part.tolist(), rows.tolist(), strict=True):
            if value in seen:
                wanted.append(row)
            seen.add(value)
    assert len(wanted) > 100
    assert found.repetitions().tolist() == wanted


def test_nothing_has_no_repetitions():
    assert HashSet().repetitions().tolist() == []
