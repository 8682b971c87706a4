"""The whole command at its smallest: real stores, real trainings, resumed."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from inrgen.store.reader import open_store
from inrgen.train.checkpoint import epochs_done
from pipelines.augmentation_study import execute
from pipelines.augmentation_study.__main__ import StudyConfig, main, study
from pipelines.augmentation_study.execute import Setting
from pipelines.augmentation_study.results import Run, read_outcomes
from pipelines.augmentation_study.rows import Row, plan_rows
from pipelines.augmentation_study.scales import scale
from pipelines.augmentation_study.stores import Places, aligned_like_train, row_data
from pipelines.val_split import with_val

PROJECT = Path(__file__).resolve().parents[3]
STUDY = (sys.executable, "-m", "pipelines.augmentation_study")
ROWS = (
    "images-dws-1v-none",
    "images-signed-3v-signed_mixup",
    "images-mlp-1v-none-signed_template",
    "images-dws-3v-none-contrast_linear",
    "recipe-fast",
)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """A study that was begun with two rows, in one process and on one thread."""
    folder = tmp_path_factory.mktemp("study")
    threads = torch.get_num_threads()
    study(StudyConfig(out=folder, rows=ROWS[:2], threads=1))
    torch.set_num_threads(threads)
    return folder


@pytest.mark.slow
def test_a_study_goes_on_and_each_row_answers_for_the_same_items(out):
    threads = torch.get_num_threads()
    before = {one.run.run_id: repr(one) for one in read_outcomes(out, scale("tiny"))}
    assert len(before) == 2
    said = study(StudyConfig(out=out, rows=ROWS, threads=1))
    torch.set_num_threads(threads)
    assert said.startswith("ran 3 runs, 0 left; 5 results, 0 of them failed")
    found = {one.run.run_id: one for one in read_outcomes(out, scale("tiny"))}
    assert before == {run_id: repr(found[run_id]) for run_id in before}
    items = {one.result.items for one in found.values() if one.result}
    assert len(items) == 1
    assert (out / "report-tiny.html").exists()


@pytest.mark.slow
def test_a_training_cut_off_ends_as_if_it_had_not_been(out, tmp_path, monkeypatch):
    (row,) = (row for row in plan_rows(3, 2) if row.row_id == ROWS[0])
    run, tiny = Run(row=row, seed=0), scale("tiny")
    (whole,) = (one for one in read_outcomes(out, tiny) if one.run == run)
    setting = Setting(scale=tiny, places=Places(out=out), device="cpu", threads=1)

    def cut(name, epochs):
        def told(done):
            if done.epoch == 1:
                raise KeyboardInterrupt

        return told

    threads = torch.get_num_threads()
    with monkeypatch.context() as patched:
        patched.setattr(execute, "_teller", cut)
        with pytest.raises(KeyboardInterrupt):
            execute.execute(setting, run, tmp_path)
    (kept,) = tmp_path.iterdir()
    assert epochs_done(kept) == 2
    ended = execute.execute(setting, run, tmp_path)
    torch.set_num_threads(threads)
    assert ended.result.predicted == whole.result.predicted
    losses = [[log.train_loss for log in one.result.history] for one in (ended, whole)]
    assert losses[0] == losses[1]
    assert len(losses[0]) > 2


@pytest.mark.slow
def test_all_splits_are_carried_to_the_template_of_train(out):
    tiny = scale("tiny")
    data = row_data(Places(out=out), tiny, Row(aligned="signed"))
    paths = {"train": data.train, "val": data.val, "test": data.test}
    assert all(path.name.endswith("-signed") for path in paths.values())
    raw = {split: path.parent / split for split, path in paths.items()}
    assert aligned_like_train(raw, "signed") == paths


@pytest.mark.slow
def test_shapes_get_a_validation_split_of_training_items_alone(out, tmp_path):
    given = out / "digits" / "train"
    made = with_val(given, tmp_path / "shapes")
    assert with_val(given, made) == made
    old, new = (open_store(path).records.to_table().to_pylist() for path in (given, made))
    moved = {new_row["item_id"] for new_row in new if new_row["split"] == "val"}
    assert 0 < len(moved) < 60
    assert all((row["item_id"] in moved) == (row["split"] == "val") for row in new)
    rows = range(len(old))
    assert torch.equal(open_store(given).read(rows).flat(), open_store(made).read(rows).flat())


def test_what_cannot_be_run_is_one_sentence(tmp_path):
    done = subprocess.run(
        [*STUDY, "--scale", "small", "--out", str(tmp_path / "none"), "--rows", "nonsense"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "rows needs patterns of row names" in done.stderr


@pytest.mark.parametrize("name", ["lr", "steps", "jobs", "budget-min"])
def test_a_number_that_cannot_be_is_one_sentence(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["study", f"--{name}", "-1"])
    assert main() == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert name.replace("-", "_") in said
    assert "got -1" in said
