"""The whole command at its smallest scale: real stores and trainings, resumed."""

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from inrgen.store.errors import DamagedStore, StoreBusy
from inrgen.store.writer import StoreWriter
from inrgen.training.folder import count_epochs
from pipelines.augmentation_study import execute, stores
from pipelines.augmentation_study.__main__ import StudyConfig, main, study
from pipelines.augmentation_study.execute import Setting
from pipelines.augmentation_study.results import Run, read_outcomes
from pipelines.augmentation_study.rows import Row, plan_rows
from pipelines.augmentation_study.scales import scale
from pipelines.augmentation_study.schedule import Tally
from pipelines.augmentation_study.stores import Places, align_like_train, obstacle, run_data
from tests.made_up import MadeUp

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
    """Begin a study with two rows, in one process and on one thread."""
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
    assert not said.failed
    assert said.text().startswith("ran 3 runs, 0 left; 5 results, 0 of them failed")
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
        patched.setattr(execute, "_progress_teller", cut)
        with pytest.raises(KeyboardInterrupt):
            execute.execute(setting, run, tmp_path)
    (kept,) = tmp_path.iterdir()
    assert count_epochs(kept) == 2
    ended = execute.execute(setting, run, tmp_path)
    torch.set_num_threads(threads)
    assert ended.result.predicted == whole.result.predicted
    losses = [[log.train_loss for log in one.result.history] for one in (ended, whole)]
    assert losses[0] == losses[1]
    assert len(losses[0]) > 2


@pytest.mark.slow
def test_all_splits_are_carried_to_the_template_of_train_and_once_finished_lock_nothing(out):
    tiny = scale("tiny")
    data = run_data(Places(out=out), tiny, Run(row=Row(aligned="signed"), seed=0))
    paths = {"train": data.train, "val": data.val, "test": data.test}
    assert all(path.name.endswith("-signed") for path in paths.values())
    raw = {split: path.parent / split for split, path in paths.items()}
    with ExitStack() as held:
        for path in paths.values():
            held.enter_context(StoreWriter(path))
        assert align_like_train(raw, "signed") == paths


def test_rows_of_a_store_that_is_not_finished_wait_for_it(tmp_path):
    made = MadeUp()
    made.build(tmp_path / "modelnet_like", num_blocks=1)
    places, row = Places(out=tmp_path, shapes=tmp_path), Row(corpus="modelnet_like")
    assert "not finished" in obstacle(places, row)
    made.build(tmp_path / "modelnet_like")
    assert obstacle(places, row) == ""


@pytest.fixture
def setting(tmp_path):
    return Setting(scale=scale("tiny"), places=Places(out=tmp_path), device="cpu", threads=0)


@pytest.mark.parametrize(
    ("failure", "transient"),
    [
        (ValueError("rows do not fit"), False),
        (DamagedStore("a shard is lost"), True),
        (OSError("disk full"), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (MemoryError("no memory"), True),
    ],
)
def test_only_errors_of_the_row_end_it(failure, transient, setting, tmp_path, monkeypatch):
    def fail(*_):
        raise failure

    monkeypatch.setattr(execute, "run_data", fail)
    ended = execute.execute(setting, Run(row=Row(), seed=0), tmp_path)
    assert (ended.error, ended.transient) == (f"{type(failure).__name__}: {failure}", transient)


def test_a_run_waits_for_the_store_that_another_process_makes(setting, tmp_path, monkeypatch):
    asked = []

    def busy_at_first(*_):
        asked.append("data")
        raise StoreBusy("busy") if len(asked) < 3 else ValueError("then it was free")

    monkeypatch.setattr(execute, "run_data", busy_at_first)
    monkeypatch.setattr(stores, "_LOOK_S", 0.0)
    ended = execute.execute(setting, Run(row=Row(), seed=0), tmp_path)
    assert (len(asked), ended.error) == (3, "ValueError: then it was free")


def test_waiting_is_told_now_and_then(monkeypatch, capsys):
    turns = iter(range(100))

    def make():
        if next(turns) < 50:
            raise StoreBusy("another process is writing to it")
        return "made"

    clock = iter(range(0, 1000, 3))
    monkeypatch.setattr(stores.time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(stores.time, "sleep", lambda _: None)
    assert stores.wait_for_store(make) == "made"
    told = capsys.readouterr().err
    assert "waiting: another process is writing to it\n" in told
    assert 2 <= told.count("\n") <= 5


@pytest.mark.parametrize(("failed", "code"), [(0, 0), (1, 1)])
def test_a_command_whose_runs_failed_exits_1(failed, code, tmp_path, monkeypatch, capsys):
    tally = Tally(done=0, left=failed, failed=failed, transient=failed)
    monkeypatch.setattr("pipelines.augmentation_study.__main__.run_pending", lambda *_: tally)
    monkeypatch.setattr(sys, "argv", ["study", "--out", str(tmp_path), "--rows", "recipe-fast"])
    assert main() == code
    assert ("will be tried again" in capsys.readouterr().out) == bool(failed)


def test_a_device_that_is_not_there_is_one_sentence_and_no_result(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["study", "--out", str(tmp_path / "out"), "--device", "gpu"])
    assert main() == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "device must be auto, cpu, cuda or cuda:N; got 'gpu'" in said
    assert not (tmp_path / "out").exists()


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


@pytest.mark.parametrize("name", ["lr", "steps", "jobs", "budget-min", "threads"])
def test_a_number_that_cannot_be_is_one_sentence(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["study", f"--{name}", "-1"])
    assert main() == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"--{name}" in said
    assert "got -1" in said
