"""Moments of parts add up to those of the whole."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inrgen.core.moments import Moments


def parts_of(values: np.ndarray, cuts: list[int]) -> list[np.ndarray]:
    return [part for part in np.split(values, sorted(cuts)) if len(part)]


@settings(deadline=None, max_examples=30)
@given(cuts=st.lists(st.integers(0, 60), max_size=5), shift=st.sampled_from([0.0, 1e6]))
def test_parts_add_up(cuts, shift):
    values = np.random.default_rng(0).normal(size=(60, 3)) + shift
    total = Moments.empty(3)
    for part in parts_of(values, cuts):
        total = total + Moments.from_rows(part)
    assert total.count == 60
    np.testing.assert_allclose(total.mean, values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(total.std(), values.std(axis=0, ddof=1), rtol=1e-7)
    np.testing.assert_allclose(total.std(ddof=0), values.std(axis=0), rtol=1e-7)


def test_tensors_stay_tensors():
    values = torch.from_numpy(np.random.default_rng(1).normal(size=(40, 3))).float()
    total = Moments.from_rows(values[:7]) + Moments.from_rows(values[7:])
    assert total.mean.dtype == torch.float64
    torch.testing.assert_close(total.mean, values.double().mean(dim=0))
    torch.testing.assert_close(total.std(), values.double().std(dim=0))


def test_too_few_rows_have_no_deviation():
    with pytest.raises(ValueError, match="at least 2 rows"):
        Moments.from_rows(np.ones((1, 3))).std()
    with pytest.raises(ValueError, match="at least 1 rows"):
        Moments.empty(3).std(ddof=0)
    with pytest.raises(ValueError, match="at least 1 row; got 0"):
        Moments.from_rows(np.ones((0, 3)))
