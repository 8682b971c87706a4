"""Correctness of the GPU kernel against float64, for every class of shapes and every mode."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from inrgen.core import rng
from inrgen.core.params import Params
from inrgen.core.siren import evaluate
from inrgen.core.spec import InrSpec
from inrgen.fit.config import FitConfig, update_scalars
from inrgen.fit.engine import FitBatch
from inrgen.fit.gpu_engine import GpuEngine
from inrgen.fit.gpu_launch import shape_of
from inrgen.fit.torch_engine import TorchEngine
from inrgen.kernels.gpu_layout import Mode
from pipelines.bench.gpu_setting import REFERENCE, Row, Setting, point_batch
from pipelines.bench.resources import spec_of_job

# Every padding, number of inputs and outputs, and depth. The last goes through batched torch, and
# the one before it does in float32.
_JOBS = (
    "2-32-32-1",
    "1-16-16-1",
    "2-5-33-3",
    "3-32-32-4",
    "2-64-64-1",
    "3-64-64-4",
    "3-16-16-16-2",
    "2-32-32-32-1",
    "3-33-17-64-2",
    "1-9-2",
)
_TOY_JOBS = ("2-32-32-1", "1-9-2")
# Bounds after one step and after five. Adam's first update has size lr for any gradient, so where
# rounding flips the sign of a tiny gradient, a weight moves the wrong way by lr.
_BOUNDS: dict[Mode, tuple[float, float]] = {
    "float32": (1e-5, 1e-4),
    "mixed": (1e-2, 2e-2),
    "tf32": (1e-2, 2e-2),
}


def fit_in_float64(spec: InrSpec, config: FitConfig, batch: FitBatch) -> Float[Tensor, "b p"]:
    """Fit by autograd and Adam in float64; return flat weights after all of config's steps."""
    theta = batch.start.flat().double()
    first, second = torch.zeros_like(theta), torch.zeros_like(theta)
    keys = rng.fold(batch.keys, rng.hash_name("points"))
    coords = batch.coords[batch.signal_of].double()
    values = batch.values[batch.signal_of].double()
    for step, (size, epsilon, decay) in enumerate(update_scalars(config).tolist()):
        x, y = coords, values
        if config.points_per_step:
            at = rng.integers(rng.fold(keys, step), (config.points_per_step,), 0, y.shape[1])
            x = x.take_along_dim(at[:, :, None], dim=1)
            y = y.take_along_dim(at[:, :, None], dim=1)
        leaf = theta.detach().requires_grad_()
        error = evaluate(spec, Params.from_flat(spec, leaf), x) - y
        (gradient,) = torch.autograd.grad(error.square().mean(dim=(1, 2)).sum(), leaf)
        first = config.beta1 * first + (1.0 - config.beta1) * gradient
        second = config.beta2 * second + (1.0 - config.beta2) * gradient.square()
        theta = decay * theta - size * first / (second.sqrt() + epsilon)
    return theta


def _gap(found: Float[Tensor, "b p"], expected: Float[Tensor, "b p"]) -> float:
    """Largest relative distance of an INR's weights."""
    return float(((found - expected).norm(dim=1) / expected.norm(dim=1)).max())


def correctness(setting: Setting) -> list[Row]:
    """Compare weights after one step and after five, with all points and with mini-batches."""
    rows: list[Row] = []
    for job in _TOY_JOBS if setting.dry else _JOBS:
        spec = spec_of_job(job)
        batch = point_batch(spec, setting.size(64, 2), setting.size(300, 20))
        for points_per_step in (0, setting.size(100, 10)):
            config = FitConfig(stop_psnr_db=None, points_per_step=points_per_step)
            one, five = (replace(config, num_steps=n) for n in (1, setting.size(5, 2)))
            expected = [fit_in_float64(spec, some, batch) for some in (one, five)]
            for mode, bounds in _BOUNDS.items():
                engine = GpuEngine(device=setting.device, precision=mode)
                gaps = [
                    _gap(engine.fit(spec, some, batch).params.flat(), weights)
                    for some, weights in zip((one, five), expected, strict=True)
                ]
                rows.append(
                    {
                        "job": job,
                        "points_per_step": points_per_step,
                        "mode": mode,
                        "path": _path(spec, mode),
                        "gap_1_step": gaps[0],
                        "gap_5_steps": gaps[1],
                        "ok": gaps[0] < bounds[0] and gaps[1] < bounds[1],
                    }
                )
    return rows


def _path(spec: InrSpec, mode: Mode) -> str:
    taken = spec.num_hidden in (2, 3) and shape_of(spec, mode) is not None
    return "kernel" if taken else "portable"


def behaviour(setting: Setting) -> list[Row]:
    """Check early stops, values that are not finite, and independence of the batch."""
    batch = point_batch(REFERENCE, setting.size(200, 3), setting.size(784, 20))
    engine = GpuEngine(device=setting.device, precision="float32")
    config = FitConfig(num_steps=setting.size(300, 2), lr=2e-3, stop_psnr_db=20.0)
    found = engine.fit(REFERENCE, config, batch)
    expected = TorchEngine(device=setting.device).fit(REFERENCE, config, batch)
    # Where a loss crosses the target slowly, the step may differ by one.
    apart = (found.num_steps - expected.num_steps).abs().float()
    some = torch.arange(0, len(batch.start), 2)
    part = replace(
        batch, signal_of=batch.signal_of[some], keys=batch.keys[some], start=batch.start[some]
    )
    alone = engine.fit(REFERENCE, config, part).params.flat()
    values = batch.values.clone()
    values[1, 0] = torch.nan
    bad = engine.fit(REFERENCE, config, replace(batch, values=values))
    only_one = bad.final_loss.isnan() & bad.params.flat().isnan().all(dim=1)
    return [
        {
            "what": "mean difference from torch in steps before the target",
            "value": float(apart.mean()),
            "ok": float(apart.mean()) < 1.0,
        },
        {
            "what": "an INR is bit-equal in another batch",
            "value": float((alone != found.params.flat()[some]).sum()),
            "ok": torch.equal(alone, found.params.flat()[some]),
        },
        {
            "what": "a NaN stays with its own INR",
            "value": float(only_one.sum()),
            "ok": only_one.nonzero().flatten().tolist() == [1],
        },
    ]
