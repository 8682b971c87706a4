"""A command that leaves a store without any weights says so in a sentence and fails."""

import json

import numpy as np
import pytest
from PIL import Image

from inrgen.cli import main
from inrgen.store.reader import open_store


@pytest.fixture
def pictures(tmp_path):
    """Two files cut short, and one that is whole."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("a.png", "b.png", "c.png"):
        noise = np.random.default_rng(0).integers(0, 255, (32, 32), dtype=np.uint8)
        Image.fromarray(noise).save(folder / name)
    for name in ("a.png", "b.png"):
        file = folder / name
        file.write_bytes(file.read_bytes()[:300])
    return folder


def _build(pictures, out):
    fit = ["--recipe", "fast", "--num-steps", "2", "--views", "1", "--workers", "0"]
    return main(["build", "image-folder", "--data", str(pictures), "--out", str(out), *fit])


def test_a_store_without_weights_fails_and_stays(pictures, tmp_path, capsys):
    (pictures / "c.png").unlink()
    store, derived = tmp_path / "store", tmp_path / "derived"
    assert _build(pictures, store) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"inrgen build: none of the 2 items of {store} has weights; ")
    assert "(bad_input): damaged image" in said
    # the records stay
    assert open_store(store).read_records(["status"])["status"].to_pylist() == ["bad_input"] * 2
    augment = ["augment", str(store), "--out", str(derived), "--augment", "siren-negation"]
    assert main([*augment, "--workers", "0", "--json"]) == 1
    found = capsys.readouterr()
    assert "inrgen augment: none of the 2 items" in found.err
    assert json.loads(found.out)["quality"]["by_status"] == {"bad_input": 2}


def test_one_good_item_is_enough(pictures, tmp_path, capsys):
    assert _build(pictures, tmp_path / "store") == 0
    assert "inrgen build:" not in capsys.readouterr().err
