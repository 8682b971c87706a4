"""An import brings an export back unchanged; unreadable files become records with reasons."""

import json

import h5py
import numpy as np
import pytest
import torch
from torch.testing import assert_close

from inrgen.core.geometry import grid_coords
from inrgen.core.params import Params
from inrgen.core.siren import evaluate
from inrgen.exchange.conventions import FAMILIES, Conventions
from inrgen.exchange.formats.base import SIDECAR
from inrgen.store.reader import open_store
from inrgen.store.verify import verify_store
from tests.exchange.importers import export, import_folder, keys

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


def shown(store, rows, shape=(7, 7)):
    grid = grid_coords(store.spec, shape, torch.float64)
    values = evaluate(store.spec, store.read(rows).to(dtype=torch.float64), grid)
    return (values - store.spec.value_range[0]) / store.spec.value_width


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
