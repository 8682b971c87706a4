"""Everything that needs a GPU, in one command and in under ten minutes.

    python -m pipelines.bench.gpu_check --data DIR --out JSON

checks the kernel against float64, sets its PSNR beside torch's on real images, and measures speed,
share of peak, memory and the whole Fashion-MNIST job; then transforms, alignment and networks on
the card beside the CPU's. DIR holds FashionMNIST/raw with the four official files. It needs torch,
triton and jaxtyping (numba for alignment), and no network. A section that fails is reported with
its error and the others go on; the exit status is then 1. Without a CUDA device it says so and
exits with 2.
`--dry` runs every section at toy size on the CPU, through triton's interpreter, to show that the
command itself works; its figures mean nothing.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from pipelines.bench.gpu_setting import Row, Section, Setting


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """One section: its rows, how long it took, and why it failed ("" where it did not)."""

    name: str
    rows: "list[Row]"
    seconds: float
    error: str = ""


def sections() -> "dict[str, Section]":
    """Every part of the check by name, in order: first whether it is right, then how fast.

    Imported only now, because triton decides at import whether it will interpret.
    """
    from pipelines.bench.gpu_correctness import behaviour, correctness
    from pipelines.bench.gpu_quality import quality
    from pipelines.bench.gpu_speed import speed, whole_job
    from pipelines.bench.gpu_training import training
    from pipelines.bench.gpu_weights import alignment, transforms

    return {
        "correctness against float64": correctness,
        "behaviour": behaviour,
        "PSNR beside torch": quality,
        "speed and memory": speed,
        "whole Fashion-MNIST job": whole_job,
        "transforms": transforms,
        "alignment": alignment,
        "training": training,
    }


def run_section(name: str, section: "Section", setting: "Setting", out_of_time: bool) -> Outcome:
    """Run one section; whatever goes wrong in it is its outcome, and the others go on."""
    began = time.perf_counter()
    if out_of_time:
        return Outcome(name=name, rows=[], seconds=0.0, error="not started: the minutes were up")
    try:
        rows = section(setting)
    except Exception as error:
        seconds = time.perf_counter() - began
        return Outcome(
            name=name, rows=[], seconds=seconds, error=f"{type(error).__name__}: {error}"
        )
    bad = sum(row.get("ok") is False for row in rows)
    error = f"{bad} of {len(rows)} rows are out of bounds" if bad and not setting.dry else ""
    return Outcome(name=name, rows=rows, seconds=time.perf_counter() - began, error=error)


def format_rows(rows: "Sequence[Row]") -> str:
    """A table with a column for each key of any row."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, *([_text(row.get(name, "")) for name in names] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(names))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _text(value: str | float | bool) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def facts(setting: "Setting") -> dict[str, str]:
    """What the figures were measured with."""
    import triton

    on_gpu = setting.device != "cpu"
    return {
        "command": "python -m pipelines.bench.gpu_check" + (" --dry" if setting.dry else ""),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "card": torch.cuda.get_device_name(setting.device) if on_gpu else "none",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "triton": triton.__version__,
    }


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    # argparse, not tyro: the machine this is for may have torch and triton and little else.
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.bench.gpu_check", description="Check and measure the GPU engine."
    )
    parser.add_argument("--data", type=Path, help="folder that holds FashionMNIST/raw")
    parser.add_argument("--out", type=Path, help="write everything to this JSON file, too")
    parser.add_argument("--minutes", type=float, default=10.0, help="start no section after these")
    parser.add_argument("--device", default="cuda", help="which CUDA device")
    parser.add_argument("--dry", action="store_true", help="toy sizes on the CPU, interpreted")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Run it; 0 where all is well, 1 where a section failed, 2 where there is no GPU."""
    arguments = _arguments(argv)
    if arguments.dry:
        os.environ["TRITON_INTERPRET"] = "1"
    elif not torch.cuda.is_available():
        print("gpu_check needs a CUDA device and this machine has none; --dry tries it without.")
        return 2
    from pipelines.bench.gpu_setting import Setting

    device = "cpu" if arguments.dry else arguments.device
    setting = Setting(device=device, dry=arguments.dry, data=arguments.data)
    about = facts(setting)
    print("  ".join(f"{key}: {value}" for key, value in about.items()))
    if setting.dry:
        print("Toy sizes, interpreted: these figures say that the check works, and nothing else.")
    began = time.perf_counter()
    outcomes: list[Outcome] = []
    for name, section in sections().items():
        late = time.perf_counter() - began > 60.0 * arguments.minutes
        outcome = run_section(name, section, setting, late)
        outcomes.append(outcome)
        verdict = f"FAILED: {outcome.error}" if outcome.error else "ok"
        print(f"\n{name} ({outcome.seconds:.1f} s): {verdict}\n{format_rows(outcome.rows)}")
        if arguments.out is not None:
            content = {**about, "sections": [asdict(outcome) for outcome in outcomes]}
            arguments.out.write_text(json.dumps(content, indent=1) + "\n")
    return 1 if any(outcome.error for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
