"""How sure a difference between two rows is: a paired bootstrap over test items and seeds."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from inrgen.core import rng

_DRAWS_AT_ONCE = 250
Hits = Mapping[int, Bool[Tensor, " items"]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A difference of two accuracies in points, and the ends of its 95 % interval."""

    mean: float
    low: float
    high: float
    num_seeds: int

    @property
    def sign(self) -> int:
        """1 or -1 where the interval leaves zero out, else 0: then nothing is claimed."""
        return (self.low > 0) - (self.high < 0)


def paired_interval(first: Hits, second: Hits, draws: int = 2000) -> Interval:
    """By how many points the first row is better than the second.

    Each draw takes test items with replacement, the same for both rows, which are right and wrong
    about much the same items, and seeds with replacement where both have run several; the interval
    lies between percentiles of the draws (Efron and Tibshirani 1993, chapter 13). With one seed it
    says nothing of how much another start of the network would change.

    Args:
        first, second: for each seed which test items were right, in the same order of items.
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
    """A row's own accuracy in %, with the same draws."""
    none = {seed: torch.zeros_like(rows) for seed, rows in hits.items()}
    return paired_interval(hits, none, draws)


def _resampled(gaps: Float[Tensor, "s n"], draws: int) -> Float[Tensor, " r"]:
    """Means of gaps over seeds and items drawn with replacement."""
    num_seeds, num_items = gaps.shape
    taken, runs = _counts("items", draws, num_items), _counts("seeds", draws, num_seeds)
    return ((taken @ gaps.T) * runs).sum(dim=1) / (num_items * num_seeds)


@lru_cache(maxsize=8)
def _counts(what: str, draws: int, num: int) -> Float[Tensor, "r n"]:
    """How often each of num things is taken in num draws with replacement, for so many turns.

    Kept, for a report asks for the same ones hundreds of times; worked out some turns at a time.
    """
    keys = rng.keys(0, f"bootstrap {what}", rng.hash_items(map(str, range(draws))))
    parts = []
    for part in keys.split(_DRAWS_AT_ONCE):
        drawn = rng.integers(part, (num,), 0, num)
        ones = torch.ones(drawn.shape)
        parts.append(torch.zeros(drawn.shape).scatter_add_(1, drawn, ones))
    return torch.cat(parts)
