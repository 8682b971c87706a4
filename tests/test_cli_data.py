"""Damaged data sets and bad pictures, as a user meets them on the command line."""

import gzip
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inrgen.store.reader import open_store
from tests.command_line import QUICK, refusal, run


def idx(array: np.ndarray, magic: int | None = None) -> bytes:
    magic = 0x800 + array.ndim if magic is None else magic
    return struct.pack(f">i{array.ndim}i", magic, *array.shape) + array.tobytes()


def write_mnist(folder: Path, images: bytes, labels: bytes) -> None:
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "t10k-images-idx3-ubyte.gz").write_bytes(images)
    (raw / "t10k-labels-idx1-ubyte.gz").write_bytes(labels)


IMAGES = np.arange(3 * 28 * 28, dtype=np.uint8).reshape(3, 28, 28)
LABELS = np.array([1, 2, 3], dtype=np.uint8)


@pytest.mark.parametrize(
    ("images", "labels", "name"),
    [
        (gzip.compress(idx(IMAGES, magic=0x801)), gzip.compress(idx(LABELS)), "images"),
        (gzip.compress(idx(IMAGES))[:-20], gzip.compress(idx(LABELS)), "images"),
        (gzip.compress(idx(IMAGES)[:-5]), gzip.compress(idx(LABELS)), "images"),
        (gzip.compress(idx(IMAGES)), gzip.compress(idx(LABELS[:2])), "labels"),
        (b"not gzip at all", gzip.compress(idx(LABELS)), "images"),
        (b"", gzip.compress(idx(LABELS)), "images"),
    ],
    ids=["wrong magic", "truncated gz", "too few pixels", "too few labels", "not gz", "empty"],
)
def test_a_damaged_data_set_is_one_sentence_that_names_the_file(
    images, labels, name, tmp_path, capsys
):
    write_mnist(tmp_path, images, labels)
    options = ["--data", tmp_path, "--split", "test", "--out", tmp_path / "store", *QUICK]
    assert f"t10k-{name}" in refusal(capsys, "build", "mnist", *options)


def test_one_bad_picture_among_many_is_a_record_and_the_build_goes_on(tmp_path, capsys):
    pictures = tmp_path / "pictures" / "cats"
    pictures.mkdir(parents=True)
    noise = np.random.default_rng(0)
    for number, shape in enumerate([(9, 7), (6, 6), (5, 11)]):
        Image.fromarray(noise.integers(0, 255, shape, dtype=np.uint8)).save(
            pictures / f"{number}.png"
        )
    (pictures / "broken.png").write_bytes((pictures / "0.png").read_bytes()[:40])
    (pictures / "empty.png").write_bytes(b"")
    Image.fromarray(np.full((4, 4), np.nan, dtype=np.float32)).save(pictures / "nan.tiff")
    out = tmp_path / "store"
    status, _, err = run(
        capsys, "build", "image-folder", "--data", tmp_path / "pictures", "--out", out, *QUICK
    )
    assert status == 0, err
    columns = ["item_id", "status", "reason", "grid", "label_name"]
    records = open_store(out).records.to_table(columns=columns).to_pylist()
    by_item = {record["item_id"]: record for record in records}
    assert len(records) == 12
    assert {r["label_name"] for r in records} == {"cats"}
    for name in ("broken.png", "empty.png", "nan.tiff"):
        assert by_item[f"cats/{name}"]["status"] == "bad_input"
        assert by_item[f"cats/{name}"]["reason"]
    assert by_item["cats/0.png"]["grid"] == [9, 7]


def test_an_unwritable_place_is_named(tmp_path):
    """Run as an ordinary user where tests run as root, whom no permission stops."""
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    command = [sys.executable, "-c", _AS_NOBODY, str(locked / "store")]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 1, process.stderr
    assert str(locked / "store") in process.stderr
    assert "Traceback" not in process.stderr


# Everything is imported before the change of user, who may not read the environment.
_AS_NOBODY = """
import os, sys
from inrgen.cli import main
import inrgen.commands.build, inrgen.fit.build, sklearn.datasets
if os.getuid() == 0:
    os.setuid(65534)
sys.exit(main(["build", "digits", "--limit", "2", "--workers", "0", "--out", sys.argv[1]]))
"""
