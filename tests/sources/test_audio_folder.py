"""Folders of sounds: every width of sample, layouts, and every way for one file to be bad."""

import struct

import numpy as np
import pytest
from scipy.io import wavfile

from inrgen.commands.build import build
from inrgen.commands.extract import ExtractConfig, extract
from inrgen.fit.build_config import BuildConfig
from inrgen.sources.base import BadSignal
from inrgen.sources.catalog import open_source
from inrgen.sources.config import SourceConfig
from inrgen.store.reader import open_store

RATE = 1000
WAVE = np.array([0.0, 0.5, -0.5, 0.25, -1.0, 0.75])


def wave_bytes(values=WAVE, bits=16, channels=1, tag=1, extensible=False, cut=None, data=None):
    """A file by its definition, with values in [-1, 1] as its samples."""
    if data is None:
        if tag == 3:
            data = values.astype(f"<f{bits // 8}").tobytes()
        elif bits == 8:
            data = (values * 128 + 128).clip(0, 255).astype(np.uint8).tobytes()
        else:
            whole = np.rint(values * 2 ** (bits - 1)).clip(max=2 ** (bits - 1) - 1)
            data = whole.astype("<i8").view(np.uint8).reshape(-1, 8)[:, : bits // 8].tobytes()
    frame = channels * bits // 8
    format_ = struct.pack("<HHIIHH", tag, channels, RATE, RATE * frame, frame, bits)
    if extensible:
        guid = struct.pack("<H", tag) + b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"
        format_ = struct.pack("<H", 0xFFFE) + format_[2:] + struct.pack("<HHI", 22, bits, 4) + guid
    chunks = b"fmt " + struct.pack("<I", len(format_)) + format_
    chunks += b"LIST" + struct.pack("<I", 3) + b"odd\0"
    chunks += b"data" + struct.pack("<I", len(data)) + data
    return (b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WAVE" + chunks)[:cut]


def open_folder(folder, **other):
    return open_source(SourceConfig(name="audio-folder", data=str(folder), **other))


@pytest.mark.parametrize("extensible", [False, True])
@pytest.mark.parametrize(("tag", "bits"), [(1, 8), (1, 16), (1, 24), (1, 32), (3, 32), (3, 64)])
def test_samples_of_every_width_are_their_shares_of_full_scale(tmp_path, tag, bits, extensible):
    (tmp_path / "a.WAV").write_bytes(wave_bytes(bits=bits, tag=tag, extensible=extensible))
    source = open_folder(tmp_path)
    signal = source.load(0)
    assert (signal.grid, signal.values.shape) == ((6,), (6, 1))
    assert signal.values[:, 0].numpy() == pytest.approx(WAVE, abs=0)
    assert (source.facts.coord_order, source.facts.value_range) == ("t", (-1.0, 1.0))
    if not extensible or tag == 3:
        # scipy leaves 24 bits at the top of 32, and all samples in the units of their type
        _, theirs = wavfile.read(tmp_path / "a.WAV")
        full = {"u": 128, "i": 2.0 ** (8 * theirs.itemsize - 1), "f": 1}[theirs.dtype.kind]
        assert signal.values[:, 0].numpy() == pytest.approx(theirs / full - (bits == 8), abs=0)


def test_channels_splits_and_classes_follow_the_folder(tmp_path):
    for name in ("train/owl/1.wav", "test/jay/2.wav"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(wave_bytes())
    (tmp_path / "train/owl/3.wav").write_bytes(wave_bytes(channels=2))
    (tmp_path / "train/owl/5.wav").write_bytes(wave_bytes(channels=3))
    (tmp_path / "train/owl/4.mp3").write_bytes(b"x")
    source = open_folder(tmp_path)
    assert [(i.item_id, i.label_name) for i in source.items][-1] == ("test/jay/2.wav", "jay")
    mono, stereo = source.load(0).values.numpy(), source.load(1).values.numpy()
    assert mono == pytest.approx(WAVE[:, None].repeat(2, axis=1))
    assert stereo == pytest.approx(WAVE.reshape(3, 2))
    for index, words in ((2, "is a .mp3 file"), (3, "has 3 channels, where 2 are fitted")):
        with pytest.raises(BadSignal, match=words):
            source.load(index)
    assert open_folder(tmp_path, split="test").facts.d_out == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"RIFX" + wave_bytes()[4:], "is no WAV file"),
        (wave_bytes(cut=-3), "was cut short: a chunk of 12 bytes begins 9 bytes"),
        (wave_bytes(cut=40), "no data chunk follows"),
        (wave_bytes(tag=0x55), "holds MP3; PCM and float are read"),
        (wave_bytes(bits=12, data=b"123"), "has samples of 12 bits"),
        (wave_bytes(channels=0), "contradicts itself"),
        (wave_bytes(WAVE[:1]), "has 1 samples; a sound needs two"),
        (wave_bytes(2 * WAVE, tag=3, bits=32), "outside .-1, 1. or not finite: 2"),
        (wave_bytes(np.nan * WAVE, tag=3, bits=32), "not finite: nan"),
        (b"RIFF\0\0\0\0WAVE" + 1001 * b"junk\0\0\0\0", "has no samples"),
    ],
)
def test_a_bad_file_says_what_is_wrong(tmp_path, content, words):
    (tmp_path / "a.wav").write_bytes(content)
    (tmp_path / "b.wav").write_bytes(wave_bytes())
    source = open_folder(tmp_path)
    with pytest.raises(BadSignal, match=words):
        source.load([item.item_id for item in source.items].index("a.wav"))


def test_a_sound_larger_than_memory_is_refused_by_its_header(tmp_path):
    with (tmp_path / "a.wav").open("wb") as file:
        file.write(wave_bytes(data=b"")[:-4] + struct.pack("<I", 2**31))
        file.truncate(2**31 + 100)  # a hole, which takes no room on a disk
    with pytest.raises(BadSignal, match=r"take 19.3 GB: more than the 2 GB of --memory-limit"):
        open_folder(tmp_path).load(0)


def test_a_build_can_be_heard_at_the_rate_of_its_files(tmp_path):
    (tmp_path / "in").mkdir()
    tone = 0.8 * np.sin(np.arange(200) / 8)
    (tmp_path / "in/a.wav").write_bytes(wave_bytes(tone))
    (tmp_path / "in/b.wav").write_bytes(wave_bytes(cut=50))
    source = SourceConfig(name="audio-folder", data=str(tmp_path / "in"))
    build(BuildConfig(source=source, out=tmp_path / "s", views=1, num_steps=20, workers=0))
    store = open_store(tmp_path / "s")
    records = {r["item_id"]: r for r in store.records.to_table().to_pylist()}
    assert records["b.wav"]["status"] == "bad_input"
    assert store.identity["recipe"] == "sound"
    row = records["a.wav"]["row"]
    said = extract(ExtractConfig(store=tmp_path / "s", row=row, out=tmp_path / "out/a.wav"))
    rate, heard = wavfile.read(tmp_path / "out/a.wav")
    assert (rate, said.rate_hz, said.num_samples, heard.dtype) == (RATE, RATE, 200, np.int16)
    noise = np.square(heard / 32767 - tone).mean()
    assert 10 * np.log10(4 / noise) == pytest.approx(records["a.wav"]["psnr_db"], abs=0.1)
    extract(ExtractConfig(store=tmp_path / "s", row=row, out=tmp_path / "b.wav", rate=2 * RATE))
    rate, finer = wavfile.read(tmp_path / "b.wav")
    assert (rate, len(finer)) == (2 * RATE, 399)
    assert np.abs(finer[::2].astype(int) - heard).max() <= 1
    with pytest.raises(ValueError, match="a surface needs"):
        extract(ExtractConfig(store=tmp_path / "s", row=row, out=tmp_path / "a.ply"))
