"""GPU engine: a Triton kernel for Adam where the network fits it, batched torch elsewhere."""

import importlib.util
import logging
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal

import torch

from inrgen.core.spec import InrSpec
from inrgen.fit.config import FitConfig
from inrgen.fit.engine import FitBatch, FitResult, check_curvature
from inrgen.fit.gpu_portable import fit_portable
from inrgen.kernels.gpu_layout import MAX_OUTPUTS, MAX_WIDTH, Mode

Precision = Literal["auto", "float32", "mixed", "tf32"]

# Up to this target, operands rounded to tf32 forward and bf16 backward do as well as float32. A
# fit that goes beyond it ends some decibels lower.
_TF32_UP_TO_DB = 50.0

_log = logging.getLogger(__name__)


def _why_not(spec: InrSpec, mode: Mode) -> str:
    """The reason why the kernel cannot fit a spec here; "" if it can."""
    if not spec.is_siren:
        return f"it is no SIREN, but {spec.kind}"
    if spec.num_hidden not in (2, 3):
        return f"it has {spec.num_hidden} hidden layers, not 2 or 3"
    if max(spec.widths[1:-1]) > MAX_WIDTH:
        return f"a hidden layer is wider than {MAX_WIDTH}"
    if spec.d_out > MAX_OUTPUTS:
        return f"it has {spec.d_out} outputs, more than {MAX_OUTPUTS}"
    # find_spec does not import triton, which takes seconds.
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed"
    from inrgen.fit.gpu_launch import shape_of

    return "" if shape_of(spec, mode) else f"its {mode} state is too large for the registers"


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuEngine:
    """Fits with weights, moments and a tile of points on chip.

    Networks that the kernel cannot fit, and fits with learned step sizes, go through batched
    torch; the log gives the reason.

    Attributes:
        device: a CUDA device.
        precision: "float32" multiplies float32 numbers. "tf32" rounds the operands of hidden
            layers to tf32 forward and bf16 backward; "mixed" rounds them backward only. "auto"
            takes tf32 for fits that stop at 50 dB or below, and float32 for all others.
    """

    device: str = "cuda"
    precision: Precision = "auto"

    @property
    def name(self) -> str:
        return "gpu"

    def fit(self, spec: InrSpec, config: FitConfig, batch: FitBatch) -> FitResult:
        """Fit every INR of the batch; raises ValueError if there is no such device."""
        batch.check(spec, knows_weights=False)
        check_curvature(self.name, spec, config)
        device = torch.device(self.device)
        if device.type == "cuda" and not torch.cuda.is_available():
            raise ValueError(f"device needs a CUDA device for engine 'gpu'; got {self.device!r}")
        # Kernels and graphs run on the current device, even if their tensors are on another.
        with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
            return self._fit(spec, config, batch, device)

    def _fit(
        self, spec: InrSpec, config: FitConfig, batch: FitBatch, device: torch.device
    ) -> FitResult:
        mode = self._mode(config)
        # The kernel has only Adam's update.
        learned = "its step sizes are learned" if batch.step_sizes is not None else ""
        reason = learned or _why_not(spec, mode)
        if reason:
            _log.info(
                "%s goes through batched torch, not the kernel: %s", spec.architecture, reason
            )
            return fit_portable(spec, config, batch, device)
        # Only GPU machines have triton, so nothing above may import it.
        from inrgen.fit.gpu_launch import fit_fused

        return fit_fused(spec, config, batch, device, mode)

    def _mode(self, config: FitConfig) -> Mode:
        if self.precision != "auto":
            return self.precision
        target = config.stop_psnr_db
        return "tf32" if target is not None and target <= _TF32_UP_TO_DB else "float32"
