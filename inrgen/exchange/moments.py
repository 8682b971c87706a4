"""Mean and deviation of every parameter, gathered part by part."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class Moments:
    """Of count rows: their mean, and the sum of squared distances to it, each of P numbers."""

    count: int
    mean: Float[np.ndarray, " p"]
    squares: Float[np.ndarray, " p"]

    @staticmethod
    def of_none(num_params: int) -> "Moments":
        """Those of no rows, to which others are added."""
        return Moments(count=0, mean=np.zeros(num_params), squares=np.zeros(num_params))

    @staticmethod
    def of(params: Params) -> "Moments":
        """Those of one row or more, in float64."""
        flat = params.flat().double().numpy()
        mean = flat.mean(axis=0)
        return Moments(count=len(flat), mean=mean, squares=((flat - mean) ** 2).sum(axis=0))

    def with_more(self, other: "Moments") -> "Moments":
        """Those of both together (Chan, Golub and LeVeque 1979)."""
        count = self.count + other.count
        if count == 0:
            return self
        apart = other.mean - self.mean
        share = other.count / count
        return Moments(
            count=count,
            mean=self.mean + share * apart,
            squares=self.squares + other.squares + share * self.count * apart**2,
        )

    def mean_and_std(self, spec: InrSpec) -> tuple[Params, Params]:
        """Mean and unbiased standard deviation, each as one INR in float32.

        Raises ValueError for fewer than two rows, which have no deviation.
        """
        if self.count < 2:
            raise ValueError(f"a deviation needs two rows or more; got {self.count}")
        std = np.sqrt(self.squares / (self.count - 1))
        both = torch.from_numpy(np.stack([self.mean, std])).float()
        params = Params.from_flat(spec, both)
        return params[0:1], params[1:2]
