"""Reference fits that engines are timed on: networks on smooth synthetic signals.

Light on purpose: the options of the fit bench name these jobs.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from inrgen.core.spec import CoordOrder, InrSpec

if TYPE_CHECKING:
    from inrgen.fit.config import FitConfig
    from inrgen.fit.engine import FitBatch

_COORD_ORDER: dict[int, CoordOrder] = {1: "x", 2: "xy", 3: "xyz"}
# Waves that a signal is the sum of: about the detail of a small photograph.
_NUM_WAVES = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class FitJob:
    """Fit of one network to one kind of signal.

    Attributes:
        widths: widths of the network's layers.
        grid: samples of a signal along each axis.
        points_per_step: points drawn anew for each update; 0 takes all.
        num_steps: updates of one fit.
        num_compared: INRs whose PSNR is reported; every engine fits at least these.
    """

    widths: tuple[int, ...]
    grid: tuple[int, ...]
    points_per_step: int
    num_steps: int
    num_compared: int

    @property
    def spec(self) -> InrSpec:
        d_in = self.widths[0]
        return InrSpec(
            widths=self.widths,
            omega=(30.0,) * (len(self.widths) - 2),
            output_offset=0.5,
            coord_order=_COORD_ORDER[d_in],
            coord_center=(0.0,) * d_in,
        )

    @property
    def config(self) -> "FitConfig":
        from inrgen.fit.config import FitConfig

        return FitConfig(
            num_steps=self.num_steps, points_per_step=self.points_per_step, stop_psnr_db=None
        )

    @property
    def flop_per_step(self) -> int:
        """Floating-point operations of the layer products of one update; a multiply-add is two.

        They are the forward pass, the gradient of the weights, and the gradient of the inputs of
        all layers but the first. Sines, losses and Adam are not counted.
        """
        products = [i * o for i, o in pairwise(self.widths)]
        num_points = self.points_per_step or math.prod(self.grid)
        return 2 * num_points * (3 * sum(products) - products[0])


JOBS: dict[str, FitJob] = {
    job.spec.architecture: job
    for job in (
        FitJob(
            widths=(2, 32, 32, 1), grid=(28, 28), points_per_step=0, num_steps=100, num_compared=16
        ),
        FitJob(
            widths=(3, 32, 32, 1),
            grid=(20, 20, 20),
            points_per_step=2048,
            num_steps=50,
            num_compared=8,
        ),
        FitJob(
            widths=(3, 64, 64, 64, 1),
            grid=(20, 20, 20),
            points_per_step=2048,
            num_steps=50,
            num_compared=4,
        ),
        FitJob(
            widths=(2, 256, 256, 256, 3),
            grid=(256, 256),
            points_per_step=2048,
            num_steps=25,
            num_compared=1,
        ),
    )
}


def make_batch(job: FitJob, num: int, first: int = 0) -> "FitBatch":
    """Make the INRs numbered first to first + num - 1, one signal each; a number names its INR."""
    import torch

    from inrgen.core import rng
    from inrgen.core.geometry import grid_coords
    from inrgen.core.siren import initialise
    from inrgen.fit.engine import FitBatch

    spec, items = job.spec, torch.arange(first, first + num)
    coords = grid_coords(spec, job.grid)
    signals = rng.keys(0, "bench signals", items)
    shape = (spec.d_out, _NUM_WAVES)
    wave = rng.normal(rng.fold(signals, 0), (*shape, spec.d_in)) * 2.0
    phase = rng.uniform(rng.fold(signals, 1), shape, 0.0, 2.0 * torch.pi)
    values = torch.stack(
        [
            # One signal at a time: the waves take many times the memory of their sum.
            torch.sin(coords @ w.flatten(0, 1).T + p.flatten()).unflatten(1, shape).mean(dim=2)
            for w, p in zip(wave, phase, strict=True)
        ]
    )
    return FitBatch(
        coords=coords[None],
        values=0.5 + 0.5 * values,
        signal_of=items - first,
        keys=rng.keys(0, "bench fits", items),
        start=initialise(spec, job.config.init, rng.keys(0, "bench starts", items)),
    )
