"""Closed-form signals for tests: smooth pictures, with some items broken on purpose.

No source of the catalog: nobody should take these for data.
"""

import math
from dataclasses import dataclass

import torch

from inrgen.core import rng
from inrgen.core.config import SPLITS
from inrgen.sources.base import BadSignal, Item, Signal, SourceFacts


@dataclass(frozen=True, kw_only=True, slots=True)
class SyntheticSource:
    """num_items pictures, sums of three waves, in equal thirds of train, val and test.

    grids gives their sizes in turn, (rows, columns). Items at the places in broken cannot be read;
    those in not_finite have a NaN among their values.
    """

    num_items: int
    grids: tuple[tuple[int, int], ...] = ((8, 8),)
    d_out: int = 1
    broken: tuple[int, ...] = ()
    not_finite: tuple[int, ...] = ()

    @property
    def facts(self) -> SourceFacts:
        return SourceFacts(name="synthetic", value_kind="intensity", d_in=2, d_out=self.d_out)

    @property
    def items(self) -> tuple[Item, ...]:
        return tuple(
            Item(
                item_id=f"synthetic/{number:05d}",
                split=SPLITS[number * len(SPLITS) // self.num_items],
                label=number % 3,
                label_name="abc"[number % 3],
            )
            for number in range(self.num_items)
        )

    def load(self, index: int) -> Signal:
        """The picture of items[index]."""
        if index in self.broken:
            raise BadSignal("broken on purpose")
        grid = self.grids[index % len(self.grids)]
        rows, columns = (torch.linspace(-1, 1, side) for side in grid)
        points = torch.cartesian_prod(rows, columns)
        waves = rng.uniform(rng.hash_items([f"synthetic/{index}"]), (self.d_out, 3, 3), -1, 1)[0]
        angles = torch.einsum("cwd,nd->ncw", 3 * waves[..., :2], points) + math.pi * waves[..., 2]
        values = 0.5 + angles.sin().sum(dim=2) / 6
        if index in self.not_finite:
            values[0] = math.nan
        return Signal(values=values, grid=grid)
