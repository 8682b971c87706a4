"""The GPU check, tried without a GPU and with little installed."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pipelines.bench.gpu_check import format_rows, run_section

PROJECT = Path(__file__).resolve().parents[2]
# Packages that a machine with torch and triton may lack.
ABSENT = (
    "dask",
    "h5py",
    "lazy_loader",
    "matplotlib",
    "numba",
    "obstore",
    "PIL",
    "pyarrow",
    "ray",
    "safetensors",
    "scipy",
    "sklearn",
    "tqdm",
    "trimesh",
    "torchvision",
    "tyro",
    "zarr",
)
# A finder that knows none of them, so that neither an import nor find_spec finds them.
HIDE = f"""
import sys
from importlib.machinery import PathFinder

class Bare(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] not in {ABSENT}:
            return super().find_spec(name, path, target)

sys.meta_path = [Bare if finder is PathFinder else finder for finder in sys.meta_path]
"""
RUN_WITHOUT = f"""{HIDE}
from pipelines.bench.gpu_check import main
sys.exit(main(sys.argv[1:]))
"""
SECTIONS = [
    "correctness against float64",
    "behaviour",
    "PSNR beside torch",
    "speed and memory",
    "whole Fashion-MNIST job",
    "transforms",
    "alignment",
    "training",
]


def run_check(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", RUN_WITHOUT, *arguments],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_dry_run_goes_through_every_section_with_torch_and_triton_alone(tmp_path):
    if importlib.util.find_spec("triton") is None:
        pytest.skip("triton is not installed")
    out = tmp_path / "check.json"
    done = run_check("--dry", "--out", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(out.read_text())
    assert [section["name"] for section in found["sections"]] == SECTIONS
    for section in found["sections"]:
        assert section["rows"], section
        assert section["error"] == ""
        assert section["name"] in done.stdout
    gaps = [row["gap_5_steps"] for row in found["sections"][0]["rows"]]
    assert 0.0 < max(gaps) < 1e-4


def test_without_a_gpu_it_says_so_in_one_sentence_and_exits_with_2():
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    done = run_check()
    assert done.returncode == 2
    assert done.stdout.count("\n") == 1
    assert "needs a CUDA device" in done.stdout
    assert done.stderr == ""


class Outside:
    """The part of a setting that run_section reads."""

    dry = False


def test_a_section_that_raises_is_reported_and_not_raised():
    def broken(setting):
        raise RuntimeError("the card is on fire")

    outcome = run_section("broken", broken, Outside(), out_of_time=False)
    assert outcome.error == "RuntimeError: the card is on fire"


def test_a_row_out_of_bounds_fails_its_section_and_keeps_its_figures():
    rows = [{"gap": 1.0, "ok": False}, {"gap": 0.0, "ok": True}]
    outcome = run_section("wrong", lambda setting: rows, Outside(), out_of_time=False)
    assert outcome.error == "1 of 2 rows are out of bounds"
    assert outcome.rows == rows


def test_no_section_starts_when_the_minutes_are_up():
    outcome = run_section("late", lambda setting: [{}], Outside(), out_of_time=True)
    assert outcome.error.startswith("not started")


def test_a_table_has_a_column_for_each_key_of_any_row():
    lines = format_rows([{"a": 1.0}, {"b": "two"}]).splitlines()
    assert [line.split() for line in lines] == [["a", "b"], ["1"], ["two"]]
