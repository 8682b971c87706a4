"""Predictions on stores of the same networks, and refusals that name the difference."""

import csv
from pathlib import Path

import polars
import pytest

from inrgen.cli import main
from inrgen.training.config import TrainConfig
from inrgen.training.data import TrainData
from inrgen.training.loop import run_training
from inrgen.training.model_file import load_model
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
