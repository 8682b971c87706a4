"""GPU check: everything that needs a GPU, in one command and in under ten minutes.

    python -m pipelines.bench.gpu_check --data DIR --out JSON

It checks the kernel against float64, compares its PSNR with torch's on real images, and measures
speed, share of peak, memory and the whole Fashion-MNIST job. Then it compares transforms, alignment
and networks on the card with the CPU's. DIR holds FashionMNIST/raw with the four official files.

The check needs torch, triton and jaxtyping (numba for alignment), and no network. A failed section
is reported with its error, the others go on, and the exit status is 1. Without a CUDA device the
exit status is 2. `--dry` runs every section at toy size on the CPU, through triton's interpreter,
to show that the command works; its figures mean nothing.
"""

import argparse
import importlib.util
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from pipelines.bench.gpu_setting import Row, Section, Setting


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """Outcome of one section; error is "" where it passed."""

    name: str
    rows: "list[Row]"
    seconds: float
    error: str = ""


def sections() -> "dict[str, Section]":
    """List the sections by name, in order: correctness first, then speed.

    They are imported here because triton decides at import whether to interpret.
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
    """Run one section; an exception becomes its outcome, so that the others go on."""
    began = time.perf_counter()
    if out_of_time:
        return Outcome(
            name=name, rows=[], seconds=0.0, error="not started: the time limit was reached"
        )
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
    """Print rows as a table with a column for each key of any row."""
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
    """Conditions of the measurement: command, date, card and versions."""
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


def _no_public_name(name: str) -> None:
    raise AttributeError(name)


def _replace_missing_lazy_loader() -> None:
    """Replace lazy_loader where it is not installed, before any package of inrgen is imported.

    Packages use it to offer their public names. The check imports modules by their full names, so
    packages without public names are enough.
    """
    if importlib.util.find_spec("lazy_loader") is None:
        replacement = ModuleType("lazy_loader")
        replacement.__dict__["attach_stub"] = lambda name, file: (_no_public_name, list, [])
        sys.modules["lazy_loader"] = replacement


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    # argparse, not tyro: a GPU machine may have torch and triton and little else.
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.bench.gpu_check", description="Check and measure the GPU engine."
    )
    parser.add_argument("--data", type=Path, help="folder that holds FashionMNIST/raw")
    parser.add_argument("--out", type=Path, help="also write everything to this JSON file")
    parser.add_argument("--minutes", type=float, default=10.0, help="start no section later")
    parser.add_argument("--device", default="cuda", help="the CUDA device")
    parser.add_argument("--dry", action="store_true", help="toy sizes on the CPU, interpreted")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Run the check; return 0 if all is well, 1 if a section failed, 2 without a GPU."""
    arguments = _arguments(argv)
    if arguments.dry:
        os.environ["TRITON_INTERPRET"] = "1"
    elif not torch.cuda.is_available():
        print("gpu_check needs a CUDA device and this machine has none; --dry tries it without.")
        return 2
    _replace_missing_lazy_loader()
    from pipelines.bench.gpu_setting import Setting

    device = "cpu" if arguments.dry else arguments.device
    setting = Setting(device=device, dry=arguments.dry, data=arguments.data)
    about = facts(setting)
    print("  ".join(f"{key}: {value}" for key, value in about.items()))
    if setting.dry:
        print("Toy sizes, interpreted: these figures show that the check works, and nothing else.")
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
