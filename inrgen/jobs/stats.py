"""Means and deviations over a split, block by block, in float64."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from inrgen.store.parent import RowRun


@dataclass(frozen=True, kw_only=True, slots=True)
class StatsTask:
    """One block of a store to add up. split: None takes all splits."""

    store: str
    spec_id: str
    block: int
    rows: range
    split: str | None
    rows_at_once: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Moments:
    """Count, mean and sum of squared deviations of every parameter."""

    count: int
    mean: Float64[np.ndarray, " p"]
    squares: Float64[np.ndarray, " p"]

    def __add__(self, other: "Moments") -> "Moments":
        """The moments of both together (Chan, Golub and LeVeque 1979), which lose no digits."""
        count = self.count + other.count
        if not self.count or not other.count:
            return self if self.count else other
        delta = other.mean - self.mean
        return Moments(
            count=count,
            mean=self.mean + delta * (other.count / count),
            squares=self.squares + other.squares + delta**2 * (self.count * other.count / count),
        )

    def std(self) -> Float64[np.ndarray, " p"]:
        """The unbiased standard deviation. Raises ValueError for fewer than two rows."""
        if self.count < 2:
            raise ValueError(
                f"a deviation needs at least 2 rows that hold weights; got {self.count}"
            )
        return np.sqrt(self.squares / (self.count - 1))


def no_moments(num_params: int) -> Moments:
    """Those of nothing."""
    return Moments(count=0, mean=np.zeros(num_params), squares=np.zeros(num_params))


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockMoments:
    """The moments of the rows of one block."""

    block: int
    moments: Moments


def measure_moments(task: StatsTask) -> BlockMoments:
    """Add up the rows of a block that hold weights and are of the split."""
    run = RowRun(task.store, task.spec_id, task.rows)
    wanted = run.of_split(task.split)
    total = None
    for start in range(0, len(task.rows), task.rows_at_once):
        part = task.rows[start : start + task.rows_at_once]
        kept = wanted[start : start + len(part)]
        rows = run.read(part)
        values = rows[kept].astype(np.float64)
        moments = no_moments(rows.shape[1])
        if len(values):
            mean = values.mean(axis=0)
            squares = ((values - mean) ** 2).sum(axis=0)
            moments = Moments(count=len(values), mean=mean, squares=squares)
        total = moments if total is None else total + moments
    assert total is not None, "blocks hold rows"
    return BlockMoments(block=task.block, moments=total)
