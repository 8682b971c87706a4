"""Data sets of one file each: digits, MNIST's kin and CIFAR-10."""

import gzip
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch

from inrgen.sources.catalog import open_source
from inrgen.sources.config import SourceConfig

NUM = {"train": 24, "t10k": 6}


def idx_bytes(array: np.ndarray, magic: bytes | None = None) -> bytes:
    head = magic or bytes((0, 0, 8, array.ndim))
    return head + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def images_of(stem: str) -> np.ndarray:
    return np.random.default_rng(len(stem)).integers(0, 256, (NUM[stem], 5, 4), dtype=np.uint8)


def labels_of(stem: str) -> np.ndarray:
    return np.arange(NUM[stem], dtype=np.uint8) % 10


@pytest.fixture
def fashion(tmp_path):
    """A small Fashion-MNIST: the train file raw, the test file gzipped."""
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for stem in NUM:
        for kind, array in (
            ("images-idx3", images_of(stem)),
            ("labels-idx1", labels_of(stem)),
        ):
            content = idx_bytes(array)
            if stem == "train":
                (raw / f"{stem}-{kind}-ubyte").write_bytes(content)
            else:
                (raw / f"{stem}-{kind}-ubyte.gz").write_bytes(gzip.compress(content))
    return raw


def config_of(raw, **other) -> SourceConfig:
    return SourceConfig(name="fashion-mnist", data=str(raw.parents[1]), **other)


def test_val_is_the_tail_of_train_and_keeps_its_numbers(fashion):
    source = open_source(config_of(fashion))
    ids = [item.item_id for item in source.items]
    numbered = [("train", n) for n in range(24)] + [("test", n) for n in range(6)]
    assert ids == [f"{prefix}/{n:05d}" for prefix, n in numbered]
    splits = [item.split for item in source.items]
    assert splits == ["train"] * 22 + ["val"] * 2 + ["test"] * 6
    assert [item.label for item in source.items] == [*labels_of("train"), *labels_of("t10k")]
    assert source.items[1].label_name == "Trouser"
    assert source.items[-1] == source.items[29]
    with pytest.raises(IndexError, match="30 items"):
        source.items[30]


def test_signals_are_the_pixels_over_255(fashion):
    source = open_source(config_of(fashion))
    for index, image in ((3, images_of("train")[3]), (26, images_of("t10k")[2])):
        signal = source.load(index)
        assert signal.grid == (5, 4)
        expected = torch.from_numpy(image.astype(np.float32) / 255).reshape(20, 1)
        assert torch.equal(signal.values, expected)


def test_limit_takes_the_first_of_each_split(fashion):
    source = open_source(config_of(fashion, limit=2, limit_order="first"))
    ids = [item.item_id for item in source.items]
    assert ids == [
        "train/00000",
        "train/00001",
        "train/00022",
        "train/00023",
        "test/00000",
        "test/00001",
    ]


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_only_the_files_of_the_split_are_needed(fashion, split):
    whole = open_source(config_of(fashion))
    for path in fashion.glob("t10k*" if split != "test" else "train*"):
        path.unlink()
    part = open_source(config_of(fashion, split=split))
    assert list(part.items) == [item for item in whole.items if item.split == split]
    assert not [path for path in fashion.iterdir() if path.name.startswith("_")]


def test_channels_can_be_insisted_on(fashion):
    gray, rgb = (open_source(config_of(fashion, channels=c)) for c in ("gray", "rgb"))
    assert (gray.facts.d_out, rgb.facts.d_out) == (1, 3)
    assert torch.equal(rgb.load(0).values, gray.load(0).values.expand(20, 3))


def damage_magic(raw):
    (raw / "train-images-idx3-ubyte").write_bytes(
        idx_bytes(images_of("train"), b"\x00\x00\x0d\x03")
    )


def damage_gzip(raw):
    path = raw / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-20])


def damage_length(raw):
    path = raw / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])


def damage_header(raw):
    (raw / "train-labels-idx1-ubyte").write_bytes(b"\x00\x00\x08\x01\x00")


def damage_count(raw):
    (raw / "train-labels-idx1-ubyte").write_bytes(idx_bytes(labels_of("train")[:-1]))


def damage_label(raw):
    (raw / "train-labels-idx1-ubyte").write_bytes(idx_bytes(labels_of("train") + 1))


def too_long(raw):
    path = raw / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes() + b"0")


def bomb(raw):
    """A few bytes of gzip whose header says 10 TB, and which unpack to far more than it holds."""
    head = struct.pack(">4B3I", 0, 0, 8, 3, 10**9, 100, 100)
    (raw / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(head + bytes(10**6)))


def not_gzip(raw):
    (raw / "t10k-labels-idx1-ubyte.gz").write_bytes(b"not gzip at all")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (damage_magic, "train-images-idx3-ubyte needs the idx magic number 00000803"),
        (damage_gzip, "t10k-images-idx3-ubyte.gz is not a whole gzip file"),
        (damage_length, "train-images-idx3-ubyte needs 480 bytes after its header"),
        (too_long, "train-images-idx3-ubyte needs 480 bytes .* got more"),
        (bomb, r"t10k-images-idx3-ubyte\.gz takes 10000\.0 GB unpacked, more than the 2 GB"),
        (damage_header, "train-labels-idx1-ubyte is cut short"),
        (damage_count, "train-labels-idx1-ubyte needs one label for each of the 24 images"),
        (damage_label, "train-labels-idx1-ubyte needs labels from 0 to 9; got 10"),
        (not_gzip, "t10k-labels-idx1-ubyte.gz is not a whole gzip file"),
    ],
    ids=lambda case: getattr(case, "__name__", ""),
)
def test_a_damaged_file_is_named_in_one_sentence(fashion, damage, said):
    damage(fashion)
    with pytest.raises(ValueError, match=said) as caught:
        open_source(config_of(fashion))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no mnist|train-images-idx3-ubyte\.gz"):
        open_source(SourceConfig(name="mnist", data=str(tmp_path)))
    with pytest.raises(ValueError, match="mnist needs data, the folder that holds MNIST/raw"):
        open_source(SourceConfig(name="mnist"))


def test_an_unknown_source_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"digits, fashion-mnist, mnist, .* got 'minst'"):
        open_source(SourceConfig(name="minst"))
    with pytest.raises(ValueError, match="limit must be positive"):
        SourceConfig(name="digits", limit=0)


def test_identity_tells_selections_apart_and_not_places():
    here = SourceConfig(name="mnist", data="/a", limit=3)
    assert here.identity() == SourceConfig(name="mnist", data="/b", limit=3).identity()
    assert here.identity() != SourceConfig(name="mnist", data="/a", limit=4).identity()


def test_digits_fall_into_splits_by_their_ids():
    source = open_source(SourceConfig(name="digits"))
    splits = [item.split for item in source.items]
    counts = [splits.count(split) for split in ("train", "val", "test")]
    assert sum(counts) == 1797
    assert splits == ["train"] * counts[0] + ["val"] * counts[1] + ["test"] * counts[2]
    assert np.allclose(np.array(counts) / 1797, (0.8, 0.1, 0.1), atol=0.03)
    assert source.facts.d_out == 1
    brightest = max(float(source.load(index).values.max()) for index in range(20))
    assert brightest == 1


def test_a_source_survives_being_shipped_to_a_worker():
    source = open_source(SourceConfig(name="digits", limit=3))
    shipped = pickle.loads(pickle.dumps(source))
    assert list(shipped.items) == list(source.items)
    assert shipped.load(4).sha256() == source.load(4).sha256()


def cifar_arrays(num: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(num)
    return rng.integers(0, 256, (num, 32, 32, 3), dtype=np.uint8), np.arange(num) % 10


def write_cifar_binary(folder):
    (folder / "cifar-10-batches-bin").mkdir()
    pixels, labels = cifar_arrays(50)
    records = np.concatenate(
        [labels[:, None].astype(np.uint8), pixels.transpose(0, 3, 1, 2).reshape(50, -1)], axis=1
    )
    for number in range(5):
        path = folder / "cifar-10-batches-bin" / f"data_batch_{number + 1}.bin"
        path.write_bytes(records[number * 10 : number * 10 + 10].tobytes())
    return folder


def write_cifar_npz(folder):
    pixels, labels = cifar_arrays(50)
    np.savez(folder / "cifar10_small.npz", x_train=pixels, y_train=labels)
    return folder


@pytest.mark.parametrize("write", [write_cifar_binary, write_cifar_npz])
def test_cifar10_reads_both_forms_alike(tmp_path, write):
    source = open_source(SourceConfig(name="cifar10", data=str(write(tmp_path)), split="val"))
    assert [item.item_id for item in source.items] == [f"train/{n:05d}" for n in range(45, 50)]
    pixels, _ = cifar_arrays(50)
    expected = torch.from_numpy(pixels[47].astype(np.float32) / 255).reshape(1024, 3)
    assert torch.equal(source.load(2).values, expected)
    assert source.items[2].label_name == "horse"


def test_cifar10_never_unpickles(tmp_path):
    path = tmp_path / "evil.npz"
    np.savez(path, x_train=np.array([{"a": 1}], dtype=object), y_train=np.zeros(1, int))
    with pytest.raises(ValueError, match=r"evil\.npz is not a whole npz archive of plain arrays"):
        open_source(SourceConfig(name="cifar10", data=str(path), split="train"))


def test_an_npz_bomb_is_refused_by_its_headers(tmp_path):
    with zipfile.ZipFile(tmp_path / "cifar10_small.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("x_train", "y_train"):
            with archive.open(f"{name}.npy", "w") as file:
                facts = {"descr": "|u1", "fortran_order": False, "shape": (10**9, 32, 32, 3)}
                np.lib.format.write_array_header_1_0(file, facts)
                file.write(bytes(1000))
    with pytest.raises(ValueError, match=r"npz takes 6144\.0 GB unpacked, more than the 2 GB"):
        open_source(SourceConfig(name="cifar10", data=str(tmp_path), split="train"))


def test_cifar10_names_what_is_wrong(tmp_path):
    with pytest.raises(FileNotFoundError, match="no cifar-10-batches-bin folder"):
        open_source(SourceConfig(name="cifar10", data=str(tmp_path)))
    write_cifar_binary(tmp_path)
    (tmp_path / "cifar-10-batches-bin" / "data_batch_3.bin").write_bytes(b"\x00" * 3072)
    with pytest.raises(ValueError, match=r"data_batch_3\.bin needs whole records of 3073 bytes"):
        open_source(SourceConfig(name="cifar10", data=str(tmp_path), split="train"))


def num_by_split(source) -> dict[str, int]:
    """Counted by runs: to build 70,000 items under run-time type checks takes minutes."""
    return {run.split: len(run) for run in source.items.runs}


def test_the_official_fashion_mnist(real_data):
    source = open_source(SourceConfig(name="fashion-mnist", data=str(real_data)))
    assert num_by_split(source) == {"train": 55000, "val": 5000, "test": 10000}
    assert source.items[55000].item_id == "train/55000"
    assert source.items[55000].split == "val"
    assert source.items[0].label_name == "Ankle boot"
    assert source.load(69999).grid == (28, 28)


def test_the_small_cifar10(real_data):
    source = open_source(SourceConfig(name="cifar10", data=str(real_data)))
    assert num_by_split(source) == {"train": 1350, "val": 150, "test": 300}
    assert source.load(0).values.shape == (1024, 3)
