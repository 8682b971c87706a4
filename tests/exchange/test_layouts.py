"""Exports, read as the neighbours' own loaders read them, show the store's pictures."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import polars
import pytest
import torch
from safetensors import safe_open
from torch.testing import assert_close

from inrgen.core.config import SPLITS
from inrgen.core.geometry import grid_coords
from inrgen.core.params import Params
from inrgen.core.siren import evaluate
from inrgen.exchange.conventions import ExportOptions
from inrgen.exchange.export_plan import plan_export
from inrgen.exchange.export_run import run_export
from inrgen.exchange.formats.base import SIDECAR
from inrgen.exchange.formats.inr2vec import surface_mesh
from inrgen.store.reader import open_store
from tests.exchange import neighbours

GRID = (7, 7)
COUNTS = {"train": 5, "val": 2, "test": 3}


def export(store, name, out, views=None, splits=SPLITS, **options):
    chosen = ExportOptions(**options)
    run_export(plan_export(store, name, out, splits=splits, views=views, options=chosen), 0)
    return out


def mgrid(order):
    """The neighbours' grid: 7 points a side from -1 to 1, x the column ("xy") or the row."""
    axis = torch.linspace(-1, 1, GRID[0], dtype=torch.float64)
    rows, columns = torch.meshgrid(axis, axis, indexing="ij")
    pair = (columns, rows) if order == "xy" else (rows, columns)
    return torch.stack(pair, -1).reshape(-1, 2)


def siren(weights, biases, coords, omega=30.0):
    """The neighbours' SIREN, from their tensors (out, in), in float64."""
    h, weights, biases = coords, [w.double() for w in weights], [b.double() for b in biases]
    for w, b in zip(weights[:-1], biases[:-1], strict=True):
        h = torch.sin(omega * torch.nn.functional.linear(h, w, b))
    return torch.nn.functional.linear(h, weights[-1], biases[-1])


def truth(store, row):
    opened = open_store(store)
    grid = grid_coords(opened.spec, GRID, torch.float64)
    return evaluate(opened.spec, opened.read([row]).to(dtype=torch.float64), grid)[0]


def first_row(split, index, views=3):
    return (sum(COUNTS[s] for s in SPLITS[: SPLITS.index(split)]) + index) * views


def test_dws_multiview(images, tmp_path):
    root = export(images, "dws-multiview", tmp_path / "set")
    for split in SPLITS:
        samples = neighbours.deep_weight_space_augmentations(root / "splits.json", split)
        views = 3 if split == "train" else 1
        assert len(samples) == COUNTS[split] * views
        for place, (path, view, label, weights, biases) in enumerate(samples):
            row = first_row(split, place // views) + place % views
            assert (view, label) == (str(place % views), (row // 3) % 3)
            number = place // views + (5 if split == "val" else 0)
            assert path.parts[-2:] == (
                "test" if split == "test" else "train",
                f"model_{number}.pth",
            )
            shown = siren(weights, biases, mgrid("xy")) + 0.5
            assert_close(shown, truth(images, row), rtol=0, atol=1e-6)
    assert len(list(root.glob("*/*/model_*.pth"))) == 30


def test_dws_multiview_wherever_it_is_moved(images, tmp_path):
    export(images, "dws-multiview", tmp_path / "set", path_prefix="/elsewhere/data")
    listed = json.loads((tmp_path / "set" / "splits.json").read_text())["train"]
    assert listed[0] == "/elsewhere/data/set/0/train/model_0.pth"
    assert len(neighbours.deep_weight_space_augmentations(tmp_path / "set/splits.json", "val")) == 2
    with pytest.raises(ValueError, match="path_prefix must not hold the folder's own name"):
        export(images, "dws-multiview", tmp_path / "b" / "set", path_prefix="x/set/y")
    assert not (tmp_path / "b").exists(), "what cannot end well does not begin"


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("dws", {"value_mean": (0.3,), "value_std": (0.4,)}, "value_mean means nothing to dws"),
        ("dws", {"like": "mnist"}, "like means nothing to dws"),
        ("nfn", {"path_prefix": "x"}, "path_prefix means nothing to nfn"),
        ("scalegmn", {"like": "cifar10", "path_prefix": "x"}, "path_prefix means nothing here"),
        ("safetensors", {"omega": 30.0}, "omega means nothing to safetensors"),
        ("nfn", {"omega": 0.0}, "omega must be positive; got 0.0"),
        ("fit-a-nef", {"value_mean": (0.3,)}, "value_mean and value_std go together"),
        ("fit-a-nef", {"value_mean": (0.3,), "value_std": (0.0,)}, "std must be positive"),
        ("fit-a-nef", {"value_mean": (np.nan,), "value_std": (1.0,)}, "mean must be finite"),
        ("fit-a-nef", {"value_mean": (0.3,) * 3, "value_std": (1.0,)}, "mean needs 1 or 1 numbers"),
    ],
)
def test_options_are_used_or_refused_before_anything_is_written(
    images, tmp_path, name, options, said
):
    with pytest.raises(ValueError, match=said):
        export(images, name, tmp_path / "set", **options)
    assert not (tmp_path / "set").exists()


def test_views_sort_as_text(tmp_path):
    from tests.exchange.conftest import IMAGES, small_store

    store = small_store(tmp_path / "store", IMAGES, 11, "fashion-mnist")
    root = export(store, "dws-multiview", tmp_path / "set", splits=("train",))
    found = sorted(path.name for path in root.iterdir() if path.is_dir())
    assert found == [f"{view:02d}" for view in range(11)]


def test_dws(images, tmp_path):
    root = export(images, "dws", tmp_path / "set")
    for split in SPLITS:
        for place, sample in enumerate(neighbours.dwsnets(root / "splits.json", split)):
            path, label, weights, biases = sample
            row = first_row(split, place)
            assert label == (row // 3) % 3
            assert ("training" in path) == (split != "test")
            assert path.endswith(f"_{label}_{row // 3 % 7}/checkpoints/model_final.pth")
            shown = siren(weights, biases, mgrid("xy")) + 0.5
            assert_close(shown, truth(images, row), rtol=0, atol=1e-6)
    data = json.loads((root / "splits.json").read_text())
    assert all(isinstance(label, str) for label in data["train"]["label"])


@pytest.mark.parametrize("like", ["mnist", "fashion-mnist"])
def test_neural_graphs(images, tmp_path, like):
    root = export(images, "neural-graphs", tmp_path / "set", like=like)
    data = json.loads((root / "splits.json").read_text())
    assert all(type(label) is int for label in data["test"]["label"])
    for split in SPLITS:
        samples = neighbours.neural_graphs(root, "splits.json", split)
        assert len(samples) == COUNTS[split]
        for place, (path, label, weights, biases) in enumerate(samples):
            row = first_row(split, place)
            numbered = path.parts[-3] if like == "mnist" else path.stem
            assert int(numbered.split("_")[-1]) == row // 3 % 7
            assert label == (row // 3) % 3
            shown = siren(weights, biases, mgrid("xy")) + 0.5
            assert_close(shown, truth(images, row), rtol=0, atol=1e-6)


def test_scalegmn(images, tmp_path):
    root = export(images, "scalegmn", tmp_path / "set")
    for split in SPLITS:
        samples = neighbours.scalegmn_fashion(f"{root}/", root / "splits.json", split)
        assert len(samples) == COUNTS[split]
        for place, (_, label, weights, biases) in enumerate(samples):
            row = first_row(split, place)
            assert label == (row // 3) % 3
            shown = siren(weights, biases, mgrid("xy")) + 0.5
            assert_close(shown, truth(images, row), rtol=0, atol=1e-6)
    mnist = export(images, "scalegmn", tmp_path / "mnist", like="mnist")
    assert len(neighbours.dwsnets(mnist / "splits.json", "val")) == 2
    cifar = export(images, "scalegmn", tmp_path / "cifar", like="cifar10")
    assert len(neighbours.nfn(cifar / "siren_cifar_wts")) == 10
    assert len(neighbours.nfn(cifar / "siren_cifar_wts", "randinit_smaller_aug1")) == 5


def test_nfn(images, tmp_path):
    root = export(images, "nfn", tmp_path / "set")
    points = json.loads((root / "split_points.json").read_text())
    assert points == {"split_points": [5, 7]}
    # further views are of the five training items alone, and count from 0
    for view, (prefix, num) in enumerate([("", 10), ("_aug0", 5), ("_aug1", 5)]):
        samples = neighbours.nfn(root / "siren_fashion_wts", f"randinit_smaller{prefix}")
        assert len(samples) == num
        for index, label, weights, biases in samples:
            assert label == index % 3
            shown = siren(weights, biases, mgrid("ij"))
            expected = 2 * truth(images, 3 * index + view) - 1
            assert_close(shown, expected, rtol=0, atol=1e-6)


def test_fit_a_nef(images, tmp_path):
    root = export(images, "fit-a-nef", tmp_path / "set", value_mean=(0.25,), value_std=(0.5,))
    names = ["nefs_0-5.hdf5", "nefs_5-7.hdf5", "nefs_7-10.hdf5"]
    assert sorted(path.name for path in root.glob("*.hdf5")) == names
    omega = json.loads((root / "nef.json").read_text())["params"]["omega_0"]
    for split in SPLITS:
        start = first_row(split, 0) // 3
        cut, labels = neighbours.neural_field_arena(root, start, start + COUNTS[split])
        layers = ["kernel_net_0.linear", "kernel_net_1.linear", "output_linear"]
        assert list(cut) == [f"{x}.{kind}" for x in layers for kind in ("bias", "kernel")]
        for place in range(COUNTS[split]):
            row = first_row(split, place)
            assert labels[place] == (row // 3) % 3
            weights = [cut[f"{x}.kernel"][place].T for x in layers]
            biases = [cut[f"{x}.bias"][place] for x in layers]
            shown = siren(weights, biases, mgrid("xy"), omega)
            assert_close(shown, (truth(images, row) - 0.25) / 0.5, rtol=0, atol=1e-6)
    metadata = json.loads((root / "metadata.json").read_text())
    assert metadata["train"] == metadata["0_5"]
    cut, _ = neighbours.neural_field_arena(root, 0, 5)
    flat = np.concatenate([value.flatten(1).numpy() for value in cut.values()], axis=1)
    # one number a tensor, as the loader's default normalisation has it
    names = [f"{x}.{kind}" for x in layers for kind in ("bias", "kernel")]
    cuts = np.cumsum([cut[name][0].numel() for name in names])[:-1]
    for key, wanted in (("mean", np.mean), ("std", np.std)):
        parts = np.split(np.array(metadata["train"][key]), cuts)
        for part, entries in zip(parts, np.split(flat, cuts, axis=1), strict=True):
            assert np.allclose(part, wanted(entries), atol=1e-6)


def test_fit_a_nef_must_know_how_values_are_standardised(images, tmp_path):
    from tests.exchange.conftest import IMAGES, small_store

    store = small_store(tmp_path / "store", IMAGES, 1, "holiday-pictures")
    with pytest.raises(ValueError, match="state --value-mean and --value-std"):
        export(store, "fit-a-nef", tmp_path / "set")


def test_inr2vec(shapes, tmp_path):
    root = export(shapes, "inr2vec", tmp_path / "set")
    opened = open_store(shapes)
    for split in SPLITS:
        samples = neighbours.inr2vec(root, split)
        assert len(samples) == COUNTS[split]
        for place, (points, params, label) in enumerate(samples):
            row = first_row(split, place, views=1)
            assert torch.equal(params, opened.read([row]).flat()[0])
            assert (points.shape, label) == ((2048, 3), row % 3)
            # the points lie on the zero level, as far as a grid of 32 tells
            if np.any(points):
                there = evaluate(opened.spec, opened.read([row]), torch.from_numpy(points))
                spread = evaluate(
                    opened.spec, opened.read([row]), grid_coords(opened.spec, (9,) * 3)
                )
                assert there.abs().mean() < 0.1 * spread.abs().mean()
    assert any(np.any(points) for points, _, _ in samples)


def test_inr2vec_meshes(shapes, tmp_path):
    root = export(shapes, "inr2vec", tmp_path / "set")
    opened, filled = open_store(shapes), 0
    for split in SPLITS:
        samples = neighbours.inr2vec_meshes(root, split)
        for place, (vertices, triangles, params, label) in enumerate(samples):
            row = first_row(split, place, views=1)
            assert torch.equal(params, opened.read([row]).flat()[0])
            assert label == row % 3
            if not len(triangles):
                continue
            filled += 1
            # every vertex is used, and on the zero level as far as the grid tells
            assert torch.equal(triangles.unique(), torch.arange(len(vertices)))
            there = evaluate(opened.spec, opened.read([row]), vertices)
            spread = evaluate(opened.spec, opened.read([row]), grid_coords(opened.spec, (9,) * 3))
            assert there.abs().mean() < 0.1 * spread.abs().mean()
    assert filled


def test_inr2vec_of_occupancy_is_negative_inside(tmp_path):
    from tests.exchange.conftest import SHAPES, small_store

    solid = replace(SHAPES, value_kind="occupancy", value_range=(0.0, 1.0), output_offset=0.5)
    store = small_store(tmp_path / "store", solid, 1, "modelnet40")
    root, grid = export(store, "inr2vec", tmp_path / "set"), grid_coords(solid, (9,) * 3)
    seen = set[bool]()
    for place, (_, params, _) in enumerate(neighbours.inr2vec(root, "train")):
        inside = evaluate(solid, open_store(store).read([place]), grid)[0] > 0.5
        layers = Params.from_flat(solid, params[None])
        logits = siren([w[0] for w in layers.weights], [b[0] for b in layers.biases], grid.double())
        assert torch.equal(logits < 0, inside)
        seen |= {bool(one) for one in inside}
    assert seen == {True, False}
    unsigned = replace(SHAPES, value_kind="unsigned_distance")
    store = small_store(tmp_path / "unsigned", unsigned, 1, "modelnet40")
    with pytest.raises(ValueError, match="negative inside and positive outside; got unsigned"):
        export(store, "inr2vec", tmp_path / "other")


def test_a_mesh_that_has_no_room_is_made_coarser(shapes, monkeypatch):
    opened = open_store(shapes)
    found = [surface_mesh(opened.spec, opened.read([row])) for row in range(3)]
    row, fine = next((row, mesh) for row, mesh in enumerate(found) if len(mesh.faces))
    monkeypatch.setattr("inrgen.exchange.formats.inr2vec._MAX_TRIANGLES", len(fine.faces) - 1)
    coarse = surface_mesh(opened.spec, opened.read([row]))
    assert 0 < len(coarse.faces) < len(fine.faces)


def test_safetensors(images, tmp_path):
    root = export(images, "safetensors", tmp_path / "set")
    (plain := tmp_path / "plain").touch()
    # Others may read the file, as the umask says.
    assert (root / "val-00001.safetensors").stat().st_mode & 0o777 == plain.stat().st_mode & 0o777
    with safe_open(root / "val-00001.safetensors", framework="np") as file:
        assert file.get_tensor("row").tolist() == list(range(15, 21))
        flat, metadata = file.get_tensor("params"), file.metadata()
    assert np.array_equal(flat, open_store(images).read(range(15, 21)).flat().numpy())
    assert json.loads(metadata["item_ids"])[::3] == ["train/00005", "train/00006"]
    assert json.loads(metadata["spec"]) == open_store(images).spec.to_dict()


def test_huggingface(images, tmp_path):
    root = export(images, "huggingface", tmp_path / "set", license="mit")
    table = polars.read_parquet(root / "data" / "train-*.parquet")
    assert table["weights"].dtype == polars.Array(polars.Float32, 67)
    expected = open_store(images).read(range(15)).flat().numpy()
    assert np.array_equal(table["weights"].to_numpy(), expected)
    code = (
        "import datasets, sys\n"
        "data = datasets.load_dataset(sys.argv[1], cache_dir=sys.argv[2])\n"
        "sys.stdout.write(str({k: v.num_rows for k, v in data.items()}))\n"
        "sys.stdout.write(str(data['train'].features['label'].names) + '\\n')\n"
        "block = open(sys.argv[1] + '/README.md').read().split('```python')[1].split('```')[0]\n"
        "import os; os.chdir(sys.argv[1] + '/..'); exec(block)\n"
    )
    environment = {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1", "PATH": ""}
    argv = [sys.executable, "-c", code, str(root), str(tmp_path / "cache")]
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, check=False)
    assert done.stdout.startswith("{'train': 15, 'val': 6, 'test': 9}"), done.stderr
    opened = open_store(images)
    centre = evaluate(opened.spec, opened.read([0]), torch.zeros(1, 2))
    assert "['a', 'b', 'c']" in done.stdout
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split("\n")[1].strip(" []")) == pytest.approx(float(centre), abs=1e-5)
    card = (root / "README.md").read_text()
    assert 'license: "mit"' in card
    # The sections of the store's own card.
    assert "## How it was made" in card
    assert "## How good they are" in card


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_huggingface_has_a_croissant_record(images, tmp_path):
    mlcroissant = pytest.importorskip("mlcroissant")
    root = export(images, "huggingface", tmp_path / "set")
    dataset = mlcroissant.Dataset(root / "croissant.json")
    assert dataset.metadata.issues.errors == set()
    found = sorted(dataset.records("records"), key=lambda record: record["records/row"])
    assert [record["records/row"] for record in found] == list(range(30))
    expected = open_store(images).read([0]).flat()[0].tolist()
    assert found[0]["records/weights"] == pytest.approx(expected)


@pytest.mark.parametrize("name", ["dws-multiview", "dws", "neural-graphs", "scalegmn"])
def test_statistics_are_of_the_training_rows(images, tmp_path, name):
    root = export(images, name, tmp_path / "set")
    found = torch.load(root / "statistics.pth", weights_only=True)
    rows = range(15) if name == "dws-multiview" else range(0, 15, 3)
    params = open_store(images).read(rows)
    for kind, tensors in (
        ("weights", [w.mT for w in params.weights]),
        ("biases", list(params.biases)),
    ):
        for layer, tensor in enumerate(tensors):
            mean, std = found[kind]["mean"][layer], found[kind]["std"][layer]
            assert mean.shape == (*tensor.shape[1:], 1)
            assert_close(mean[..., 0], tensor.mean(0), rtol=0, atol=1e-6)
            assert_close(std[..., 0], tensor.std(0), rtol=0, atol=1e-6)


def test_a_sidecar_says_the_conventions(images, tmp_path):
    root = export(images, "nfn", tmp_path / "set")
    said = json.loads((root / SIDECAR).read_text())
    assert said["conventions"]["coord_order"] == "ij"
    assert said["rows"] == {"train": 15, "val": 2, "test": 3}
