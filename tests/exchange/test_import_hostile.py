"""Damaged and hostile files become records with reasons; nothing in them runs or leads out."""

import json
import os
import pickle
import shutil

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from inrgen.core.memory import allow_memory
from inrgen.exchange.conventions import FAMILIES
from inrgen.exchange.files import BadEntry, inside
from inrgen.exchange.formats.base import SIDECAR
from tests.exchange.importers import export, import_folder, keys, outcome


@pytest.fixture
def multiview(images, tmp_path):
    return export(images, "dws-multiview", tmp_path / "set")


def save(path, value):
    path.unlink(missing_ok=True)
    torch.save(value, path)


def test_bad_files_are_records_and_the_others_are_read(multiview, tmp_path):
    first = torch.load(multiview / "0/train/model_0.pth", weights_only=True)
    (multiview / "0/train/model_1.pth").unlink()
    (multiview / "1/train/model_1.pth").write_bytes(b"not a zip")
    save(multiview / "2/train/model_1.pth", {**first, "seq.1.weight": torch.zeros(6, 7)})
    save(multiview / "0/train/model_2.pth", {**first, "seq.0.bias": torch.full((6,), torch.nan)})
    save(multiview / "1/train/model_2.pth", {**first, "seq.0.bias": torch.zeros(6).long()})
    save(multiview / "2/train/model_2.pth", {**first, "label": "cat"})
    save(multiview / "0/test/model_0.pth", {"a": 1})
    cut = (multiview / "1/test/model_0.pth").read_bytes()
    (multiview / "1/test/model_0.pth").write_bytes(cut[:-30])
    wide = {k: torch.zeros(9, *v.shape[1:]) if k == "seq.2.weight" else v for k, v in first.items()}
    save(multiview / "2/test/model_0.pth", {**wide, "seq.2.bias": torch.zeros(9)})
    store = import_folder(multiview, "dws-multiview", tmp_path / "store")
    bad = {(item, view): (s, r) for item, view, s, r in outcome(store) if s != "ok"}
    reasons = {
        ("train/00001", 0): "cannot be read: No such file",
        ("train/00001", 1): "no file of torch.save's",
        ("train/00001", 2): "do not follow one another",
        ("train/00002", 0): "not finite",
        ("train/00002", 1): "no plain tensor of floating-point numbers",
        ("train/00002", 2): "label must be a whole number; got 'cat'",
        ("test/00000", 0): "0 layers",
        ("test/00000", 1): "no file of torch.save's",
        ("test/00000", 2): "its layers are 2-6-6-9, not 2-6-6-1",
    }
    assert bad.keys() == reasons.keys()
    for key, reason in reasons.items():
        assert reason in bad[key][1]
        assert bad[key][0] == ("non_finite" if key == ("train/00002", 0) else "bad_input")
    failed = [row for row, found in enumerate(outcome(store)) if found[2] != "ok"]
    assert bool(torch.isnan(store.read(failed).flat()).all())


class Bomb:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (self.mark,)


def test_nothing_in_a_file_is_run(multiview, tmp_path):
    mark = tmp_path / "ran"
    save(multiview / "0/train/model_0.pth", {"seq.0.weight": Bomb(str(mark))})
    (multiview / "1/train/model_0.pth").write_bytes(pickle.dumps(Bomb(str(mark))))
    store = import_folder(multiview, "dws-multiview", tmp_path / "store")
    assert [s for _, _, s, _ in outcome(store)][:3] == ["bad_input", "bad_input", "ok"]
    assert not mark.exists()


def test_numpy_scalars_of_published_sine_files_are_let_through(multiview, tmp_path):
    path = multiview / "0/train/model_0.pth"
    state = torch.load(path, weights_only=True)
    extra = {"label": np.int64(2), "freq": np.float64(0.5), "phase": np.float32(1.5)}
    save(path, {**state, **extra})
    store = import_folder(multiview, "dws-multiview", tmp_path / "store")
    assert outcome(store)[0][2:] == ("ok", "")
    assert keys(store)[0]["label"] == 2
    save(path, {**state, "label": np.array(["x"], dtype=object)})
    again = import_folder(multiview, "dws-multiview", tmp_path / "again")
    assert outcome(again)[0][2] == "bad_input"


def test_huge_shapes_are_refused_before_memory_is_asked_for(multiview, tmp_path):
    path = multiview / "0/train/model_0.pth"
    state = torch.load(path, weights_only=True)
    save(path, {**state, "seq.0.weight": torch.zeros(1).expand(1 << 40, 2)})
    store = import_folder(multiview, "dws-multiview", tmp_path / "store")
    assert "more than the file holds" in outcome(store)[0][3]


def test_views_of_one_storage_and_endless_labels_cost_one_record(multiview, tmp_path):
    """Each tensor is of fair size, and together they would fill the memory; so does a repr."""
    state = torch.load(multiview / "0/train/model_0.pth", weights_only=True)
    storage = torch.zeros(1 << 22)
    many = {f"seq.{i}.weight": storage.reshape(1 << 11, 1 << 11) for i in range(17)}
    many |= {f"seq.{i}.bias": storage[: 1 << 11] for i in range(17)}
    save(multiview / "0/train/model_0.pth", many)
    label: list = [1]
    for _ in range(12):
        label = [label] * 12
    save(multiview / "1/train/model_0.pth", {**state, "label": label})
    store = import_folder(multiview, "dws-multiview", tmp_path / "store")
    reasons = [row[3] for row in outcome(store)]
    assert any("has 71,337,984 numbers, too many" in reason for reason in reasons)
    assert any("label must be a whole number; got [[" in reason for reason in reasons)


def test_a_table_of_views_and_objects_with_more_holes_than_paths_is_refused(tmp_path):
    paths = [f"{i}/train/model_{i}.pth" for i in range(3000)]
    (tmp_path / "splits.json").write_text(json.dumps({"train": paths}))
    with pytest.raises(ValueError, match="3,000 views of 3,000 objects in 3,000 paths"):
        import_folder(tmp_path, "dws-multiview", tmp_path / "store")


def test_a_text_that_a_dictionary_repeats_is_refused_by_its_length(images, tmp_path):
    folder = export(images, "huggingface", tmp_path / "set")
    path = sorted((folder / "data").iterdir())[0]
    table = pq.read_table(path)
    ids = pa.DictionaryArray.from_arrays(pa.array([0] * len(table)), pa.array(["x" * 30_000_000]))
    place = table.column_names.index("item_id")
    pq.write_table(table.set_column(place, "item_id", ids), path, compression="zstd")
    with (
        allow_memory(0.2),
        pytest.raises(ValueError, match=r"spelt out, takes .* more than the 0\.2 GB of --mem"),
    ):
        import_folder(folder, "huggingface", tmp_path / "store")


def test_links_and_paths_that_lead_out_are_not_followed(multiview, tmp_path):
    secret = tmp_path / "secret.pth"
    shutil.move(multiview / "0/train/model_0.pth", secret)
    (multiview / "0/train/model_0.pth").symlink_to(secret)
    shutil.move(multiview / "1/train", tmp_path / "elsewhere")
    (multiview / "1/train").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / "pipe")
    shutil.move(tmp_path / "pipe", multiview / "2/train/model_0.pth")
    store = import_folder(multiview, "dws-multiview", tmp_path / "store")
    found = outcome(store)
    assert [status for _, _, status, _ in found[:3]] == ["bad_input"] * 3
    assert "leads through a link" in found[0][3]
    assert "leads through a link" in found[1][3]
    assert "is no plain file" in found[2][3]
    for path in ("../secret.pth", "/etc/passwd", "a/../../secret.pth", "x\0y", "", "a\\b"):
        with pytest.raises(BadEntry):
            inside(multiview, path)
    splits = json.loads((multiview / "splits.json").read_text())
    splits["train"] = ["set/../../secret.pth"]
    (multiview / "splits.json").write_text(json.dumps(splits))
    with pytest.raises(ValueError, match="has no view, part and file name"):
        import_folder(multiview, "dws-multiview", tmp_path / "again")


def test_absolute_paths_of_dws_are_looked_for_in_the_folder_alone(images, tmp_path):
    folder = export(images, "dws", tmp_path / "set")
    moved = shutil.move(folder, tmp_path / "moved")
    store = import_folder(tmp_path / "moved", "dws", tmp_path / "store")
    assert {status for _, _, status, _ in outcome(store)} == {"ok"}
    outside = tmp_path / "other" / "mnist-inrs" / "x" / "checkpoints"
    outside.mkdir(parents=True)
    save(outside / "model_final.pth", {"a": 1})
    listed = {"train": {"path": [str(outside / "model_final.pth")], "label": ["1"]}}
    (tmp_path / "moved" / "splits.json").write_text(json.dumps(listed))
    (tmp_path / "moved" / SIDECAR).unlink()
    with pytest.raises(ValueError, match=r"no INR of .* can be read: .*No such file"):
        import_folder(tmp_path / "moved", "dws", tmp_path / "again", FAMILIES["dws"])
    assert moved


def test_hdf5_files_do_not_lead_out(images, shapes, tmp_path):
    folder = export(shapes, "inr2vec", tmp_path / "set")
    first, second, third, fourth = (folder / "train" / f"{i}.h5" for i in range(4))
    shutil.copy(first, tmp_path / "outside.h5")
    with h5py.File(first, "a") as file:
        del file["params"]
        file["params"] = h5py.ExternalLink(str(tmp_path / "outside.h5"), "/params")
    with h5py.File(second, "a") as file:
        num = file["params"].shape[0]
        del file["params"]
        raw = [(str(tmp_path / "outside.h5"), 0, h5py.h5f.UNLIMITED)]
        file.create_dataset("params", shape=(num,), dtype="f4", external=raw)
    with h5py.File(third, "a") as file:
        del file["params"]
        file.create_dataset("params", shape=(1 << 40,), dtype="f4", chunks=(1 << 20,))
    with h5py.File(fourth, "a") as file:
        del file["params"]
        source = h5py.VirtualSource(str(tmp_path / "outside.h5"), "params", shape=(num,))
        virtual = h5py.VirtualLayout(shape=(num,), dtype="f4")
        virtual[:] = source
        file.create_virtual_dataset("params", virtual)
    store = import_folder(folder, "inr2vec", tmp_path / "store")
    found = outcome(store)[:5]
    for (_, _, status, reason), why in zip(
        found,
        ["is a link", "lies in other files", "more than the file holds", "other files"],
        strict=False,
    ):
        assert status == "bad_input"
        assert why in reason
    assert found[4][2] == "ok"
