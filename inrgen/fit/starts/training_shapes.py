"""Training shapes of learn-start: every inner step draws its own points of each, as builds do."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inrgen.core import rng
from inrgen.core.spec import InrSpec
from inrgen.fit.starts.training_items import TrainingItems, choose_items
from inrgen.fit.views import signal_coords, target_values
from inrgen.sources.base import Signal, Source
from inrgen.sources.bounds import DEFAULT_BOUNDS
from inrgen.sources.config import SourceConfig

Drawn = tuple[Float[Tensor, "s k m p d_in"], Float[Tensor, "s k m p d_out"]]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingShapes:
    """Shapes as loose points, as TrainingSignals.

    A fit that met the same points in every step would learn step sizes for points that it has
    seen, but a build draws anew.

    Attributes:
        items: points of the shapes, as rows of coordinates and values.
        d_in: number of coordinates.
        num_points: points drawn for each shape and inner step.
        num_sets: inner steps, and one more set of points that measures the error.
        held_out_keys: names of the held-out shapes' points.
    """

    items: TrainingItems
    d_in: int
    num_points: int
    num_sets: int
    held_out_keys: Int[Tensor, " m"]

    @property
    def num_held_out(self) -> int:
        return len(self.items.held_out)

    def held_out(self, num_starts: int) -> Drawn:
        coords, values = self._draw_points([self.items.held_out], self.held_out_keys)
        sizes = (-1, num_starts, -1, -1, -1)
        return coords.expand(sizes), values.expand(sizes)

    def draw(self, seed: int, step: int, num_starts: int, batch: int) -> Drawn:
        rows = self.items.draw(seed, step, num_starts, batch)
        views = torch.arange(num_starts).repeat_interleave(batch)
        places = torch.arange(batch).repeat(num_starts)
        keys = rng.keys(seed, "learn start points", places, views, step)
        return self._draw_points(rows, keys)

    def _draw_points(
        self, rows: Sequence[Sequence[Float[Tensor, "_n c"]]], keys: Int[Tensor, " b"]
    ) -> Drawn:
        """Draw sets of points with replacement from k rows of m shapes; keys name them in order."""
        shape = (self.num_sets, self.num_points)
        flat = [samples for row in rows for samples in row]
        drawn = torch.stack(
            [
                samples[rng.integers(key, shape, 0, len(samples))[0]]
                for samples, key in zip(flat, keys.split(1), strict=True)
            ],
            dim=1,
        )
        drawn = drawn.unflatten(1, (len(rows), -1))
        return drawn[..., : self.d_in], drawn[..., self.d_in :]


def open_shapes(
    source: Source,
    spec: InrSpec,
    seed: int,
    num_points: int,
    inner_steps: int,
    bounds: SourceConfig = DEFAULT_BOUNDS,
) -> TrainingShapes:
    """Choose the training shapes of a source, with values of width one.

    spec is that of the source's own values. Raises ValueError as choose_items does.
    """

    def read(signal: Signal, item_id: str) -> Float[Tensor, "n c"]:
        values = target_values(spec, signal) / spec.value_width
        return torch.cat([signal_coords(spec, signal), values], dim=1)

    num_sets = inner_steps + 1
    items = choose_items(source, seed, read, num_points * num_sets, bounds)
    numbers = torch.arange(len(items.held_out))
    return TrainingShapes(
        items=items,
        d_in=spec.d_in,
        num_points=num_points,
        num_sets=num_sets,
        held_out_keys=rng.keys(seed, "learn start held-out points", numbers),
    )
