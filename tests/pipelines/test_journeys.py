"""Journeys of single data sets: from files to a trained network, at the smallest size."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from inrgen.fit.build_config import BuildConfig
from inrgen.training.config import TrainConfig
from pipelines.cifar10 import Cifar10
from pipelines.fashion_mnist import FashionMnist
from pipelines.journey import Size, build_align_train, main, signed_training
from pipelines.modelnet40 import ModelNet40
from pipelines.own_folder import OwnFolder


def write_images(folder: Path, split: str, num: int) -> None:
    """Write images of two classes that are bright on different sides."""
    generator = np.random.default_rng(num)
    for name, side in (("left", slice(0, 4)), ("right", slice(4, 8))):
        (folder / split / name).mkdir(parents=True)
        for at in range(num):
            pixels = generator.integers(0, 40, (8, 8), dtype=np.uint8)
            pixels[:, side] += 180
            Image.fromarray(pixels).save(folder / split / name / f"{at}.png")


@pytest.mark.slow
def test_own_folder_without_a_val_split_goes_from_files_to_a_network_and_resumes(tmp_path):
    write_images(tmp_path / "own", "train", 8)
    write_images(tmp_path / "own", "test", 3)
    size = Size(limit=None, views=2, epochs=2, workers=0)
    config = OwnFolder(data=tmp_path / "own", out=tmp_path / "out", size=size)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    training = signed_training(size)
    first = build_align_train(config.source(), config.out, size, training)
    again = build_align_train(config.source(), config.out, size, training)
    torch.set_num_threads(threads)
    assert not first.failed
    assert len(first.result.labels) == 6
    assert again.result == first.result
    assert (config.out / "run" / "losses.png").exists()


@pytest.mark.parametrize("journey", [FashionMnist, Cifar10, ModelNet40, OwnFolder])
def test_each_journey_names_its_source_and_a_training_that_fits_its_views(journey, tmp_path):
    config = journey(data=tmp_path)
    assert config.source().limit == config.size.limit
    assert config.source().data == str(tmp_path)
    assert (config.source().shape.target == "occupancy") == (journey is ModelNet40)
    assert isinstance(signed_training(config.size), TrainConfig)


def test_a_journey_that_is_stopped_says_how_to_go_on(monkeypatch, tmp_path, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("pipelines.journey.build_align_train", stop)
    monkeypatch.setattr("sys.argv", ["own_folder", "--data", str(tmp_path)])
    assert main(OwnFolder) == 130
    said = capsys.readouterr().err
    assert said == (
        "python -m pipelines.own_folder: stopped; run the same command again to go on\n"
    )


def test_a_wrong_option_of_a_journey_is_one_sentence(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["own_folder", "--data", "d", "--size.vews", "2"])
    assert main(OwnFolder) == 2
    said = capsys.readouterr().err
    assert said.endswith("there is no option --size.vews; did you mean --size.views?\n")
    assert said.count("\n") == 1


@pytest.mark.parametrize(("kind", "recipe"), [("images", "signed"), ("meshes", "teach")])
def test_a_journey_fits_so_that_weights_teach_unless_told_otherwise(
    kind, recipe, tmp_path, monkeypatch
):
    asked: list[str] = []

    def note(config: BuildConfig) -> None:
        asked.append(config.recipe)
        raise ValueError("enough")

    monkeypatch.setattr("pipelines.journey.build", note)
    source = OwnFolder(data=tmp_path, kind=kind).source()
    assert (source.shape.target == "occupancy") == (kind == "meshes")
    for size in (Size(), Size(recipe="sharp")):
        with pytest.raises(ValueError, match="enough"):
            build_align_train(source, tmp_path, size, signed_training(size))
    assert asked == [recipe, "sharp"]
