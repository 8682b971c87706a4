"""Predictions on stores of the same networks, and refusals that name the difference."""

import csv
import json
import shutil
from pathlib import Path

import polars
import pytest

from inrgen.cli import main
from inrgen.training.config import TrainConfig
from inrgen.training.data import TrainData
from inrgen.training.loop import run_training
from inrgen.training.model_file import load_model
from inrgen.training.run import open_run
from tests.labelled import LabelledRows

CONFIG = TrainConfig(model="mlp,hidden=16,layers=1,dropout=0", views=2, batch_size=24, epochs=3)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return LabelledRows().build(tmp_path_factory.mktemp("predict") / "store")


@pytest.fixture(scope="module")
def run(store, tmp_path_factory):
    out = tmp_path_factory.mktemp("predict") / "run"
    return out, run_training(CONFIG, TrainData(train=store, val=store, test=store), out)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_predictions_on_first_test_views_are_those_of_the_run(run, store, tmp_path, suffix, capsys):
    folder, result = run
    out = tmp_path / f"answers{suffix}"
    assert main(["predict", str(folder), str(store), "--out", str(out), "--split", "test"]) == 0
    assert "classified 48 INRs: " in capsys.readouterr().out
    table = polars.read_csv(out) if suffix == ".csv" else polars.read_parquet(out)
    first = table.filter(polars.col("view") == 0)
    assert tuple(first["predicted"]) == result.predicted
    assert tuple(first["label"]) == result.labels
    assert [result.classes[label] for label in first["predicted"]] == list(first["predicted_name"])
    assert all(1 / 3 <= share <= 1 for share in table["probability"])


def test_labels_of_other_names_are_neither_right_nor_wrong(run, tmp_path, capsys):
    other = LabelledRows(label_names=("ant", "bee", "cow")).build(tmp_path / "other")
    out = tmp_path / "answers.csv"
    assert main(["predict", str(run[0]), str(other), "--out", str(out)]) == 0
    assert "accuracy unknown" in capsys.readouterr().out
    with out.open() as file:
        assert len(list(csv.DictReader(file))) == 240


def test_what_cannot_be_predicted_is_refused_by_name(run, store, tmp_path, capsys):
    folder, _ = run
    out = ["--out", str(tmp_path / "answers.csv")]

    def refusal(*argv: object) -> str:
        assert main(["predict", *map(str, argv)]) == 1
        return capsys.readouterr().err

    wide = LabelledRows(widths=(2, 5, 4, 1)).build(tmp_path / "wide")
    said = refusal(folder, wide, *out)
    assert "differ in widths ([2, 4, 4, 1] and [2, 5, 4, 1])" in said
    assert "out must end in .parquet or .csv" in refusal(folder, store, "--out", "answers.txt")
    assert "holds no trained network" in refusal(tmp_path, store, *out)
    assert not (tmp_path / "answers.csv").exists()


def test_damaged_weights_are_named(run, tmp_path):
    for path in run[0].iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged"):
        load_model(tmp_path)


def test_rows_that_are_aligned_otherwise_than_in_training_are_told(run, store, tmp_path, capsys):
    """An order of units that the network never saw gives chance, which must not pass in silence."""
    aligned, again = tmp_path / "aligned", tmp_path / "again"
    for out, seed in ((aligned, "0"), (again, "1")):
        argv = ["align", str(store), "--out", str(out), "--seed", seed, "--workers", "0"]
        assert main(argv) == 0
    more = tmp_path / "more"
    argv = ["augment", str(aligned), "--augment", "noise", "--out", str(more), "--workers", "0"]
    assert main(argv) == 0
    folder = tmp_path / "run"
    run_training(CONFIG, TrainData(train=aligned, val=aligned, test=aligned), folder)
    capsys.readouterr()

    def notes(run_folder: Path, given: Path) -> list[str]:
        out = tmp_path / "answers.csv"
        assert main(["predict", str(run_folder), str(given), "--out", str(out)]) == 0
        said = capsys.readouterr().out.splitlines()
        return [line for line in said if line.startswith("note: ")]

    assert notes(folder, aligned) == notes(folder, more) == notes(run[0], store) == []
    assert "are not aligned" in notes(folder, store)[0]
    assert "another template" in notes(folder, again)[0]
    assert "as they were fitted" in notes(run[0], aligned)[0]


def test_a_run_from_before_alignments_were_recorded_predicts_without_a_note(run, store, tmp_path):
    folder = tmp_path / "old"
    shutil.copytree(run[0], folder)
    model = json.loads((folder / "model.json").read_text())
    del model["alignments"]
    (folder / "model.json").write_text(json.dumps(model))
    assert open_run(folder).predict(store).note == ""
