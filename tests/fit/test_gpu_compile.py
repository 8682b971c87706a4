"""The kernel compiled for Hopper keeps all its state in registers."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
# The published networks in every mode, with drawn points, and the largest states of each width.
KERNELS = [
    "2-32-32-1:float32",
    "2-32-32-1:mixed",
    "2-32-32-1:tf32",
    "2-32-32-1:float32:256",
    "3-32-32-32-4:float32",
    "3-64-64-4:float32",
    "2-64-64-64-3:mixed",
]


@pytest.fixture(scope="module")
def compiled() -> dict[str, dict]:
    """Resources of each kernel, from another process: triton may interpret in this one."""
    if importlib.util.find_spec("triton") is None:
        pytest.skip("triton is not installed")
    found = importlib.util.find_spec("triton").submodule_search_locations[0]
    if not (Path(found) / "backends" / "nvidia" / "bin" / "cuobjdump").is_file():
        pytest.skip("this triton has no cuobjdump")
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.bench.resources", *KERNELS],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(KERNELS, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("kernel", KERNELS)
def test_no_register_is_spilled(compiled, kernel):
    found = compiled[kernel]
    assert found["stack_bytes"] == 0, found
    assert found["instructions"]["LDL"] == found["instructions"]["STL"] == 0, found
    # A Hopper program gets at most 227 KB; less than half lets two share a processor.
    assert found["shared_bytes"] < 113 * 1024


def test_rounded_products_use_matrix_instructions_and_float32_ones_do_not(compiled):
    def matrix(kernel: str) -> int:
        counts = compiled[kernel]["instructions"]
        return counts["HGMMA"] + counts["HMMA"]

    assert matrix("2-32-32-1:float32") == 0
    assert matrix("2-32-32-1:tf32") > 0
    assert matrix("2-32-32-1:mixed") > 0
