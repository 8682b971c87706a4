"""Launch the GPU fit kernel on a batch: rounding of products, tile sizes, memory.

This file imports triton, so gpu_engine imports it only when it fits.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from triton.runtime.interpreter import InterpretedFunction

from inrgen.core import rng
from inrgen.core.spec import InrSpec
from inrgen.fit.config import FitConfig, stop_loss, update_scalars
from inrgen.fit.engine import FitBatch, FitResult, join_parts
from inrgen.kernels.gpu_fit import fit_kernel
from inrgen.kernels.gpu_layout import Mode, pack, padded_width, unpack

# Rows that go to the device at once: half a gigabyte for the smallest networks.
_INRS_AT_ONCE = 1 << 16
# More programs than can run at once do no harm: a late one finds the work done.
_PROGRAMS_A_PROCESSOR = 8
_PROGRAMS_INTERPRETED = 2
# The limit of a thread on every NVIDIA GPU since 2013.
_MAX_REGISTERS = 255


@dataclass(frozen=True, kw_only=True, slots=True)
class Rounding:
    """Rounding of the operands of each kind of product.

    forward and backward are the products with hidden weights, inputs those of the first layer,
    and sums the gradients of the first layer, the last layer and the biases. "ieee" is plain
    float32; "tf32x3" comes close with three tf32 products. Accumulation is always in float32.
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
    """Points of a tile, warps of a program, and whether its registers hold Adam's moments.

    If registers are too few for the moments, each program keeps them in its own few kilobytes of
    memory. It reads and writes them once a step, and they stay in cache.
    """

    tile: int
    warps: int
    held: bool = True

    def options(self) -> dict[str, Any]:
        """Triton's compile options, chosen so that it spills no register.

        There is one stage because loads are few and several in flight take registers. Without
        maxnreg the assembler spills registers when that lets one more program run.
        """
        return {"num_warps": self.warps, "num_stages": 1, "maxnreg": _MAX_REGISTERS}


# By H and hidden layers: the largest shapes for which the compiler spills nothing for any number
# of inputs and outputs. test_gpu_compile checks that.
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
    """The shape for a spec that fits the layout; None if every shape would spill."""
    size = (padded_width(spec.widths), spec.num_hidden)
    if mode == "float32":
        return _FLOAT32_SHAPES.get(size)
    # With one output there are registers for a larger tile.
    if spec.d_out == 1 and size in _ROUNDED_SHAPES_ONE_OUTPUT:
        return _ROUNDED_SHAPES_ONE_OUTPUT[size]
    return _ROUNDED_SHAPES.get(size)


def constants(spec: InrSpec, config: FitConfig, mode: Mode, shape: Shape) -> dict[str, Any]:
    """The compile-time constants of the kernel."""
    rounding = ROUNDINGS[mode]
    # Triton's interpreter multiplies the bit patterns of bf16 numbers instead of the numbers.
    backward = "tf32" if is_interpreted() else rounding.backward
    return {
        "D_IN": spec.d_in,
        "D_OUT": spec.d_out,
        "H": padded_width(spec.widths),
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
    """Tell whether triton interprets kernels on the CPU, for tests."""
    return isinstance(fit_kernel, InterpretedFunction)


def _num_programs(device: torch.device, num_inrs: int) -> int:
    if device.type != "cuda":
        # two, so that tests see programs share the work
        return min(num_inrs, _PROGRAMS_INTERPRETED)
    processors = torch.cuda.get_device_properties(device).multi_processor_count
    return min(num_inrs, processors * _PROGRAMS_A_PROCESSOR)


@dataclass(frozen=True, kw_only=True, slots=True)
class KernelJob:
    """The data that all INRs of a batch share, on the device, with points along the last axis."""

    spec: InrSpec
    config: FitConfig
    mode: Mode
    shape: Shape
    coords: Float[Tensor, "c d_in n"]
    values: Float[Tensor, "s d_out n"]
    schedule: Float[Tensor, "t 3"]

    @staticmethod
    def from_batch(
        spec: InrSpec, config: FitConfig, batch: FitBatch, device: torch.device, mode: Mode
    ) -> "KernelJob":
        """Move a batch to the device; the spec must have a shape in this mode."""
        shape = shape_of(spec, mode)
        assert shape is not None
        return KernelJob(
            spec=spec,
            config=config,
            mode=mode,
            shape=shape,
            # Points last: neighbouring threads then load neighbouring points.
            coords=batch.coords.mT.contiguous().to(device),
            values=batch.values.mT.contiguous().to(device),
            schedule=torch.from_numpy(update_scalars(config)).float().to(device),
        )

    def run(
        self, flat: Float[Tensor, "b p"], signal_of: Int[Tensor, " b"], keys: Int[Tensor, " b"]
    ) -> tuple[Float[Tensor, "b p"], Float[Tensor, " b"], Int[Tensor, " b"]]:
        """Weights, final loss and number of updates, all on the device."""
        spec, config = self.spec, self.config
        theta = pack(spec.widths, flat)
        num_programs = _num_programs(flat.device, len(flat))
        # The kernel takes zeros at the first update, so this memory needs no initialisation.
        moments = flat.new_empty((0 if self.shape.held else num_programs, 2, *theta.shape[1:]))
        loss = flat.new_empty(len(flat))
        steps = torch.empty_like(loss, dtype=torch.int32)
        next_inr = steps.new_zeros(1)
        num_points = self.values.shape[2]
        shared = len(self.coords) == 1
        fit_kernel[(num_programs,)](
            theta,
            moments,
            loss,
            steps,
            next_inr,
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
            # with two hidden layers the kernel does not use the third frequency
            spec.omega[1],
            spec.omega[-1],
            config.beta1,
            1.0 - config.beta1,
            config.beta2,
            1.0 - config.beta2,
            **constants(spec, config, self.mode, self.shape),
            **self.shape.options(),
        )
        return unpack(spec.widths, theta), loss, steps.long()


def fit_fused(
    spec: InrSpec, config: FitConfig, batch: FitBatch, device: torch.device, mode: Mode
) -> FitResult:
    """Fit a batch with the kernel; the spec must have a shape in this mode."""
    if device.type != "cuda" and not is_interpreted():
        raise ValueError(f"device must be a CUDA device for engine 'gpu'; got {str(device)!r}")
    # Coordinates, values and schedule go to the device once, rows part by part.
    job = KernelJob.from_batch(spec, config, batch, device, mode)
    rows = (batch.start.flat(), batch.signal_of, rng.fold(batch.keys, rng.hash_name("points")))
    parts = []
    for low in range(0, len(batch.start), _INRS_AT_ONCE):
        some = [part[low : low + _INRS_AT_ONCE].to(device) for part in rows]
        parts.append([part.cpu() for part in job.run(*some)])
    return join_parts(spec, parts)
