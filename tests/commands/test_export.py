"""The verbs export and import, as a user types them."""

import json

import pytest
import torch

from inrgen.cli import main
from inrgen.store.reader import open_store


def run(capsys, *argv):
    """Exit status, standard output and the last line of standard error."""
    status = main([str(part) for part in argv])
    said = capsys.readouterr()
    return status, said.out, (said.err.strip().splitlines() or [""])[-1]


@pytest.fixture
def store(tmp_path, capsys):
    argv = ["build", "digits", "--limit", "2", "--views", "2", "--num-steps", "1"]
    argv += ["--engine", "torch", "--workers", "0", "--out", str(tmp_path / "store")]
    assert main(argv) == 0
    capsys.readouterr()
    return tmp_path / "store"


def test_a_store_goes_out_and_comes_back(store, tmp_path, capsys):
    out = ["--format", "dws-multiview", "--out", tmp_path / "set"]
    status, said, _ = run(capsys, "export", store, *out, "--json")
    assert status == 0
    found = json.loads(said)
    assert (found["rows"], found["rows_written"], found["views"], found["left_out"]) == (
        12,
        12,
        2,
        0,
    )
    status, said, _ = run(capsys, "export", store, *out)
    assert "0 written" in said
    back = ["--format", "dws-multiview", "--out", tmp_path / "back"]
    status, said, _ = run(capsys, "import", tmp_path / "set", *back)
    assert (status, "read 12 INRs" in said, "12 ok" in said) == (0, True, True)
    rows = range(12)
    assert torch.equal(
        open_store(tmp_path / "back").read(rows).flat(), open_store(store).read(rows).flat()
    )
    status, said, _ = run(capsys, "import", tmp_path / "set", *back)
    assert "read 0 INRs" in said
    status, said, _ = run(capsys, "verify", tmp_path / "back")
    assert status == 0


def test_part_of_a_store(store, tmp_path, capsys):
    some = ["--split", "val", "--views", "1", "--out", tmp_path / "set"]
    status, said, _ = run(capsys, "export", store, "--format", "safetensors", *some, "--json")
    assert (status, json.loads(said)["rows"]) == (0, 2)
    assert [p.name for p in (tmp_path / "set").glob("*.safetensors")] == ["val-00000.safetensors"]


def test_refusals_are_one_sentence_and_leave_nothing(store, tmp_path, capsys):
    cases = [
        (["export", store, "--format", "inr2vec", "--out", tmp_path / "a"], "SIRENs of shapes"),
        (["export", store, "--format", "dws", "--views", "7", "--out", tmp_path / "a"], "0..1"),
        (["export", store, "--format", "dws", "--out", store], "is not empty"),
        (["import", store, "--format", "dws", "--out", tmp_path / "a"], "has no splits.json"),
    ]
    for argv, sentence in cases:
        status, said, error = run(capsys, *argv)
        assert (status != 0, said) == (True, "")
        assert sentence in error
        assert not (tmp_path / "a").exists()


def test_conventions_are_asked_for_and_can_be_stated(store, tmp_path, capsys):
    run(capsys, "export", store, "--format", "nfn", "--out", tmp_path / "set")
    (tmp_path / "set" / "inrgen-export.json").unlink()
    argv = ["import", tmp_path / "set", "--format", "nfn", "--out", tmp_path / "back"]
    status, _, error = run(capsys, *argv)
    assert status == 1
    assert "--omega, --coord-order, --value-range, --output-offset" in error
    stated = ["--omega", "30", "--coord-order", "ij", "--value-range", "-1", "1"]
    status, _, _ = run(capsys, *argv, *stated, "--output-offset", "0")
    assert status == 0
    spec = open_store(tmp_path / "back").spec
    assert (spec.coord_order, spec.value_range, spec.output_offset) == ("ij", (-1.0, 1.0), 0.0)
