"""An import brings an export back unchanged; unreadable files become records with reasons."""

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
from torch.testing import assert_close

from inrgen.core.geometry import grid_coords
from inrgen.core.memory import allow_memory
from inrgen.core.params import Params
from inrgen.core.siren import evaluate
from inrgen.exchange.conventions import FAMILIES, Conventions, ExportOptions
from inrgen.exchange.export_plan import plan_export
from inrgen.exchange.export_run import run_export
from inrgen.exchange.files import BadEntry, inside
from inrgen.exchange.formats.base import SIDECAR
from inrgen.store.reader import open_store
from inrgen.store.verify import verify_store
from tests.exchange.importers import import_folder, outcome

IMAGE_FORMATS = {
    "dws-multiview": 3,
    "dws": 1,
    "neural-graphs": 1,
    "scalegmn": 1,
    "nfn": 3,
    "fit-a-nef": 1,
    "safetensors": 3,
    "huggingface": 3,
}


def export(store, name, out, **options):
    run_export(plan_export(store, name, out, options=ExportOptions(**options)), 0)
    return out


def shown(store, rows, shape=(7, 7)):
    grid = grid_coords(store.spec, shape, torch.float64)
    values = evaluate(store.spec, store.read(rows).to(dtype=torch.float64), grid)
    return (values - store.spec.value_range[0]) / store.spec.value_width


def keys(store):
    columns = ["row", "split", "view", "label", "label_name", "status", "engine"]
    return sorted(store.records.to_table(columns=columns).to_pylist(), key=lambda r: r["row"])


@pytest.mark.parametrize("name", IMAGE_FORMATS)
def test_there_and_back(images, tmp_path, name):
    every = {"all_views": True} if name == "nfn" else {}
    folder = export(images, name, tmp_path / "set", **every)
    store, parent = import_folder(folder, name, tmp_path / "store"), open_store(images)
    views, ours, theirs = IMAGE_FORMATS[name], keys(store), keys(parent)
    rows = [row for row in range(30) if row % 3 < views]
    assert_close(shown(store, range(len(rows))), shown(parent, rows), rtol=0, atol=1e-6)
    for got, row in zip(ours, rows, strict=True):
        wanted = theirs[row]
        for column in ("split", "view", "label", "label_name", "status"):
            assert got[column] == wanted[column]
        assert got["engine"] == "imported"
    assert store.identity["imported"]["format"] == name
    assert not list(verify_store(tmp_path / "store").findings)


def test_shapes_there_and_back(shapes, tmp_path):
    folder = export(shapes, "inr2vec", tmp_path / "set")
    store = import_folder(folder, "inr2vec", tmp_path / "store")
    assert torch.equal(store.read(range(10)).flat(), open_store(shapes).read(range(10)).flat())
    assert store.spec == open_store(shapes).spec
    assert [r["label"] for r in keys(store)] == [r["label"] for r in keys(open_store(shapes))]


@pytest.fixture
def derived(tmp_path):
    """A store of one view of ten items, derived from a store that was fitted to MNIST."""
    from inrgen.store.create import create_store
    from inrgen.store.derivation import PARENT, ByteRows, Derivation, DerivedRecords, derived_table
    from inrgen.store.writer import StoreWriter, stage_block
    from tests.exchange.conftest import IMAGES, small_store

    parent, path = open_store(small_store(tmp_path / "parent", IMAGES, 1, "mnist")), tmp_path / "it"
    spec, layout = parent.spec, parent.layouts[parent.spec.spec_id]
    derivation = Derivation(operation="align", copies=1, parent_sha256="0" * 64, parameters={})
    about = {PARENT: {"path": "../parent", "identity": parent.identity, "about": {}}}
    create_store(path, [(spec, layout)], identity=derivation.identity, about=about)
    said = DerivedRecords(
        operation="align",
        copies=1,
        draws=ByteRows.from_strings([b""] * 10),
        failed=np.zeros(10, dtype=bool),
        keeps_function=True,
    )
    table = derived_table(parent.records.to_table().sort_by("row"), said)
    with StoreWriter(path) as writer:
        flat = parent.read(range(10)).flat().numpy()
        writer.commit(stage_block(path, spec.spec_id, 0, flat, table))
    return path


def test_a_store_made_of_another_goes_out_as_what_that_was_fitted_to(derived, tmp_path):
    for name in ("neural-graphs", "nfn", "fit-a-nef"):
        export(derived, name, tmp_path / name)
    assert len(list((tmp_path / "neural-graphs" / "mnist-inrs").iterdir())) == 10
    assert len(list((tmp_path / "nfn" / "siren_mnist_wts").glob("*/*.pth"))) == 10
    said = json.loads((tmp_path / "fit-a-nef" / SIDECAR).read_text())
    assert (said["source"], said["conventions"]["value_mean"]) == ("mnist", [0.1307])


def test_a_family_holds_only_where_nothing_else_is_said(images, tmp_path):
    folder = export(images, "nfn", tmp_path / "set")
    noted = import_folder(folder, "nfn", tmp_path / "noted", family=FAMILIES["dws"])
    assert (noted.spec.coord_order, noted.spec.output_offset) == ("ij", 0.0)
    (folder / SIDECAR).unlink()
    family = import_folder(folder, "nfn", tmp_path / "family", family=FAMILIES["nfn"])
    assert family.spec == noted.spec
    over = Conventions(omega=(7.0,))
    stated = import_folder(folder, "nfn", tmp_path / "stated", over, family=FAMILIES["nfn"])
    assert (stated.spec.omega, stated.spec.coord_order) == ((7.0, 7.0), "ij")


def test_pictures_are_drawn_in_the_grid_that_is_said_or_else_in_28_by_28(images, tmp_path):
    from inrgen.commands.diversity import DiversityConfig, diversity
    from inrgen.figures.render import picture_pairs

    folder = export(images, "nfn", tmp_path / "set")
    plain = import_folder(folder, "nfn", tmp_path / "plain")
    (pair,) = picture_pairs(plain, None, [0])
    assert pair.reconstruction.shape[:2] == (28, 28)
    drawn = diversity(DiversityConfig(store=tmp_path / "plain", pairs=2, out=tmp_path / "drawn"))
    assert drawn.figure == str(tmp_path / "drawn" / "midpoints.png")
    store = import_folder(folder, "nfn", tmp_path / "store", grid=(7, 9))
    (pair,) = picture_pairs(store, None, [0])
    assert pair.reconstruction.shape[:2] == (7, 9)
    assert set(map(tuple, store.records.to_table(columns=["grid"])["grid"].to_pylist())) == {(7, 9)}
    for wrong in ((7,), (7, 0)):
        with pytest.raises(ValueError, match="grid needs 2 positive sides"):
            import_folder(folder, "nfn", tmp_path / "wrong", grid=wrong)


@pytest.mark.parametrize("name", ["dws-multiview", "dws", "nfn", "fit-a-nef"])
def test_unknown_conventions_are_asked_for_by_name(images, tmp_path, name):
    folder = export(images, name, tmp_path / "set")
    (folder / SIDECAR).unlink()
    (folder / "nef.json").unlink(missing_ok=True)
    asked = r"--omega, --coord-order, --value-range, --output-offset"
    with pytest.raises(ValueError, match=asked):
        import_folder(folder, name, tmp_path / "store")
    said = Conventions(omega=(30.0,), value_range=(0.0, 1.0))
    with pytest.raises(ValueError, match=r"state --coord-order, --output-offset, or"):
        import_folder(folder, name, tmp_path / "store", said)
    assert not (tmp_path / "store").exists()


def test_stated_conventions_are_as_good_as_noted_ones(images, tmp_path):
    folder = export(images, "nfn", tmp_path / "set", all_views=True)
    (folder / SIDECAR).unlink()
    # earlier versions counted the folders of further views from 1
    for folder_of_view in sorted(folder.glob("*/*_aug1_*")) + sorted(folder.glob("*/*_aug0_*")):
        old, new = ("_aug1_", "_aug2_") if "_aug1_" in folder_of_view.name else ("_aug0_", "_aug1_")
        folder_of_view.rename(folder_of_view.with_name(folder_of_view.name.replace(old, new)))
    store = import_folder(folder, "nfn", tmp_path / "store", FAMILIES["nfn"])
    expected = shown(open_store(images), range(30))
    assert_close(shown(store, range(30)), expected, rtol=0, atol=1e-6)
    folder = export(images, "fit-a-nef", tmp_path / "nef")
    (folder / SIDECAR).unlink()
    said = Conventions(
        omega=(30.0,),
        coord_order="xy",
        value_range=(0.0, 1.0),
        output_offset=0.0,
        value_mean=(0.2860,),
        value_std=(0.3530,),
    )
    store = import_folder(folder, "fit-a-nef", tmp_path / "again", said)
    assert_close(shown(store, range(10)), expected[::3], rtol=0, atol=1e-6)


def test_fit_a_nef_states_omega_and_its_family_asks_for_the_pixels(images, tmp_path):
    folder, family = export(images, "fit-a-nef", tmp_path / "nef", omega=7.0), FAMILIES["fit-a-nef"]
    (folder / SIDECAR).unlink()
    with pytest.raises(ValueError, match="state --value-mean and --value-std"):
        import_folder(folder, "fit-a-nef", tmp_path / "store", family=family)
    said = Conventions(value_mean=(0.2860,), value_std=(0.3530,))
    store = import_folder(folder, "fit-a-nef", tmp_path / "store", said, family=family)
    assert store.spec.omega == (7.0, 7.0)
    assert_close(
        shown(store, range(10)), shown(open_store(images), range(0, 30, 3)), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize(
    ("name", "own"), [("dws", "mnist_splits.json"), ("neural-graphs", "fmnist_splits.json")]
)
def test_splits_are_read_by_the_names_of_neighbours_too(name, own, images, tmp_path):
    folder = export(images, name, tmp_path / "set")
    assert (folder / own).read_bytes() == (folder / "splits.json").read_bytes()
    (folder / "splits.json").unlink()
    assert len(keys(import_folder(folder, name, tmp_path / "store"))) == 10
    (folder / own).unlink()
    with pytest.raises(FileNotFoundError, match=r"splits\.json, fmnist_splits\.json or mnist_sp"):
        import_folder(folder, name, tmp_path / "none")


def test_distances_divided_for_inr2vec_have_its_slope_and_come_back(shapes, tmp_path):
    shapes = open_store(shapes)
    options = {"value_mean": (0.0,), "value_std": (0.05,)}
    folder = export(shapes.path, "inr2vec", tmp_path / "set", **options)
    # d/df sigmoid(20 f) at 0 is that of (f + 0.1) / 0.2
    steep = export(shapes.path, "inr2vec", tmp_path / "plain")
    with h5py.File(folder / "train/0.h5") as made, h5py.File(steep / "train/0.h5") as plain:
        last = slice(-shapes.spec.widths[-2] - 1, None)
        np.testing.assert_allclose(made["params"][last], 20 * plain["params"][last], rtol=1e-6)
    store = import_folder(folder, "inr2vec", tmp_path / "store")
    assert_close(store.read(range(10)).flat(), shapes.read(range(10)).flat())
    with pytest.raises(ValueError, match="value_mean must be 0, to keep the surface"):
        export(shapes.path, "inr2vec", tmp_path / "moved", value_mean=(0.1,), value_std=(1.0,))


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


def test_a_folder_of_something_else_is_one_clear_sentence(tmp_path, images):
    (tmp_path / "empty").mkdir()
    for name in IMAGE_FORMATS:
        with pytest.raises((ValueError, OSError)) as caught:
            import_folder(tmp_path / "empty", name, tmp_path / "store")
        assert str(tmp_path / "empty") in str(caught.value)
    with pytest.raises(NotADirectoryError, match="is no folder"):
        import_folder(tmp_path / "nowhere", "dws", tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_flat_rows_are_those_of_the_store(images, tmp_path):
    """The first view of the first item, layer by layer, through files that name their layers."""
    folder = export(images, "dws", tmp_path / "set")
    listed = json.loads((folder / "splits.json").read_text())["train"]["path"][0]
    state = torch.load(listed, weights_only=True)
    params = Params.from_flat(open_store(images).spec, open_store(images).read([0]).flat())
    for layer in range(3):
        assert torch.equal(state[f"seq.{layer}.weight"], params.weights[layer][0])
        assert torch.equal(state[f"seq.{layer}.bias"], params.biases[layer][0])
