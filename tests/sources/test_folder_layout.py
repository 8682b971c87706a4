"""Names of folders give splits and classes: never a split as a class, never test among train."""

from pathlib import Path

import pytest

from inrgen.sources.folder_layout import read_layout
from inrgen.sources.items import bucket_split, bucket_splits


def layout(*paths):
    return read_layout(Path("DIR"), sorted(tuple(path.split("/")) for path in paths))


def found(*paths):
    """(split, class) of every path."""
    pairs = layout(*paths).pairs
    return {"/".join(parts): (item.split, item.label_name) for item, parts in pairs}


@pytest.mark.parametrize("wrapper", ["", "mnist_png/"])
@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("training", "testing"), ("train", "test")),
        (("Train", "Test"), ("train", "test")),
        (("train", "valid", "test"), ("train", "val", "test")),
        (("TRAIN", "Validation"), ("train", "val")),
        (("test_set", "training", "dev"), ("test", "train", "val")),
    ],
)
def test_the_usual_names_of_splits_count_in_any_case_on_either_level(wrapper, names, splits):
    # A wrapper of class/split is a class above a class, so only split/class has one.
    for order in ("{s}/{c}/1.png",) if wrapper else ("{s}/{c}/1.png", "{c}/{s}/1.png"):
        paths = {
            wrapper + order.format(s=name, c=digit): (split, digit)
            for name, split in zip(names, splits, strict=True)
            for digit in ("0", "1")
        }
        assert found(*paths) == paths


def test_folders_that_only_hold_files_are_no_classes():
    """Tiny-ImageNet: train has classes with images below, val and test have images alone."""
    assert found(
        "train/n01/images/a.JPEG",
        "train/n02/images/b.JPEG",
        "val/images/c.JPEG",
        "test/images/d.png",
    ) == {
        "train/n01/images/a.JPEG": ("train", "n01"),
        "train/n02/images/b.JPEG": ("train", "n02"),
        "val/images/c.JPEG": ("val", ""),
        "test/images/d.png": ("test", ""),
    }
    assert {name for _, name in found("images/cat/1.png", "images/dog/2.png").values()} == {
        "cat",
        "dog",
    }
    # Beside other folders it is a class like them.
    assert {name for _, name in found("images/1.png", "dog/2.png").values()} == {"images", "dog"}


def test_splits_without_classes_have_none():
    assert set(found("train/1.png", "test/2.png").values()) == {("train", ""), ("test", "")}


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (("train/1.png", "boat/1.png"), "holds boat beside train"),
        (("Train/cat/1.png", "loose.png"), "holds loose files beside Train"),
        (("cat/train/1.png", "cat/spare/1.png", "dog/test/2.png"), "holds spare beside test, tra"),
        (("valid/1.png", "invalid/1.png"), "rename a class that is called like a split"),
    ],
)
def test_a_mixture_of_splits_and_others_is_refused(paths, said):
    with pytest.raises(ValueError, match=said):
        layout(*paths)


def test_one_sentence_tells_what_was_understood():
    paths = ["train/dog/1.png", "train/cat/1.png", "train/bird/1.png", "test/dog/1.png"]
    said = layout(*paths, "test/zebra\n/2.png").describe({".txt": 3})
    assert said == (
        "5 items; top folders name splits: train 3, test 2; 4 classes: bird, cat, dog, zebra\\n; "
        "only in train: bird, cat; only in test: zebra\\n; left out: 3 .txt"
    )
    assert "2 items without a class" in layout("train/a/1.png", "val/1.png", "val/2.png").describe(
        {}
    )
    assert "no classes" in layout("1.png").describe({})
    many = layout(*(f"train/{name:03}/1.png" for name in range(20))).describe({})
    assert "000, 001, 002, 003, 004, 005, 006, 007 and 12 more" in many


@pytest.mark.parametrize("size", range(1, 40))
def test_every_class_of_some_size_has_val_and_test_items(size):
    ids = [f"cat/{number}.png" for number in range(size)]
    splits = bucket_splits(ids, ["cat"] * size)
    kept = [split == bucket_split(item_id) for split, item_id in zip(splits, ids, strict=True)]
    assert kept.count(False) <= 2
    assert splits == bucket_splits(ids[::-1], ["cat"] * size)[::-1]
    hashed = [bucket_split(item_id) for item_id in ids]
    if hashed.count("train") >= 4:
        assert {*splits} == {"train", "val", "test"}
    assert splits.count("train") >= min(2, hashed.count("train"))


@pytest.mark.parametrize("wrapper", ["", "tiny-imagenet-200/"])
def test_classes_of_tiny_imagenets_val_are_those_of_its_annotations(tmp_path, wrapper):
    names = ["train/n02/images/a.JPEG", "train/n01/images/b.JPEG", "val/images/c.JPEG"]
    names += ["val/images/d.JPEG", "test/images/e.JPEG"]
    paths = sorted(tuple(f"{wrapper}{name}".split("/")) for name in names)
    file = tmp_path / wrapper / "val" / "val_annotations.txt"
    file.parent.mkdir(parents=True)
    file.write_text("c.JPEG\tn02\t0\t0\t9\t9\nlost.JPEG\tn01\t0\t0\t9\t9\n")
    layout = read_layout(tmp_path, paths)
    found = {parts[-1]: (item.label, item.label_name) for item, parts in layout.pairs}
    assert found["c.JPEG"] == found["a.JPEG"] == (1, "n02")
    # neither has a line there
    assert found["d.JPEG"] == found["e.JPEG"] == (-1, "")
    assert f"classes read from {wrapper}val/val_annotations.txt" in layout.describe({})
    file.write_text("c.JPEG n02\n")
    with pytest.raises(ValueError, match=r"val_annotations\.txt must name a file and its class"):
        read_layout(tmp_path, paths)
    file.unlink()
    file.symlink_to("/etc/hostname")
    with pytest.raises(ValueError, match="symbolic link that leaves the folder"):
        read_layout(tmp_path, paths)
