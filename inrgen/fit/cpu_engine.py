"""CPU engine: forward, backward and update fused over one INR at a time, which stays in cache."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from inrgen.core import rng
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.fit.config import FitConfig, stop_loss, update_scalars
from inrgen.fit.cpu_layout import Layout, as_records, lay_out, places
from inrgen.fit.engine import FitBatch, FitResult, check_curvature
from inrgen.kernels.cpu_fit import Job, Signals, fit_rows
from inrgen.kernels.emitter import TILE

# Portions of a batch for each thread: with one each, fits that stop early would leave threads idle.
_PORTIONS = 8
_CACHE_LINE = 64


def _workspace(layout: Layout) -> np.ndarray:
    """A float32 array that starts at a cache line, so that no vector crosses two."""
    raw = np.empty(layout.size * 4 + _CACHE_LINE, dtype=np.uint8)
    skip = -raw.ctypes.data % _CACHE_LINE
    return raw[skip : skip + layout.size * 4].view(np.float32)


def _kernel_job(spec: InrSpec, config: FitConfig, layout: Layout, momentum: float | None) -> Job:
    """The data that all fits of a batch share, in the form that compiled code reads.

    momentum is that of learned step sizes; None for Adam.
    """
    beta1 = config.beta1 if momentum is None else momentum
    adam = (beta1, 1.0 - beta1, config.beta2, 1.0 - config.beta2)
    return Job(
        layout=as_records([layout]),
        hidden=as_records(layout.hidden),
        places=places(spec, layout),
        # sin(omega z) = sin(pi (omega / pi) z): the kernel's polynomial counts half turns
        half_turns=np.array([w / math.pi for w in spec.omega], dtype=np.float32),
        offset=np.float32(spec.output_offset),
        schedule=update_scalars(config).astype(np.float32),
        adam=tuple(np.float32(x) for x in adam),
        stop=stop_loss(config, spec.value_width),
        draws=config.points_per_step > 0,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class CpuEngine:
    """Compiled loops over one INR, whose weights, moments and activations stay in cache.

    One thread fits an INR from start to end, so its result depends on no other INR. threads=None
    takes as many as torch would: every core, or one in a Ray worker.
    """

    threads: int | None = None

    @property
    def name(self) -> str:
        return "cpu"

    @property
    def device(self) -> str:
        return "cpu"

    def fit(self, spec: InrSpec, config: FitConfig, batch: FitBatch) -> FitResult:
        """Fit every INR of the batch by config; raises ValueError for a spec without sines."""
        if not spec.is_siren:
            raise ValueError(f"engine 'cpu' fits SIRENs only; got {spec.kind}")
        batch.check(spec, knows_weights=False)
        check_curvature(self.name, spec, config)
        num_points = config.points_per_step or batch.values.shape[1]
        layout = lay_out(spec, TILE, num_points)
        # A copy: the compiled code updates theta in place, and a caller's start must not change.
        theta = np.array(batch.start.flat().numpy(), dtype=np.float32, order="C")
        step_sizes = np.empty((0, spec.num_params), dtype=np.float32)
        if batch.step_sizes is not None:
            step_sizes = batch.step_sizes.flat().float().contiguous().numpy()
        final_loss = np.empty(len(theta), dtype=np.float32)
        num_steps = np.empty(len(theta), dtype=np.int64)
        momentum = None if batch.step_sizes is None else batch.momentum
        job = _kernel_job(spec, config, layout, momentum)
        signals = Signals(
            coords=batch.coords.float().contiguous().numpy(),
            values=batch.values.float().contiguous().numpy(),
            signal_of=batch.signal_of.contiguous().numpy(),
            keys=rng.fold(batch.keys, rng.hash_name("points")).numpy().view(np.uint64),
        )

        def fit_portion(portion: tuple[int, int]) -> None:
            work = _workspace(layout)
            fit_rows(work, job, signals, theta, step_sizes, final_loss, num_steps, *portion)

        threads = self.threads or torch.get_num_threads()
        size = max(1, len(theta) // (threads * _PORTIONS))
        portions = [(low, min(low + size, len(theta))) for low in range(0, len(theta), size)]
        # Compiled code releases the interpreter's lock, so threads suffice.
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(fit_portion, portions):  # the loop raises a portion's exception
                pass
        return FitResult(
            params=Params.from_flat(spec, torch.from_numpy(theta)),
            final_loss=torch.from_numpy(final_loss),
            num_steps=torch.from_numpy(num_steps),
        )
