"""The bootstrap: claims, and differences that it leaves unresolved."""

import pytest
import torch

from pipelines.augmentation_study.bootstrap import accuracy_interval, paired_interval


def hits(share, num=500, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(num, generator=generator) < share


def test_equal_rows_are_a_tie_without_width():
    interval = paired_interval({0: hits(0.6)}, {0: hits(0.6)})
    assert (interval.mean, interval.low, interval.high, interval.sign) == (0.0, 0.0, 0.0, 0)


def test_a_clear_difference_is_claimed_with_its_sign_and_turns_round():
    better, worse = {0: hits(0.8)}, {0: hits(0.5)}
    interval, turned = paired_interval(better, worse), paired_interval(worse, better)
    assert (interval.sign, turned.sign) == (1, -1)
    assert interval.low < interval.mean < interval.high
    assert (turned.low, turned.high) == pytest.approx((-interval.high, -interval.low))


def test_a_small_difference_of_unlike_rows_is_not_claimed():
    first, second = {0: hits(0.61, seed=1)}, {0: hits(0.60, seed=2)}
    assert paired_interval(first, second).sign == 0


def test_pairing_resolves_what_rows_apart_would_not():
    base = hits(0.6)
    better = base | hits(0.03, seed=5)
    paired = paired_interval({0: better}, {0: base})
    shuffled = base[torch.randperm(len(base), generator=torch.Generator().manual_seed(1))]
    apart = paired_interval({0: better}, {0: shuffled})
    assert paired.high - paired.low < 0.5 * (apart.high - apart.low)


def test_the_interval_is_as_wide_as_a_binomial_one():
    interval = accuracy_interval({0: hits(0.5, num=2000)})
    wanted = 2 * 1.96 * 100 * (0.25 / 2000) ** 0.5
    assert interval.high - interval.low == pytest.approx(wanted, rel=0.1)


def test_seeds_that_disagree_widen_the_interval():
    steady = paired_interval({0: hits(0.7), 1: hits(0.7)}, {0: hits(0.6), 1: hits(0.6)})
    moody = paired_interval({0: hits(0.9), 1: hits(0.5)}, {0: hits(0.6), 1: hits(0.6)})
    assert steady.num_seeds == moody.num_seeds == 2
    assert moody.high - moody.low > 2 * (steady.high - steady.low)


def test_rows_without_a_seed_in_common_are_refused():
    with pytest.raises(ValueError, match=r"\[0\] and \[1\]"):
        paired_interval({0: hits(0.5)}, {1: hits(0.5)})
