"""torchvision's data sets through the one adapter, on small sets written here."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from inrgen.sources.catalog import open_source
from inrgen.sources.config import SourceConfig
from inrgen.sources.items import bucket_split
from inrgen.sources.torchvision_sets import NAMES, import_datasets


def write_kmnist(folder):
    raw = folder / "KMNIST" / "raw"
    raw.mkdir(parents=True)
    for stem, num in (("train", 20), ("t10k", 3)):
        images = np.arange(num * 784).reshape(num, 28, 28).astype(np.uint8)
        labels = np.arange(num, dtype=np.uint8) % 10
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            head = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes()
            (raw / f"{stem}-{kind}-ubyte").write_bytes(head + array.tobytes())


def write_pictures(folder, num):
    folder.mkdir(parents=True)
    for number in range(num):
        Image.new("RGB", (5, 3), (number, 0, 255)).save(folder / f"{number}.png")


def open_set(folder, name, **other):
    return open_source(SourceConfig(name=f"torchvision:{name}", data=str(folder), **other))


def test_every_name_is_one_of_torchvisions():
    datasets = import_datasets()
    assert [name for name in NAMES if not hasattr(datasets, name)] == []


def test_a_train_flag_gives_a_tail_for_val(tmp_path):
    write_kmnist(tmp_path)
    source = open_set(tmp_path, "KMNIST")
    ids = [(item.item_id, item.split) for item in source.items]
    assert ids[17:20] == [
        ("train/00017", "train"),
        ("train/00018", "val"),
        ("train/00019", "val"),
    ]
    assert ids[20:] == [(f"test/{n:05d}", "test") for n in range(3)]
    assert [item.label for item in source.items[:3]] == [0, 1, 2]
    assert source.facts.d_out == 1
    expected = np.arange(19 * 784, 20 * 784).astype(np.uint8).astype(np.float32) / 255
    assert torch.equal(source.load(19).values[:, 0], torch.from_numpy(expected))


def test_a_split_argument_gives_the_sets_own_val(tmp_path):
    for split in ("train", "valid", "test"):
        write_pictures(tmp_path / "country211" / split / "AD", 2)
    source = open_set(tmp_path, "Country211", limit=1, limit_order="first")
    ids = [(item.item_id, item.split, item.label_name) for item in source.items]
    assert ids == [(f"{s}/00000", s, "AD") for s in ("train", "val", "test")]
    assert (source.facts.d_out, source.load(0).grid) == (3, (3, 5))


def test_a_set_without_splits_falls_into_buckets(tmp_path):
    write_pictures(tmp_path / "eurosat" / "2750" / "River", 30)
    source = open_set(tmp_path, "EuroSAT")
    assert len(source.items) == 30
    for item in source.items:
        assert item.split == bucket_split(item.item_id)


def test_missing_data_and_names_are_one_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match="torchvision finds no whole SVHN in") as caught:
        open_set(tmp_path, "SVHN")
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"must be one of .*SVHN.*got 'VisionDataset'"):
        open_set(tmp_path, "VisionDataset")


def test_a_source_is_opened_anew_by_a_worker_that_never_saw_torchvision(tmp_path):
    write_kmnist(tmp_path)
    source = open_set(tmp_path, "KMNIST", limit=2)
    (tmp_path / "source.pickle").write_bytes(pickle.dumps(source))
    code = (
        "import pathlib, pickle, sys\n"
        "source = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())\n"
        "sys.stdout.write(source.load(3).sha256())\n"
    )
    argv = [sys.executable, "-c", code, str(tmp_path / "source.pickle")]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert said == source.load(3).sha256()
