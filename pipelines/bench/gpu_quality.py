"""PSNR of the torch and gpu engines, on the same real images from the same starting weights."""

import torch

from inrgen.core.config import InitConfig
from inrgen.fit.config import FitConfig
from inrgen.fit.gpu_engine import GpuEngine, Precision
from inrgen.fit.torch_engine import TorchEngine
from pipelines.bench.gpu_setting import REFERENCE, Row, Setting, image_batch, result_psnr

# Means must agree to this. Single fits diverge, because descent amplifies the last bit.
_DIFFERENCE_DB = 0.05

# Recipes by name, with the modes that must match torch. Beyond 50 dB rounded operands show.
_RECIPES: dict[str, tuple[FitConfig, tuple[Precision, ...]]] = {
    "published": (FitConfig(), ("auto", "mixed", "float32")),
    "fast": (FitConfig(num_steps=250, lr=2e-3), ("auto", "mixed", "float32")),
    "to 50 dB and beyond": (
        FitConfig(
            num_steps=300,
            lr=2e-3,
            stop_psnr_db=None,
            init=InitConfig(first_layer="siren", hidden_bias="torch", last_layer="siren"),
        ),
        ("auto",),
    ),
}


def quality(setting: Setting) -> list[Row]:
    """Measure each engine and mode: the distribution, and its mean's difference from torch's."""
    rows: list[Row] = []
    for name, (real, precisions) in _RECIPES.items():
        config = real if not setting.dry else FitConfig(num_steps=2, lr=real.lr, init=real.init)
        batch = image_batch(setting, config, setting.size(1000, 1), views=setting.size(2, 1))
        torch_engine = TorchEngine(device=setting.device)
        reference = result_psnr(setting, batch, torch_engine.fit(REFERENCE, config, batch))
        rows.append(_row(name, "torch", reference, reference))
        for precision in precisions:
            engine = GpuEngine(device=setting.device, precision=precision)
            found = result_psnr(setting, batch, engine.fit(REFERENCE, config, batch))
            rows.append(_row(name, f"gpu {precision}", found, reference))
    return rows


def _row(recipe: str, engine: str, psnr: torch.Tensor, reference: torch.Tensor) -> Row:
    points = torch.tensor([0.05, 0.5, 0.95], dtype=psnr.dtype)
    low, middle, high = torch.quantile(psnr, points).tolist()
    difference = float(psnr.mean() - reference.mean())
    return {
        "recipe": recipe,
        "engine": engine,
        "inrs": len(psnr),
        "mean_db": float(psnr.mean()),
        "p5_db": low,
        "median_db": middle,
        "p95_db": high,
        "difference_db": difference,
        "ok": abs(difference) <= _DIFFERENCE_DB,
    }
