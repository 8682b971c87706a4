"""Moments of parts add up to those of the whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inrgen.jobs.stats import Moments, no_moments


def moments(values: np.ndarray) -> Moments:
    if not len(values):
        return no_moments(values.shape[1])
    mean = values.mean(axis=0)
    return Moments(count=len(values), mean=mean, squares=((values - mean) ** 2).sum(axis=0))


@settings(deadline=None, max_examples=30)
@given(cuts=st.lists(st.integers(0, 60), max_size=5), shift=st.sampled_from([0.0, 1e6]))
def test_parts_add_up(cuts, shift):
    values = np.random.default_rng(0).normal(size=(60, 3)) + shift
    parts = np.split(values, sorted(cuts))
    total = no_moments(3)
    for part in parts:
        total = total + moments(part)
    assert total.count == 60
    np.testing.assert_allclose(total.mean, values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(total.std(), values.std(axis=0, ddof=1), rtol=1e-7)


def test_one_row_has_no_deviation():
    with pytest.raises(ValueError, match="at least 2 rows"):
        moments(np.ones((1, 3))).std()
