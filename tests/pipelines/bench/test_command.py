"""The bench's command line: one JSON document, one sentence for an error, light help."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.bench.__main__ import VERBS

PROJECT = Path(__file__).resolve().parents[3]
SMALL = ("--models", "mlp,hidden=8", "--hidden", "3", "--batch-size", "2", "--repeats", "1")
HEAVY = ("torch", "zarr", "pyarrow", "ray", "dask", "numba", "scipy", "matplotlib")


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipelines.bench", *arguments]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_every_verb_has_its_config_and_function(verb):
    module = importlib.import_module(verb.module)
    assert "Attributes:" in getattr(module, verb.config).__doc__
    assert callable(getattr(module, verb.function))


def test_json_is_one_document_with_a_row_for_each_network():
    done = bench("train", *SMALL, "--device", "cpu", "--json")
    assert done.returncode == 0, done.stderr
    assert [row["model"] for row in json.loads(done.stdout)] == ["mlp,hidden=8"]
    assert "mlp,hidden=8" in done.stderr


def test_a_wrong_value_is_one_sentence_and_exit_status_2():
    done = bench("jobs", "--rows", "0")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "python -m pipelines.bench jobs: --rows must be positive; got 0\n"


@pytest.mark.parametrize(
    "name", ["fit", "align", "load", "jobs", "train", "scale", "attack", "interrupts"]
)
def test_options_import_nothing_heavy(name):
    code = f"import sys, pipelines.bench.{name}; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
