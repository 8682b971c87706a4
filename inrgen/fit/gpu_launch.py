"""Run the kernel on a batch: how products are rounded, how large a tile is, who holds what.

Only triton's presence makes this importable; gpu_engine asks for it when it fits.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from triton.runtime.interpreter import InterpretedFunction

from inrgen.core import rng
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.fit.config import FitConfig, stop_loss, update_scalars
from inrgen.fit.engine import FitBatch, FitResult
from inrgen.fit.gpu_kernel import fit_kernel
from inrgen.fit.gpu_layout import Mode, pack, padded_width, unpack

# Rows that go to the device at once: half a gigabyte of the smallest class.
_INRS_AT_ONCE = 1 << 16
# More programs than fit side by side do no harm: one that starts late finds the work done.
_PROGRAMS_A_PROCESSOR = 8
_PROGRAMS_INTERPRETED = 2
# Of a thread, on every NVIDIA GPU since 2013.
_MOST_REGISTERS = 255


@dataclass(frozen=True, kw_only=True, slots=True)
class Rounding:
    """How the operands of each kind of product are rounded before they are multiplied.

    forward and backward: the products with hidden weights. inputs: those of the first layer.
    sums: the gradients of first and last layer and of biases. "ieee" is plain float32, "tf32x3"
    gets nearly there with three tf32 products; sums are float32 in any case.
    """

    forward: str
    backward: str
    inputs: str
    sums: str


ROUNDINGS: dict[Mode, Rounding] = {
    "float32": Rounding(forward="ieee", backward="ieee", inputs="ieee", sums="ieee"),
    "mixed": Rounding(forward="tf32x3", backward="bf16", inputs="tf32x3", sums="tf32"),
    "tf32": Rounding(forward="tf32", backward="bf16", inputs="tf32x3", sums="tf32"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """Points of a tile, warps of a program, and whether Adam's moments stay in its registers.

    Where registers are too few for the moments, each program has its own few kilobytes of memory
    for them, which it reads and writes once a step and which no cache has to give up.
    """

    tile: int
    warps: int
    held: bool = True

    def options(self) -> dict[str, Any]:
        """What triton calls them, and what keeps it from spilling.

        Loads are few, and having several in flight takes registers. Told of no limit, the
        assembler spills a few registers where that lets one more program run beside.
        """
        return {"num_warps": self.warps, "num_stages": 1, "maxnreg": _MOST_REGISTERS}


# By H and hidden layers; chosen so that the compiler spills nothing for any number of inputs and
# outputs, the largest first. test_gpu_compile holds them to it.
_FLOAT32_SHAPES: dict[tuple[int, int], Shape] = {
    (16, 2): Shape(tile=32, warps=4),
    (32, 2): Shape(tile=32, warps=4),
    (64, 2): Shape(tile=16, warps=8, held=False),
    (16, 3): Shape(tile=32, warps=4),
    (32, 3): Shape(tile=16, warps=4, held=False),
}
_ROUNDED_SHAPES: dict[tuple[int, int], Shape] = {
    (16, 2): Shape(tile=64, warps=4),
    (32, 2): Shape(tile=32, warps=4),
    (64, 2): Shape(tile=16, warps=8),
    (16, 3): Shape(tile=16, warps=4, held=False),
    (32, 3): Shape(tile=16, warps=4),
    (64, 3): Shape(tile=16, warps=8, held=False),
}
_ROUNDED_SHAPES_ONE_OUTPUT: dict[tuple[int, int], Shape] = {
    (32, 2): Shape(tile=64, warps=4),
    (64, 2): Shape(tile=32, warps=8),
}


def shape_of(spec: InrSpec, mode: Mode) -> Shape | None:
    """The shape for a spec that the layout takes; None where every shape would spill."""
    size = (padded_width(spec), spec.num_hidden)
    if mode == "float32":
        return _FLOAT32_SHAPES.get(size)
    if spec.d_out == 1 and size in _ROUNDED_SHAPES_ONE_OUTPUT:
        return _ROUNDED_SHAPES_ONE_OUTPUT[size]
    return _ROUNDED_SHAPES.get(size)


def constants(spec: InrSpec, config: FitConfig, mode: Mode, shape: Shape) -> dict[str, Any]:
    """What the kernel is compiled for."""
    rounding = ROUNDINGS[mode]
    # Triton's interpreter multiplies the bit patterns of bf16 numbers, not the numbers.
    backward = "tf32" if is_interpreted() else rounding.backward
    return {
        "D_IN": spec.d_in,
        "D_OUT": spec.d_out,
        "H": padded_width(spec),
        "DEEP": spec.num_hidden == 3,
        "TILE": shape.tile,
        "DRAWS": config.points_per_step > 0,
        "FORWARD": rounding.forward,
        "BACKWARD": backward,
        "SUMS": rounding.sums,
        "THIN": rounding.inputs,
        "HELD": shape.held,
    }


def is_interpreted() -> bool:
    """Whether triton runs kernels on the CPU, for tests."""
    return isinstance(fit_kernel, InterpretedFunction)


def _num_programs(device: torch.device, num_inrs: int) -> int:
    if device.type != "cuda":
        return min(num_inrs, _PROGRAMS_INTERPRETED)
    processors = torch.cuda.get_device_properties(device).multi_processor_count
    return min(num_inrs, processors * _PROGRAMS_A_PROCESSOR)


@dataclass(frozen=True, kw_only=True, slots=True)
class KernelJob:
    """What all INRs of a batch share, on the device; planes of coordinates and of values."""

    spec: InrSpec
    config: FitConfig
    mode: Mode
    shape: Shape
    coords: Float[Tensor, "c d_in n"]
    values: Float[Tensor, "s d_out n"]
    schedule: Float[Tensor, "t 3"]

    @staticmethod
    def of(
        spec: InrSpec, config: FitConfig, batch: FitBatch, device: torch.device, mode: Mode
    ) -> "KernelJob":
        """Bring it there; the spec must have a shape in this mode."""
        shape = shape_of(spec, mode)
        assert shape is not None
        return KernelJob(
            spec=spec,
            config=config,
            mode=mode,
            shape=shape,
            coords=batch.coords.mT.contiguous().to(device),
            values=batch.values.mT.contiguous().to(device),
            schedule=torch.from_numpy(update_scalars(config)).float().to(device),
        )

    def run(
        self, flat: Float[Tensor, "b p"], signal_of: Int[Tensor, " b"], keys: Int[Tensor, " b"]
    ) -> tuple[Float[Tensor, "b p"], Float[Tensor, " b"], Int[Tensor, " b"]]:
        """Weights, final loss and number of updates, all on the device."""
        spec, config = self.spec, self.config
        theta = pack(spec, flat)
        num_programs = _num_programs(flat.device, len(flat))
        moments = flat.new_empty((0 if self.shape.held else num_programs, 2, *theta.shape[1:]))
        loss = flat.new_empty(len(flat))
        steps = torch.empty_like(loss, dtype=torch.int32)
        taken = steps.new_zeros(1)
        num_points = self.values.shape[2]
        shared = len(self.coords) == 1
        fit_kernel[(num_programs,)](
            theta,
            moments,
            loss,
            steps,
            taken,
            self.coords,
            self.values,
            signal_of,
            keys,
            self.schedule,
            len(flat),
            num_points,
            config.points_per_step or num_points,
            0 if shared else spec.d_in * num_points,
            config.num_steps,
            stop_loss(config, spec.value_width),
            spec.output_offset,
            spec.omega[0],
            spec.omega[1],
            spec.omega[-1],
            config.beta1,
            1.0 - config.beta1,
            config.beta2,
            1.0 - config.beta2,
            **constants(spec, config, self.mode, self.shape),
            **self.shape.options(),
        )
        return unpack(spec, theta), loss, steps.long()


def fit_fused(
    spec: InrSpec, config: FitConfig, batch: FitBatch, device: torch.device, mode: Mode
) -> FitResult:
    """Fit a batch by the kernel; the spec must have a shape in this mode."""
    if device.type != "cuda" and not is_interpreted():
        raise ValueError(f"device must be a CUDA device for engine 'gpu'; got {str(device)!r}")
    job = KernelJob.of(spec, config, batch, device, mode)
    rows = (batch.start.flat(), batch.signal_of, rng.fold(batch.keys, rng.hash_name("points")))
    parts = []
    for low in range(0, len(batch.start), _INRS_AT_ONCE):
        some = [part[low : low + _INRS_AT_ONCE].to(device) for part in rows]
        parts.append([part.cpu() for part in job.run(*some)])
    theta, final_loss, num_steps = (torch.cat(part) for part in zip(*parts, strict=True))
    return FitResult(
        params=Params.from_flat(spec, theta), final_loss=final_loss, num_steps=num_steps
    )
