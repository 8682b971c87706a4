"""Running mean and deviation of parameters: rows come in parts, in any number."""

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from jaxtyping import Float, Float64
from torch import Tensor

Array = TypeVar("Array", np.ndarray, Tensor)


@dataclass(frozen=True, kw_only=True, slots=True)
class Moments(Generic[Array]):
    """Count, mean and summed squared deviations of rows of P parameters, in float64.

    Moments of parts add up to those of the whole, so neither memory nor cancellation grows with
    the number of rows. The fields are numpy arrays or tensors, as the rows were; tensors stay on
    their device.

    Attributes:
        count: number of rows.
        mean: (p,) mean of each parameter.
        squares: (p,) sum over rows of the squared deviation from the mean.
    """

    count: int
    mean: Float64[Array, " p"]
    squares: Float64[Array, " p"]

    @staticmethod
    def empty(num_params: int) -> "Moments[np.ndarray]":
        """The moments of no rows, to which others are added."""
        return Moments(count=0, mean=np.zeros(num_params), squares=np.zeros(num_params))

    @staticmethod
    def from_rows(rows: Float[Array, "n p"]) -> "Moments[Array]":
        """The moments of one part. Raises ValueError if it has no rows.

        Args:
            rows: (n, p) of any float type; sums are taken in float64.
        """
        if len(rows) == 0:
            raise ValueError("moments need at least 1 row; got 0")
        # float32 sums over millions of rows would lose the digits that deviations need.
        wide = rows.astype(np.float64) if isinstance(rows, np.ndarray) else rows.double()
        mean = wide.mean(0)
        return Moments(count=len(rows), mean=mean, squares=((wide - mean) ** 2).sum(0))

    def __add__(self, other: "Moments[Array]") -> "Moments[Array]":
        """The moments of both parts together, by the update of Chan, Golub and LeVeque (1979)."""
        if not self.count or not other.count:
            return self if self.count else other
        # A sum of squares less a squared mean would cancel; deviations from the mean do not.
        count = self.count + other.count
        delta = other.mean - self.mean
        return Moments(
            count=count,
            mean=self.mean + delta * (other.count / count),
            # Integers are multiplied first, so the factor is rounded only once.
            squares=self.squares + other.squares + delta**2 * (self.count * other.count / count),
        )

    def std(self, ddof: int = 1) -> Float64[Array, " p"]:
        """The standard deviation, with count - ddof as the divisor (1 makes it unbiased).

        Raises ValueError for too few rows.
        """
        if self.count <= ddof:
            raise ValueError(f"a deviation needs at least {ddof + 1} rows; got {self.count}")
        variance = self.squares / (self.count - ddof)
        return np.sqrt(variance) if isinstance(variance, np.ndarray) else variance.sqrt()
