"""An import of any folder ends in a store of honest records or in one clear error."""

import json
import shutil
import struct
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from inrgen.core.config import SPLITS
from inrgen.exchange.conventions import FAMILIES, ExportOptions
from inrgen.exchange.export_plan import plan_export
from inrgen.exchange.export_run import run_export
from tests.exchange.importers import import_folder

FORMATS = [
    "dws-multiview",
    "dws",
    "neural-graphs",
    "scalegmn",
    "nfn",
    "fit-a-nef",
    "inr2vec",
    "safetensors",
    "huggingface",
]


def some(examples: int) -> settings:
    """The same few examples every time, without the long search for a smaller one."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["train", "val", "path", "label", "conventions", "widths", "x"]), inner
        )
    ),
    max_leaves=8,
)
PATHS = st.sampled_from(
    ["../x", "/etc/passwd", "a/b/c", "", ".", "\0", "0/train/../../../x.pth", "\ud800", "~/x"]
)


@pytest.fixture(scope="module")
def exported(images, shapes, tmp_path_factory) -> dict[str, Path]:
    """Every format, whole."""
    root, folders = tmp_path_factory.mktemp("exported"), {}
    for name in FORMATS:
        store = shapes if name == "inr2vec" else images
        options = ExportOptions(path_prefix="set" if name == "dws" else None)
        run_export(plan_export(store, name, root / name, options=options), 0)
        folders[name] = root / name
    return folders


def listing(folder: Path) -> list[str]:
    return sorted(path.as_posix() for path in folder.rglob("*"))


def check(folder: Path, name: str) -> None:
    """Import a folder and check the outcome."""
    beside, out = listing(folder.parent), folder.parent / "store"
    try:
        store = import_folder(folder, name, out, FAMILIES["dws"])
    except (ValueError, OSError):
        return
    table = store.records.to_table(columns=["row", "status", "reason"]).to_pylist()
    for record in table:
        row = store.read([record["row"]]).flat()
        assert bool(torch.isfinite(row).all()) == (record["status"] == "ok")
        assert bool(record["reason"]) == (record["status"] != "ok")
        assert bool(torch.isnan(row).all()) or record["status"] == "ok"
    assert [path for path in listing(folder.parent) if not path.startswith(str(out))] == beside


def damage(path: Path, data: st.DataObject) -> None:
    """Cut a file, flip some of its bytes, or replace some."""
    content = bytearray(path.read_bytes())
    kind = data.draw(st.sampled_from(["cut", "flip", "replace", "double"]))
    at = data.draw(st.integers(0, max(len(content) - 1, 0)))
    if kind == "cut" or not content:
        content = content[:at]
    elif kind == "flip":
        for place in data.draw(st.lists(st.integers(0, max(len(content) - 1, 0)), max_size=8)):
            content[place] ^= data.draw(st.integers(1, 255))
    elif kind == "replace":
        content[at : at + 16] = data.draw(st.binary(max_size=64))
    else:
        content = content * 2
    path.write_bytes(content)


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", FORMATS)
@some(6)
@given(data=st.data())
def test_damaged_files(name, exported, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("fuzz") / name
    shutil.copytree(exported[name], folder)
    files = files_of(folder)
    for _ in range(data.draw(st.integers(1, 3))):
        damage(data.draw(st.sampled_from(files)), data)
    if data.draw(st.booleans()):
        one, other = data.draw(st.sampled_from(files)), data.draw(st.sampled_from(files))
        swapped = one.read_bytes()
        one.write_bytes(other.read_bytes())
        other.write_bytes(swapped)
    check(folder, name)


@pytest.mark.parametrize("name", FORMATS)
@some(5)
@given(data=st.data())
def test_documents_that_say_something_else(name, exported, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("fuzz") / name
    shutil.copytree(exported[name], folder)
    documents = sorted(folder.glob("*.json"))
    path = data.draw(st.sampled_from(documents))
    said = json.loads(path.read_text())
    if data.draw(st.booleans()):
        said[data.draw(st.sampled_from(sorted(said)))] = data.draw(JSON)
    else:
        said = {split: data.draw(st.lists(PATHS, max_size=4)) for split in SPLITS}
    path.write_text(json.dumps(said))
    check(folder, name)


TENSORS = st.sampled_from(
    [
        torch.zeros(0),
        torch.zeros(6, 2).double(),
        torch.zeros(6, 2).half(),
        torch.zeros(6, 2, dtype=torch.complex64),
        torch.zeros(2, 6),
        torch.full((6, 2), float("inf")),
        torch.zeros(1).expand(1 << 33, 2),
        torch.eye(6).to_sparse(),
        torch.zeros(6, 2, dtype=torch.bfloat16),
        [1, 2],
        None,
        "text",
        torch.zeros(()),
    ]
)


@some(12)
@given(data=st.data())
def test_state_dicts_with_anything_in_them(exported, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("fuzz") / "dws-multiview"
    shutil.copytree(exported["dws-multiview"], folder)
    path = folder / "0" / "train" / "model_0.pth"
    state = torch.load(path, weights_only=True)
    for key in data.draw(st.lists(st.sampled_from(sorted(state)), min_size=1, max_size=3)):
        if data.draw(st.booleans()):
            state[data.draw(st.sampled_from(["weight", "bias", "x", 3, key]))] = state[key]
        state[key] = data.draw(TENSORS)
    path.unlink()
    torch.save(data.draw(st.sampled_from([state, list(state), 3])), path)
    check(folder, "dws-multiview")


@some(10)
@given(data=st.data())
def test_hdf5_files_with_anything_in_them(exported, tmp_path_factory, data):
    name = data.draw(st.sampled_from(["fit-a-nef", "inr2vec"]))
    folder = tmp_path_factory.mktemp("fuzz") / name
    shutil.copytree(exported[name], folder)
    path = sorted(folder.rglob("*.h*5"))[0]
    with h5py.File(path, "a") as file:
        key = data.draw(st.sampled_from(sorted(file)))
        del file[key]
        kind = data.draw(st.sampled_from(["none", "group", "link", "huge", "type", "text"]))
        if kind == "group":
            file.create_group(key)
        elif kind == "link":
            file[key] = h5py.SoftLink("/nowhere")
        elif kind == "huge":
            file.create_dataset(key, shape=(1 << 40, 3), dtype="f4", chunks=(1 << 10, 3))
        elif kind == "type":
            file.create_dataset(key, data=np.zeros((5, 67), dtype=np.complex64))
        elif kind == "text":
            file.create_dataset(key, data=["[[1, [2]]]"], dtype=h5py.string_dtype())
    check(folder, name)


def test_an_archive_that_unpacks_to_more_than_it_is(exported, tmp_path):
    folder = tmp_path / "dws-multiview"
    shutil.copytree(exported["dws-multiview"], folder)
    path = folder / "0" / "train" / "model_0.pth"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    check(folder, "dws-multiview")
    store = import_folder(folder, "dws-multiview", tmp_path / "again", FAMILIES["dws"])
    reasons = store.records.to_table(columns=["row", "reason"]).sort_by("row")["reason"]
    assert "is compressed" in reasons[0].as_py()


def test_a_safetensors_header_that_claims_too_much(exported, tmp_path):
    folder = tmp_path / "safetensors"
    shutil.copytree(exported["safetensors"], folder)
    path = folder / "train-00000.safetensors"
    huge = {"params": {"dtype": "F32", "shape": [1 << 50, 9], "data_offsets": [0, 36 << 50]}}
    header = json.dumps(huge).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(ValueError, match="no shard of inrgen's"):
        import_folder(folder, "safetensors", tmp_path / "store")
    check(folder, "safetensors")
