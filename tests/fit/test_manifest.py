"""Workers open the items of their block from the manifest, and touch nothing else of the source."""

import os
import wave
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from PIL import Image

from inrgen.core.spec import InrSpec
from inrgen.fit.manifest import ManifestSlice, open_slice, write_manifest
from inrgen.sources import catalog, parts
from inrgen.sources.base import BadSignal, Signal, Source
from inrgen.sources.bounds import load_item
from inrgen.sources.catalog import open_source
from inrgen.sources.config import SourceConfig
from inrgen.store.create import create_store
from inrgen.store.layout import Layout
from inrgen.store.writer import StoreWriter

SPEC = InrSpec(widths=(2, 3, 1), omega=(30.0,))


def write_pictures(root: Path) -> None:
    # one name is no UTF-8, and one picture cannot be read
    names = ["a/1.png", "a/2.png", "b/3.png", os.fsdecode(b"b/caf\xe9.png"), "b/bad.png"]
    for at, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((2, 3 + at), at, np.uint8)).save(root / name)
    (root / "b/bad.png").write_bytes(b"no picture")


def pictures(folder: Path) -> SourceConfig:
    write_pictures(folder / "data")
    return SourceConfig(name="image-folder", data=str(folder / "data"))


def meshes(folder: Path) -> SourceConfig:
    for name in ("chair/train/1.off", "chair/test/2.off"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("OFF\n4 4 0\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n")
    return SourceConfig(name="mesh-folder", data=str(folder))


def sounds(folder: Path) -> SourceConfig:
    for name in ("low.wav", "high.wav"):
        with wave.open(str(folder / name), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(name.encode() * 6)
    return SourceConfig(name="audio-folder", data=str(folder))


def films(folder: Path) -> SourceConfig:
    for name in ("a/0.png", "a/1.png", "b/0.png", "b/1.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((2, 3), len(name), np.uint8)).save(folder / name)
    first, second = (Image.fromarray(np.full((2, 3), n, np.uint8)) for n in (1, 2))
    (folder / "gifs").mkdir()
    first.save(folder / "gifs/c.gif", save_all=True, append_images=[second])
    return SourceConfig(name="video-folder", data=str(folder))


def array(write: Callable[[Path, np.ndarray], None]) -> Callable[[Path], SourceConfig]:
    def make(folder: Path) -> SourceConfig:
        values = np.random.default_rng(0).integers(0, 9, (3, 20, 2), dtype=np.uint8)
        write(folder / "values", values)
        (path,) = folder.glob("values*")
        return SourceConfig(name="array", data=str(path), axes="ynx", split="train")

    return make


def write_zarr(path: Path, values: np.ndarray) -> None:
    held = zarr.create_array(path, shape=values.shape, chunks=(3, 4, 2), dtype=values.dtype)
    held[:] = values


def copied(make: Callable[[Path], SourceConfig]) -> Callable[[Path], SourceConfig]:
    return lambda folder: replace(make(folder), copies=2, flip=True, shift=1)


def points(folder: Path) -> SourceConfig:
    rng = np.random.default_rng(0)
    values, coords = rng.standard_normal((9, 5, 1)), rng.standard_normal((9, 5, 2))
    zarr.save_group(str(folder / "g"), values=values, coords=coords)
    return SourceConfig(name="array", data=str(folder / "g"), limit=2)


def make_waves(num: int = 30) -> np.ndarray:
    return np.arange(num * 4, dtype=np.float32).reshape(num, 4, 1)


KINDS = {
    "digits": lambda folder: SourceConfig(name="digits", limit=3),
    "own function": lambda folder: SourceConfig(name="waves:make", split="test"),
    "pictures": pictures,
    "meshes": meshes,
    "sounds": sounds,
    "films": films,
    "npy": array(np.save),
    "npz": array(lambda path, values: np.savez(path, values=values)),
    "zarr": array(write_zarr),
    "points": points,
}
KINDS |= {f"copied {kind}": copied(KINDS[kind]) for kind in ("digits", "pictures", "npy")}


@pytest.fixture
def own_function(monkeypatch):
    monkeypatch.setattr(catalog, "import_own", lambda name, kind: make_waves)


def written(
    store: str | Path, source: Source, config: SourceConfig, size: int = 2
) -> list[tuple[range, ManifestSlice]]:
    """Runs of size items in the manifest of a new store that is being built."""
    num = len(source.items)
    create_store(store, [(SPEC, Layout(rows=num, views=1))], {}, {})
    runs = [range(at, min(at + size, num)) for at in range(0, num, size)]
    with StoreWriter(store) as writer:
        slices = write_manifest(writer, source, config, runs)
    return [(run, slices[run.start]) for run in runs]


def same(one: Signal | BadSignal, other: Signal | BadSignal) -> bool:
    if isinstance(one, BadSignal) or isinstance(other, BadSignal):
        return str(one) == str(other)
    return one.sha256() == other.sha256()


@pytest.mark.usefixtures("own_function")
@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_reads_the_signals_that_the_driver_listed(kind, tmp_path, monkeypatch):
    monkeypatch.setattr("inrgen.fit.manifest._FILE_BYTES", 1)  # a file for each block
    (tmp_path / "source").mkdir()
    config = KINDS[kind](tmp_path / "source")
    source = open_source(config)
    for items, where in written(tmp_path / "S", source, config):
        part = open_slice(str(tmp_path / "S"), where, config)
        assert list(part.items) == list(source.items[items.start : items.stop])
        for at, index in enumerate(items):
            assert same(load_item(part, at, config), load_item(source, index, config))


def test_a_worker_lists_no_folder_and_opens_no_other_file(tmp_path, monkeypatch, bucket_url):
    config = pictures(tmp_path)
    blocks = written(bucket_url, open_source(config), config, size=1)
    opened: list[str] = []
    real_open = Image.open
    monkeypatch.setattr(os, "scandir", lambda path: pytest.fail(f"listed {path}"))
    monkeypatch.setattr(
        Image, "open", lambda path: opened.append(Path(path).name) or real_open(path)
    )
    part = open_slice(bucket_url, blocks[0][1], config)
    part.load(0)
    assert opened == [part.items[0].item_id.rpartition("/")[2]]


def test_a_file_that_vanishes_is_a_bad_item_and_a_folder_that_is_not_there_an_error(tmp_path):
    config, store = pictures(tmp_path), str(tmp_path / "S")
    source = open_source(config)
    (items, where), *_ = written(store, source, config, size=len(source.items))
    first = source.items[0].item_id
    (tmp_path / "data" / first).unlink()
    part = open_slice(store, where, config)
    gone = load_item(part, 0, config)
    assert isinstance(gone, BadSignal)
    assert "No such file" in str(gone)
    assert isinstance(load_item(part, 1, config), Signal)
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError, match="no folder"):
        open_slice(store, where, config)
    (tmp_path / "data").mkdir()
    with pytest.raises(ValueError, match=f"none of {len(items)} files .* all nodes must see"):
        open_slice(store, where, config)


def test_a_source_that_changed_and_a_damaged_manifest_are_refused(tmp_path, monkeypatch):
    config, store = SourceConfig(name="waves:make"), str(tmp_path / "S")
    parts._opened_before.cache_clear()
    monkeypatch.setattr(catalog, "import_own", lambda name, kind: make_waves)
    source = open_source(config)
    blocks = written(store, source, config, size=len(source.items))
    monkeypatch.setattr(catalog, "import_own", lambda name, kind: lambda: make_waves(29))
    with pytest.raises(ValueError, match="are not those that the build began with"):
        open_slice(store, blocks[0][1], config)
    parts._opened_before.cache_clear()
    path = Path(store, blocks[0][1].key)
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    with pytest.raises(OSError, match="is damaged"):
        open_slice(store, blocks[0][1], config)
