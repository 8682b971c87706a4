"""`inrgen learn-start` survives being killed, and `inrgen info` reads what it wrote."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

import inrgen
from inrgen.cli import main

OPTIONS = {
    "views": 2,
    "limit": 60,
    "hidden": (8, 8),
    "inner_steps": 2,
    "outer_steps": 120,
    "batch": 4,
}


def arguments(out: Path) -> list[str]:
    words = ["learn-start", "digits", "--out", str(out)]
    for name, value in OPTIONS.items():
        values = value if isinstance(value, tuple) else (value,)
        words += [f"--{name.replace('_', '-')}", *map(str, values)]
    return words


@pytest.fixture(scope="module")
def start_file(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("start") / "start.safetensors"
    start = inrgen.learn_start("digits", out=out, **OPTIONS)
    assert start.num_views == 2
    return out


def test_a_killed_run_goes_on_to_the_same_bytes(start_file, tmp_path):
    out = tmp_path / "start.safetensors"
    command = [sys.executable, "-m", "inrgen", *arguments(out)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    checkpoint = tmp_path / "start.checkpoint.safetensors"
    deadline = time.monotonic() + 120
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert checkpoint.exists()
    assert not out.exists(), "the run ended before it was killed"
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "2 starts of 2-8-8-1" in done.stdout
    assert "held-out items after 2 steps" in done.stderr
    assert out.read_bytes() == start_file.read_bytes()


def test_info_prints_the_facts_of_a_start(start_file, capsys):
    assert main(["info", str(start_file)]) == 0
    text = capsys.readouterr().out
    for line in ("starts: 2, for 2 gradient steps", "widths: 2 8 8 1", "guide: none"):
        assert line in text
    assert main(["info", str(start_file), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["facts"]["settings"]["views"] == 2
    assert document["sha256"] in text


def test_info_refuses_a_damaged_start_and_its_lineage(start_file, tmp_path, capsys):
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(start_file.read_bytes()[:-9])
    assert main(["info", str(cut)]) == 1
    assert "cut.safetensors is not a valid START file" in capsys.readouterr().err
    assert main(["info", str(start_file), "--lineage"]) == 1
    assert "lineage and crumbs are for stores" in capsys.readouterr().err


def test_a_wrong_command_gets_one_sentence(tmp_path, capsys):
    out = str(tmp_path / "start.safetensors")
    assert main(["learn-start", "digits", "--out", out, "--split", "test"]) == 2
    assert "split must be train" in capsys.readouterr().err
    shapes = ["mesh-folder", "--data", str(tmp_path)]
    (tmp_path / "chair" / "train").mkdir(parents=True)
    (tmp_path / "chair" / "train" / "1.off").write_text("OFF\n0 0 0\n")
    assert main(["learn-start", *shapes, "--out", out]) == 1
    assert "training items can be read" in capsys.readouterr().err
