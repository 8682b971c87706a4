"""Training from the command line: complete, killed and resumed, or refused in one sentence."""

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from inrgen.cli import main
from inrgen.training import curves
from inrgen.training.folder import RunLog
from tests.labelled import LabelledRows

INRGEN = str(Path(sys.executable).with_name("inrgen"))
QUICK = "--model mlp,hidden=16,layers=1 --views 2 --batch-size 24 --lr 0.01 --threads 1".split()


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return LabelledRows().build(tmp_path_factory.mktemp("train") / "store")


@pytest.fixture(autouse=True)
def same_threads():
    """Restore the number of threads that --threads changes."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def refusal(capsys, *argv: object) -> str:
    assert main([str(part) for part in argv]) == 1
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if not line.startswith("train:")]
    assert captured.out == ""
    assert len(lines) == 1, lines
    return lines[0]


def test_a_run_leaves_a_model_tables_curves_and_pictures(store, tmp_path, capsys):
    out = tmp_path / "run"
    more = ["--augment", "negation", "--mixup", "signed", "--epochs", "3", "--json"]
    assert main(["train", str(store), "--out", str(out), *QUICK, *more]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["status"] == "ok"
    assert said["items"] == [f"{item:05d}" for item in range(4, 60, 5)]
    assert sum(map(sum, said["confusion"])) == 12
    assert [Path(path).name for path in said["figures"]] == ["losses.png", "confusion.png"]
    for path in said["figures"]:
        with Image.open(path) as picture:
            assert min(picture.size) > 400
    lines = (out / "epochs.csv").read_text().splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("epoch,lr,train_loss,train_accuracy,val_loss")
    board = EventAccumulator(str(out / "tensorboard")).Reload()
    losses = [event.value for event in board.Scalars("test/loss")]
    assert losses == pytest.approx([log["test_loss"] for log in said["history"]])


def test_an_epoch_whose_log_was_cut_off_is_written_when_the_run_goes_on(
    store, tmp_path, capsys, monkeypatch
):
    out = tmp_path / "run"
    argv = ["train", str(store), "--out", str(out), *QUICK, "--epochs", "3"]
    write = RunLog.write

    def cut_off(self, history):
        if len(history) == 3:
            raise KeyboardInterrupt
        write(self, history)

    monkeypatch.setattr(RunLog, "write", cut_off)
    assert main(argv) == 130
    monkeypatch.undo()
    assert main(argv) == 0
    capsys.readouterr()
    assert len((out / "epochs.csv").read_text().splitlines()) == 4
    board = EventAccumulator(str(out / "tensorboard")).Reload()
    assert [event.step for event in board.Scalars("val/loss")] == [0, 1, 2]


def start(store: Path, out: Path) -> subprocess.Popen[str]:
    command = [INRGEN, "train", str(store), "--out", str(out), *QUICK, "--epochs", "40"]
    command += ["--mixup", "direct", "--augment", "noise:scale=0.1"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_epochs(out: Path, count: int, process: subprocess.Popen[str]) -> None:
    path = out / "epochs.csv"
    while process.poll() is None:
        if path.exists() and len(path.read_text().splitlines()) > count:
            return
        time.sleep(0.002)


@pytest.mark.slow
def test_a_killed_run_ends_in_the_network_of_one_that_never_was(store, tmp_path):
    whole = start(store, tmp_path / "whole")
    killed = tmp_path / "killed"
    for count, request in ((3, signal.SIGKILL), (11, signal.SIGTERM)):
        process = start(store, killed)
        wait_for_epochs(killed, count, process)
        process.send_signal(request)
        _, errors = process.communicate(timeout=300)
        assert process.returncode in (-signal.SIGKILL, 130), errors
        assert not (killed / "result.json").exists()
    assert errors.splitlines()[-1] == "inrgen train: stopped; run the same command again to go on"
    for process in (start(store, killed), whole):
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    one, other = (
        load_file(folder / "model.safetensors") for folder in (tmp_path / "whole", killed)
    )
    assert all(torch.equal(one[name], other[name]) for name in one)
    tables = [
        [line.split(",")[:9] for line in (folder / "epochs.csv").read_text().splitlines()]
        for folder in (tmp_path / "whole", killed)
    ]
    assert tables[0] == tables[1]


def test_a_run_that_cannot_be_is_refused_in_one_sentence(store, tmp_path, capsys):
    out = ["--out", tmp_path / "run", *QUICK, "--epochs", "1"]
    lone = LabelledRows(splits=("train",)).build(tmp_path / "lone")
    said = refusal(capsys, "train", lone, *out)
    assert said.endswith("lone has no val rows; give a store that has some as val")
    assert "there is no folder" in refusal(capsys, "train", tmp_path / "gone", *out)
    blank = LabelledRows(classes=-1).build(tmp_path / "blank")
    assert "have no label" in refusal(capsys, "train", blank, *out)
    assert "inrgen stats" in refusal(capsys, "train", store, *out, "--statistics", "store")
    assert "device must be auto" in refusal(capsys, "train", store, *out, "--device", "tpu")
    assert not (tmp_path / "run").exists()


def test_losses_that_are_not_finite_end_a_run_with_status_one(store, tmp_path, capsys):
    argv = ["train", str(store), "--out", str(tmp_path / "run"), *QUICK, "--lr", "1e30"]
    assert main([*argv, "--epochs", "5"]) == 1
    assert "training stopped: The loss is NaN or infinite at epoch" in capsys.readouterr().err


def test_statistics_that_the_store_keeps_are_used(tmp_path, capsys):
    store = LabelledRows(views=2).build(tmp_path / "store")
    assert main(["stats", str(store)]) == 0
    argv = ["train", str(store), *QUICK, "--epochs", "1"]
    means = []
    for source in ("rows", "store"):
        out = tmp_path / f"by {source}"
        assert main([*argv, "--out", str(out), "--statistics", source]) == 0
        means.append(load_file(out / "model.safetensors")["mean"])
    torch.testing.assert_close(*means)


def test_wandb_gets_the_curves_of_the_table_and_goes_on_with_them(
    store, tmp_path, capsys, monkeypatch
):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    out, sent = tmp_path / "run", []
    argv = ["train", str(store), "--out", str(out), *QUICK, "--logger", "wandb"]
    add = curves._WandbCurves.add

    def note(self, epoch, metrics):
        sent.append((self._run.id, epoch, metrics))
        add(self, epoch, metrics)
        if len(sent) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(curves._WandbCurves, "add", note)
    assert main([*argv, "--epochs", "3"]) == 130
    assert main([*argv, "--epochs", "3"]) == 0
    # The epoch at which the run was stopped is sent again, since it may not have been written.
    assert [epoch for _, epoch, _ in sent] == [0, 1, 1, 2]
    assert len({run for run, _, _ in sent}) == 1
    last = list(csv.DictReader((out / "epochs.csv").read_text().splitlines()))[-1]
    assert sent[-1][2]["val/loss"] == pytest.approx(float(last["val_loss"]))
    assert not (out / "tensorboard").exists()
    assert list(out.glob("wandb/offline-run-*"))


def test_a_refusal_of_wandb_is_one_sentence(store, tmp_path, capsys, monkeypatch):
    wandb = pytest.importorskip("wandb")
    from wandb.errors import UsageError

    def refuse(**options):
        raise UsageError("No API key configured.")

    monkeypatch.setattr(wandb, "init", refuse)
    argv = ["train", str(store), "--out", str(tmp_path / "run"), *QUICK, "--logger", "wandb"]
    assert main(argv) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("inrgen train: logger wandb failed: No API key configured; WANDB_MODE")


def test_without_wandb_a_sentence_says_what_to_install(store, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    argv = ["train", str(store), "--out", str(tmp_path / "run"), *QUICK, "--logger", "wandb"]
    assert main(argv) == 1
    assert "pip install 'inrgen[wandb]'" in capsys.readouterr().err
