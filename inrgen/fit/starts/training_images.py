"""Training images of learn-start: one size, some held out, drawn by name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from inrgen.core import rng
from inrgen.core.geometry import grid_coords
from inrgen.core.spec import InrSpec
from inrgen.fit.views import target_values
from inrgen.sources.base import BadSignal, Source

_MAX_HELD_OUT, _HELD_OUT_ONE_IN = 256, 10
# Held-out images are measured often; this limits them to a few seconds of a core.
_HELD_OUT_POINTS, _MIN_HELD_OUT = 2**20, 8
# 1 GB of float32 values
_VALUES_HELD = 2**28

Load = Callable[[int], Float[Tensor, "n d_out"]]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingImages:
    """Images of one size: those that the outer loop draws from, and those held out.

    Attributes:
        coords: coordinates of the pixels, which all images share.
        held_out: images that the outer loop never draws.
        pool: the source's numbers of all other images.
        load: reads one of them.
    """

    coords: Float[Tensor, "n d_in"]
    held_out: Float[Tensor, "m n d_out"]
    pool: Sequence[int]
    load: Load

    def draw(
        self, seed: int, step: int, num_starts: int, batch: int
    ) -> Float[Tensor, "k b n d_out"]:
        """The images of one outer step: a batch for each start, by the names of start and step."""
        views = torch.arange(num_starts)
        keys = rng.keys(seed, "learn start batch", torch.zeros_like(views), views, step)
        places = rng.integers(keys, (batch,), 0, len(self.pool))
        return torch.stack(
            [torch.stack([self._load_near(place) for place in row]) for row in places.tolist()]
        )

    def _load_near(self, place: int) -> Float[Tensor, "n d_out"]:
        """The image at a place of the pool, or the next one that can be read."""
        for offset in range(len(self.pool)):
            try:
                return self.load(self.pool[(place + offset) % len(self.pool)])
            except BadSignal:
                continue
        raise ValueError("no training image can be read")


def open_images(source: Source, spec: InrSpec, seed: int) -> TrainingImages:
    """Hold out a seeded sample of the source's images, at most a tenth and at most 256.

    Raises ValueError for signals other than images of one size, for items of another split than
    train, and for fewer than two images that can be read.
    """
    if any(item.split != "train" for item in source.items):
        raise ValueError("starts learn from training items alone; the source gave others")
    hashes = rng.hash_items(item.item_id for item in source.items)
    # Sorted by random keys of their names, so that the place of an item does not matter.
    order = rng.keys(seed, "learn start held-out", hashes).argsort(stable=True).tolist()
    grid: tuple[int, ...] = ()

    def read(index: int) -> Float[Tensor, "n d_out"]:
        nonlocal grid
        signal = source.load(index)
        if signal.coords is not None:
            raise ValueError("starts are learned for images; this source gives points")
        grid = grid or signal.grid
        if signal.grid != grid:
            raise ValueError(
                f"starts are learned for images of one size; {source.items[index].item_id} has "
                f"{signal.grid} pixels, and another image {grid}"
            )
        return target_values(spec, signal)

    held_out, used = _hold_out(read, order)
    if len(order) == used:
        raise ValueError(f"learning a start needs more images than {len(order)}")
    load = lru_cache(maxsize=max(1, _VALUES_HELD // held_out[0].numel()))(read)
    return TrainingImages(
        coords=grid_coords(spec, grid),
        held_out=torch.stack(held_out),
        pool=order[used:],
        load=load,
    )


def _hold_out(read: Load, order: list[int]) -> tuple[list[Tensor], int]:
    """Read the first images of an order; returns them, and the number of items they came from."""
    found: list[Tensor] = []
    wanted = max(1, min(_MAX_HELD_OUT, len(order) // _HELD_OUT_ONE_IN))
    for used, index in enumerate(order):
        if len(found) >= wanted:
            return found, used
        try:
            found.append(read(index))
        except BadSignal:
            continue
        limit = max(_MIN_HELD_OUT, _HELD_OUT_POINTS // len(found[0]))
        wanted = min(wanted, limit)
    return found, len(order)


def draw_points(
    images: TrainingImages,
    values: Float[Tensor, "k b n d_out"],
    seed: int,
    step: int,
    num_points: int,
) -> tuple[Float[Tensor, "k b p d_in"], Float[Tensor, "k b p d_out"]]:
    """Draw points of every image of an outer step, with replacement: coordinates and values."""
    num_starts, batch = values.shape[:2]
    views = torch.arange(num_starts).repeat_interleave(batch)
    places = torch.arange(batch).repeat(num_starts)
    keys = rng.keys(seed, "learn start points", places, views, step)
    index = rng.integers(keys, (num_points,), 0, values.shape[2]).unflatten(0, values.shape[:2])
    return images.coords[index], values.take_along_dim(index[..., None], dim=2)
