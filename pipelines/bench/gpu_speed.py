"""Speed of the GPU engine: INR-steps per second, share of peak, memory, and the whole job."""

import time
from collections.abc import Callable
from dataclasses import replace

import torch

from inrgen.core import rng
from inrgen.core.params import Params
from inrgen.fit.config import FitConfig
from inrgen.fit.engine import FitBatch
from inrgen.fit.gpu_engine import GpuEngine, Precision
from inrgen.fit.gpu_launch import KernelJob
from inrgen.fit.gpu_portable import fit_portable
from inrgen.fit.torch_engine import TorchEngine
from inrgen.kernels.gpu_layout import Mode
from pipelines.bench.gpu_setting import (
    REFERENCE,
    Row,
    Setting,
    image_batch,
    result_psnr,
    seconds,
)

_MODES: tuple[Mode, ...] = ("float32", "mixed", "tf32")
# Fashion-MNIST's train file with ten views, and the rows of a build's shard.
_WHOLE_JOB_INRS = 600_000
_VIEWS = 10
_SHARD_INRS = 4000


def flop_per_inr_step(num_points: int) -> int:
    """Operations of a step: two per weight and point forward, twice that backward, no sines."""
    weights = sum(i * o for i, o in zip(REFERENCE.widths, REFERENCE.widths[1:], strict=False))
    return 6 * weights * num_points


def measure_peaks(setting: Setting) -> dict[str, float]:
    """Measure FLOP/s of a large float32 matrix product, plain and with tf32 operands."""
    side = setting.size(8192, 64)
    a = torch.randn(side, side, device=setting.device)
    before = torch.get_float32_matmul_precision()
    peaks = {}
    try:
        for name, precision in (("float32", "highest"), ("tf32", "high")):
            torch.set_float32_matmul_precision(precision)
            peaks[name] = 2 * side**3 / seconds(setting, lambda: a @ a)
    finally:
        torch.set_float32_matmul_precision(before)
    return peaks


def speed(setting: Setting) -> list[Row]:
    """Time eager, compiled and fused fits at equal steps, from host memory and back."""
    peaks = measure_peaks(setting)
    config = FitConfig(num_steps=setting.size(100, 1), stop_psnr_db=None)
    # Compiled torch records one graph per call, which a build's thousand steps outweigh.
    longer = replace(config, num_steps=setting.size(500, 1))
    few = image_batch(setting, config, setting.size(1024, 1), views=setting.size(4, 1))
    many = image_batch(setting, config, setting.size(2000, 1), views=setting.size(_VIEWS, 1))
    device = torch.device(setting.device)
    eager = TorchEngine(device=setting.device)

    def fused(mode: Mode) -> Callable[[], object]:
        engine = GpuEngine(device=setting.device, precision=mode)
        return lambda: engine.fit(REFERENCE, config, many)

    runs: list[tuple[str, str, FitBatch, FitConfig, Callable[[], object]]] = [
        ("eager", "float32", few, longer, lambda: eager.fit(REFERENCE, longer, few)),
        ("compiled", "float32", few, longer, lambda: fit_portable(REFERENCE, longer, few, device)),
        *((f"fused {mode}", "tf32", many, config, fused(mode)) for mode in _MODES[1:]),
        ("fused float32", "float32", many, config, fused("float32")),
    ]
    rows: list[Row] = [{"engine": f"peak {k}", "gflop_s": v / 1e9} for k, v in peaks.items()]
    for name, peak, batch, some, run in runs:
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        taken = seconds(setting, run)
        rate = len(batch.start) * some.num_steps / taken
        flop_s = rate * flop_per_inr_step(batch.values.shape[1])
        memory = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
        rows.append(
            {
                "engine": name,
                "inrs": len(batch.start),
                "inr_steps_per_s": rate,
                "gflop_s": flop_s / 1e9,
                "peak_fraction": flop_s / peaks[peak],
                "peak_memory_bytes": memory,
            }
        )
    return rows


def whole_job(setting: Setting) -> list[Row]:
    """Fit real images shard by shard as a build does, with and without early stops.

    Drawing the starting weights is timed, too. whole_job_s scales the time to 600,000 INRs on one
    card; waiting_share is the share of it in which the card ran no fit.
    """
    rows: list[Row] = []
    num_images = setting.size(2000, 1)
    stops: tuple[float | None, ...] = (None, 40.0)
    precisions: tuple[Precision, ...] = ("tf32", "float32")
    for precision in precisions:
        for stop in stops:
            config = FitConfig(num_steps=setting.size(1000, 1), stop_psnr_db=stop)
            rows.append(_fit_in_shards(setting, config, precision, num_images))
    return rows


def _fit_in_shards(
    setting: Setting, config: FitConfig, precision: Precision, num_images: int
) -> Row:
    """Fit the images once, shard by shard."""
    views = setting.size(_VIEWS, 1)
    engine = GpuEngine(device=setting.device, precision=precision)
    step = max(1, _SHARD_INRS // views)
    shards = [(low, min(step, num_images - low)) for low in range(0, num_images, step)]
    # Compile for this config's flags before the clock starts, as a build compiles once.
    engine.fit(REFERENCE, replace(config, num_steps=1), image_batch(setting, config, 1, 1))
    began = time.perf_counter()
    results = []
    for low, num in shards:
        batch = image_batch(setting, config, num, views, first=low)
        results.append((batch, engine.fit(REFERENCE, config, batch)))
    taken = time.perf_counter() - began
    psnr = torch.cat([result_psnr(setting, batch, result) for batch, result in results])
    steps = torch.cat([result.num_steps for _, result in results])
    busy = _busy_seconds(setting, config, precision, [batch for batch, _ in results])
    return {
        "mode": precision,
        "stop_psnr_db": "none" if config.stop_psnr_db is None else config.stop_psnr_db,
        "inrs": len(psnr),
        "mean_steps": float(steps.double().mean()),
        "mean_db": float(psnr.mean()),
        "seconds": taken,
        "whole_job_s": taken * _WHOLE_JOB_INRS / len(psnr),
        "waiting_share": max(0.0, 1.0 - busy / taken),
    }


def _busy_seconds(
    setting: Setting, config: FitConfig, precision: Precision, batches: list[FitBatch]
) -> float:
    """Time the fits alone, with all data already on the device."""
    device = torch.device(setting.device)
    mode: Mode = "float32" if precision == "float32" else "tf32"
    total = 0.0
    for batch in batches:
        job = KernelJob.from_batch(REFERENCE, config, batch, device, mode)
        keys = rng.fold(batch.keys, rng.hash_name("points")).to(device)
        start: Params = batch.start.to(device)
        of = batch.signal_of.to(device)
        flat = start.flat()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        began = time.perf_counter()
        job.run(flat, of, keys)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        total += time.perf_counter() - began
    return total
