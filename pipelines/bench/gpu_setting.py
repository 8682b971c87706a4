"""Shared parts of gpu_check's sections: machine, sizes, images, batches and a clock."""

import gzip
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from inrgen.core import rng
from inrgen.core.geometry import grid_coords
from inrgen.core.metrics import reconstruction_psnr_db
from inrgen.core.params import Params
from inrgen.core.siren import init_keys, initialise
from inrgen.core.spec import InrSpec
from inrgen.fit.config import FitConfig
from inrgen.fit.engine import FitBatch, FitResult

Row = dict[str, str | float | bool]

_TOY_SIDE = 6
# The reference network: Fashion-MNIST as published.
REFERENCE = InrSpec(widths=(2, 32, 32, 1), omega=(30.0, 30.0), output_offset=0.5)


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """Machine and sizes of a check.

    Attributes:
        device: the torch device of all tensors.
        dry: use toy sizes.
        data: the folder that holds FashionMNIST/raw.
    """

    device: str
    dry: bool
    data: Path | None

    def size(self, real: int, toy: int) -> int:
        """Choose the real size, or the toy one in a dry run."""
        return toy if self.dry else real


class Section(Protocol):
    """Part of the check: returns rows; a row whose "ok" is False fails the section."""

    def __call__(self, setting: Setting) -> list[Row]: ...


@lru_cache(maxsize=1)
def _train_images(data: Path) -> Float[Tensor, "b n 1"]:
    """Read all images of Fashion-MNIST's train file once; values in [0, 1]."""
    # Not through inrgen.sources, which needs packages that a GPU machine may lack.
    path = data / "FashionMNIST" / "raw" / "train-images-idx3-ubyte"
    if path.exists():
        content = path.read_bytes()
    else:
        content = gzip.decompress(path.with_name(f"{path.name}.gz").read_bytes())
    # The header is 16 bytes: a magic number, then images, rows and columns.
    pixels = torch.from_numpy(np.frombuffer(content, np.uint8, offset=16).copy()).view(-1, 28, 28)
    return pixels.flatten(1)[:, :, None].float() / 255.0


def images(setting: Setting, num: int) -> Float[Tensor, "b n 1"]:
    """Return the first images of the data set, or small waves in a dry run without data."""
    if setting.data is not None:
        return _train_images(setting.data)[:num]
    if not setting.dry:
        raise ValueError("--data must be the folder that holds FashionMNIST/raw; got nothing")
    frequency = rng.uniform(rng.keys(0, "waves", torch.arange(num)), (2, 1), -4.0, 4.0)
    return 0.5 + 0.4 * torch.sin(grid_coords(REFERENCE, (_TOY_SIDE, _TOY_SIDE)) @ frequency)


def image_batch(
    setting: Setting, config: FitConfig, num_images: int, views: int, first: int = 0
) -> FitBatch:
    """Make a batch of every view of some images, each INR named and started as in a build."""
    values = images(setting, first + num_images)[first:]
    numbers = torch.arange(len(values)).repeat_interleave(views)
    items = rng.hash_items(f"train/{first + i:05d}" for i in range(len(values)))[numbers]
    of_view = torch.arange(views).repeat(len(values))
    side = math.isqrt(values.shape[1])
    return FitBatch(
        coords=grid_coords(REFERENCE, (side, side))[None],
        values=values,
        signal_of=numbers,
        keys=rng.keys(0, "fit", items, of_view),
        start=initialise(REFERENCE, config.init, init_keys(0, config.init, items, of_view)),
    )


def point_batch(spec: InrSpec, num: int, num_points: int) -> FitBatch:
    """Make a batch of num INRs, each on another smooth signal at random points."""
    items = torch.arange(num)
    config = FitConfig()
    coords = rng.uniform(rng.keys(0, "coords", items), (num_points, spec.d_in), -1.0, 1.0)
    frequency = rng.uniform(rng.keys(0, "waves", items), (spec.d_in, spec.d_out), -4.0, 4.0)
    return FitBatch(
        coords=coords,
        values=0.5 + 0.4 * torch.sin(coords @ frequency),
        signal_of=items,
        keys=rng.keys(0, "fit", items),
        start=initialise(spec, config.init, rng.keys(0, "init", items)),
    )


def psnr_of(
    setting: Setting, batch: FitBatch, params: Params, signal_of: Int[Tensor, " b"]
) -> Float[Tensor, " b"]:
    """PSNR of fits of the reference network, computed in float64 on the device of the fits."""
    coords, values, of = (
        part.to(setting.device) for part in (batch.coords, batch.values, signal_of)
    )
    there = params.to(device=setting.device)
    return reconstruction_psnr_db(REFERENCE, there, coords, values, of).cpu()


def result_psnr(setting: Setting, batch: FitBatch, result: FitResult) -> Float[Tensor, " b"]:
    """PSNR of every INR of a result."""
    return psnr_of(setting, batch, result.params, batch.signal_of)


def seconds(setting: Setting, work: Callable[[], object], repeats: int = 3) -> float:
    """Median time of some work after one warm-up, until the device has finished."""

    # A GPU works on after a call returns, so the clock waits for it.
    def settle() -> None:
        if setting.device != "cpu":
            torch.cuda.synchronize(setting.device)

    work()
    taken = []
    for _ in range(1 if setting.dry else repeats):
        settle()
        began = time.perf_counter()
        work()
        settle()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)
