"""Resources of the GPU kernel on Hopper: registers, memory, spills. Needs triton, but no GPU.

    python -m pipelines.bench.resources 2-32-32-1:float32 2-32-32-1:tf32

compiles the kernel for each job and prints a JSON list. TRITON_INTERPRET must not be set.
"""

import json
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from inrgen.core.spec import CoordOrder, InrSpec
from inrgen.fit.config import FitConfig
from inrgen.fit.gpu_launch import constants, shape_of
from inrgen.kernels.gpu_fit import fit_kernel
from inrgen.kernels.gpu_layout import Mode

_CUOBJDUMP = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
_HOPPER = GPUTarget("cuda", 90, 32)
_POINTERS = {"steps_ptr": "*i32", "next_ptr": "*i32", "signal_ptr": "*i64", "key_ptr": "*i64"}
_WHOLE = ("num_inrs", "num_points", "num_used", "coords_step", "num_steps")
# Matrix products of a warpgroup and of a warp, multiply-adds, and spills to local memory.
_COUNTED = ("HGMMA", "HMMA", "FFMA", "LDL", "STL")


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """Resources of one program: registers per thread, memory, and instructions by name."""

    job: str
    mode: str
    registers: int
    stack_bytes: int
    shared_bytes: int
    instructions: dict[str, int]


def spec_of_job(job: str) -> InrSpec:
    """Make a spec with the widths of a job such as 2-32-32-1 and the published frequencies."""
    widths = tuple(int(width) for width in job.split("-"))
    order = cast(CoordOrder, ("x", "xy", "xyz")[widths[0] - 1])
    return InrSpec(
        widths=widths,
        omega=(30.0,) * (len(widths) - 2),
        coord_order=order,
        coord_center=(0.0,) * widths[0],
        output_offset=0.5,
    )


def _kind(name: str, compiled_for: dict[str, Any]) -> str:
    """Argument type in triton's notation."""
    if name in compiled_for:
        return "constexpr"
    if name.endswith("_ptr"):
        return _POINTERS.get(name, "*fp32")
    return "i32" if name in _WHOLE else "fp32"


def _dump(cubin: bytes, what: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(cubin)
        done = subprocess.run([_CUOBJDUMP, what, path], capture_output=True, text=True, check=True)
    return done.stdout


def measure(job: str, mode: Mode, points_per_step: int = 0) -> Resources:
    """Compile the kernel for a job and read its resources."""
    spec = spec_of_job(job)
    shape = shape_of(spec, mode)
    if shape is None:
        raise ValueError(f"job must be one that the kernel takes in mode {mode}; got {job}")
    compiled_for = constants(spec, FitConfig(points_per_step=points_per_step), mode, shape)
    names = fit_kernel.arg_names
    # Tensors start at multiples of 16 bytes, and launches declare it.
    aligned = {(i,): [["tt.divisibility", 16]] for i, n in enumerate(names) if n.endswith("_ptr")}
    source = ASTSource(
        fn=fit_kernel,
        signature={name: _kind(name, compiled_for) for name in names},
        constexprs=compiled_for,
        attrs=aligned,
    )
    kernel = cast(Any, triton.compile(source, target=_HOPPER, options=shape.options()))
    usage = _dump(kernel.asm["cubin"], "--dump-resource-usage")
    code = _dump(kernel.asm["cubin"], "--dump-sass")
    found = dict(re.findall(r"(REG|STACK|LOCAL):(\d+)", usage))
    return Resources(
        job=job,
        mode=mode,
        registers=int(found["REG"]),
        stack_bytes=int(found["STACK"]) + int(found["LOCAL"]),
        shared_bytes=kernel.metadata.shared,
        instructions={name: len(re.findall(rf"\b{name}\b", code)) for name in _COUNTED},
    )


def main(arguments: list[str]) -> None:
    """Print the resources of each JOB:MODE or JOB:MODE:POINTS_PER_STEP."""
    parts = [argument.split(":") for argument in arguments]
    rows = [measure(part[0], cast(Mode, part[1]), int((*part, "0")[2])) for part in parts]
    print(json.dumps([asdict(row) for row in rows], indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
