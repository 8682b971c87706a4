"""Paired bootstrap over test items and seeds: intervals of differences between rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from inrgen.core import rng

# Bounds the memory of the drawn indices.
_DRAWS_AT_ONCE = 250
Hits = Mapping[int, Bool[Tensor, " items"]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """Difference of two accuracies in points, with its 95 % interval."""

    mean: float
    low: float
    high: float
    num_seeds: int

    @property
    def sign(self) -> int:
        """1 or -1 where the interval excludes zero, else 0, and then nothing is claimed."""
        return (self.low > 0) - (self.high < 0)


def paired_interval(first: Hits, second: Hits, draws: int = 2000) -> Interval:
    """Estimate by how many points the first row is better than the second.

    Each draw resamples test items, the same for both rows because both err on much the same items,
    and seeds where both rows have several. The interval lies between percentiles of the draws
    (Efron and Tibshirani 1993, chapter 13). With one seed it does not cover another start of the
    network.

    Args:
        first, second: for each seed a mask of the correctly classified test items, in one order.
    """
    seeds = sorted(set(first) & set(second))
    if not seeds:
        raise ValueError(f"rows need a seed in common; got {sorted(first)} and {sorted(second)}")
    gaps = torch.stack([first[s].float() - second[s].float() for s in seeds])
    means = _resampled(gaps, draws)
    low, high = torch.quantile(means, torch.tensor([0.025, 0.975])).tolist()
    return Interval(
        mean=100 * float(gaps.double().mean()), low=100 * low, high=100 * high, num_seeds=len(seeds)
    )


def accuracy_interval(hits: Hits, draws: int = 2000) -> Interval:
    """Estimate a row's accuracy in %, with the same draws."""
    # Against a row that is never right, the difference is the accuracy.
    none = {seed: torch.zeros_like(rows) for seed, rows in hits.items()}
    return paired_interval(hits, none, draws)


def _resampled(gaps: Float[Tensor, "s n"], draws: int) -> Float[Tensor, " r"]:
    """Means of gaps over resampled seeds and items."""
    num_seeds, num_items = gaps.shape
    taken, runs = _counts("items", draws, num_items), _counts("seeds", draws, num_seeds)
    return ((taken @ gaps.T) * runs).sum(dim=1) / (num_items * num_seeds)


@lru_cache(maxsize=8)
def _counts(what: str, draws: int, num: int) -> Float[Tensor, "r n"]:
    """Count how often each of num things is taken in num draws with replacement, draws times.

    Cached, because a report needs the same counts hundreds of times; computed in parts.
    """
    keys = rng.keys(0, f"bootstrap {what}", rng.hash_items(map(str, range(draws))))
    parts = []
    for part in keys.split(_DRAWS_AT_ONCE):
        drawn = rng.integers(part, (num,), 0, num)
        ones = torch.ones(drawn.shape)
        parts.append(torch.zeros(drawn.shape).scatter_add_(1, drawn, ones))
    return torch.cat(parts)
