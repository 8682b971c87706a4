"""Training images of learn-start: all of one size, so that they share their coordinates."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from inrgen.core import rng
from inrgen.core.geometry import grid_coords
from inrgen.core.spec import InrSpec
from inrgen.fit.starts.training_items import TrainingItems, choose_items
from inrgen.fit.views import target_values
from inrgen.sources.base import Signal, Source
from inrgen.sources.bounds import DEFAULT_BOUNDS
from inrgen.sources.config import SourceConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingImages:
    """Images of one size, as TrainingSignals.

    Attributes:
        items: values of the images.
        coords: coordinates of the pixels.
        num_points: pixels drawn from each image and outer step; 0 takes all of them.
    """

    items: TrainingItems
    coords: Float[Tensor, "n d_in"]
    num_points: int

    @property
    def num_held_out(self) -> int:
        return len(self.items.held_out)

    def held_out(self, num_starts: int) -> tuple[Tensor, Tensor]:
        values = torch.stack(self.items.held_out)
        return self.coords, values.expand(num_starts, *values.shape)

    def draw(self, seed: int, step: int, num_starts: int, batch: int) -> tuple[Tensor, Tensor]:
        rows = self.items.draw(seed, step, num_starts, batch)
        values = torch.stack([torch.stack(row) for row in rows])
        if not self.num_points:
            return self.coords, values
        return self._draw_points(values, seed, step)

    def _draw_points(
        self, values: Float[Tensor, "k b n d_out"], seed: int, step: int
    ) -> tuple[Float[Tensor, "k b p d_in"], Float[Tensor, "k b p d_out"]]:
        """Draw points of every image with replacement: coordinates and values."""
        num_starts, batch = values.shape[:2]
        views = torch.arange(num_starts).repeat_interleave(batch)
        places = torch.arange(batch).repeat(num_starts)
        keys = rng.keys(seed, "learn start points", places, views, step)
        index = rng.integers(keys, (self.num_points,), 0, values.shape[2])
        index = index.unflatten(0, values.shape[:2])
        return self.coords[index], values.take_along_dim(index[..., None], dim=2)


def open_images(
    source: Source,
    spec: InrSpec,
    seed: int,
    num_points: int,
    bounds: SourceConfig = DEFAULT_BOUNDS,
) -> TrainingImages:
    """Choose the training images of a source.

    Raises ValueError for images of several sizes, and as choose_items does.
    """
    grid: tuple[int, ...] = ()

    def read(signal: Signal, item_id: str) -> Float[Tensor, "n d_out"]:
        nonlocal grid
        grid = grid or signal.grid
        if signal.weights is not None:
            raise ValueError(f"starts are learned for images without weights; {item_id} has some")
        if signal.grid != grid:
            raise ValueError(
                f"starts are learned for images of one size; {item_id} has {signal.grid} pixels, "
                f"and another image {grid}"
            )
        return target_values(spec, signal)

    # Held-out images are measured at all pixels.
    items = choose_items(source, seed, read, num_points=0, bounds=bounds)
    return TrainingImages(items=items, coords=grid_coords(spec, grid), num_points=num_points)
