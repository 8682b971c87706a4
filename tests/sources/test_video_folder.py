"""Folders of films: frames in folders, files of several frames, and bad frames that are named."""

import shutil

import numpy as np
import pytest
from PIL import Image

from inrgen.commands.build import build
from inrgen.fit.build_config import BuildConfig
from inrgen.sources.base import BadSignal
from inrgen.sources.bounds import load_item
from inrgen.sources.catalog import open_source
from inrgen.sources.config import SourceConfig
from inrgen.sources.manifest import decode_slice
from inrgen.sources.parts import item_places, make_slice, open_part
from inrgen.store.reader import open_store

FILM = np.random.default_rng(0).integers(0, 256, (11, 3, 4, 3), dtype=np.uint8)


def write_frames(folder, film=FILM, suffix=".png"):
    folder.mkdir(parents=True)
    for at, frame in enumerate(film):
        Image.fromarray(frame).save(folder / f"{at}{suffix}")


def write_file(path, film=FILM, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *others = map(Image.fromarray, film)
    first.save(path, save_all=True, append_images=others, **options)


def open_folder(folder, **other):
    return open_source(SourceConfig(name="video-folder", data=str(folder), **other))


def film_of(signal):
    """The frames of a signal as they were written, (t, rows, columns, c)."""
    whole = (signal.values.numpy() * 255).round().astype(np.uint8)
    return whole.reshape(*signal.grid, -1)


def test_frames_follow_their_numbers_and_classes_and_splits_follow_the_folders(tmp_path):
    write_frames(tmp_path / "train/wave/a")
    write_file(tmp_path / "train/wave/b.tif")
    write_file(tmp_path / "test/ball/c.webp", lossless=True)
    (tmp_path / "test/ball/notes.txt").write_text("left out")
    source = open_folder(tmp_path)
    named = [(item.item_id, item.split, item.label_name) for item in source.items]
    assert named == [
        ("train/wave/a", "train", "wave"),
        ("train/wave/b.tif", "train", "wave"),
        ("test/ball/c.webp", "test", "ball"),
    ]
    assert (source.facts.coord_order, source.facts.d_out) == ("tyx", 3)
    (note,) = source.facts.notes
    assert "left out: 1 .txt" in note
    assert "films that are files: 2, folders of frames: 1" in note
    for index in range(3):
        assert np.array_equal(film_of(source.load(index)), FILM)


@pytest.mark.parametrize("suffix", [".gif", ".tif", ".webp", ".png"])
def test_gray_films_have_one_output_however_they_are_kept(tmp_path, suffix):
    gray, is_webp = FILM[..., 0], suffix == ".webp"
    if suffix == ".png":
        write_frames(tmp_path / "a", gray)
    else:
        write_file(
            tmp_path / f"a{suffix}", gray, **({"lossless": True} if suffix == ".webp" else {})
        )
    channels = "gray" if is_webp else "auto"  # WebP has no gray pictures
    source = open_folder(tmp_path, channels=channels)
    assert source.facts.d_out == 1
    assert np.array_equal(film_of(source.load(0))[..., 0], gray)
    assert open_folder(tmp_path, channels="rgb").load(0).values.shape == (11 * 12, 3)


def test_films_shrink_to_the_longer_side_and_stay_within_memory(tmp_path):
    write_frames(tmp_path / "a", np.zeros((3, 40, 20), np.uint8))
    write_file(
        tmp_path / "b.gif", np.arange(3, dtype=np.uint8)[:, None, None].repeat(40, 1).repeat(20, 2)
    )
    for source in (open_folder(tmp_path, max_side=10), open_folder(tmp_path, max_pixels=800)):
        assert {source.load(0).grid, source.load(1).grid} <= {(3, 10, 5), (3, 40, 20)}
    small = open_folder(tmp_path, memory_limit=1e-4)  # 800 pixels take 38 KB, and three times so
    for index in range(2):
        with pytest.raises(BadSignal, match=r"3 frames of 20 x 40 pixels.* --memory-limit"):
            small.load(index)
        with pytest.raises(BadSignal, match=r"frame 0.* 800 pixels, more than the 799"):
            open_folder(tmp_path, max_pixels=799).load(index)


def cut(path):
    path.write_bytes(path.read_bytes()[:60])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: cut(folder / "9.png"), "^frame 9.png: damaged image"),
        (lambda folder: (folder / "9.png").write_bytes(b""), "^frame 9.png: is an empty file"),
        (lambda folder: (folder / "9.heic").write_bytes(b"x"), "^frame 9.heic: is a .heic file"),
        (
            lambda folder: Image.new("RGB", (5, 3)).save(folder / "10.png"),
            "^frame 10.png has 5 x 3 pixels, where frame 0.png has 4 x 3",
        ),
        (lambda folder: [f.unlink() for f in folder.glob("[1-9]*")], "has 1 frame; a film needs"),
        (lambda folder: [f.unlink() for f in folder.iterdir()], "has 0 frames; a film needs two"),
    ],
)
def test_a_bad_frame_makes_a_bad_film_that_names_it(tmp_path, spoil, words):
    write_frames(tmp_path / "a")
    write_frames(tmp_path / "b")
    source = open_folder(tmp_path)
    spoil(tmp_path / "a")
    bad = load_item(source, 0)
    assert isinstance(bad, BadSignal)
    with pytest.raises(BadSignal, match=words):
        raise bad
    assert str(tmp_path) not in str(bad)
    assert source.load(1).grid == (11, 3, 4)


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("num_after", [10, 12])
def test_a_film_whose_frames_are_not_those_listed_is_bad(tmp_path, num_after, elsewhere):
    write_frames(tmp_path / "a")
    write_frames(tmp_path / "b")
    config = SourceConfig(name="video-folder", data=str(tmp_path), copies=1, shift=1)
    source = open_source(config)
    if elsewhere:
        listed = make_slice(source, item_places(source, config), slice(0, None))
        source = open_part(config, decode_slice(listed.encode()))
    if num_after < 11:
        (tmp_path / "a/10.png").unlink()
    else:
        shutil.copy(tmp_path / "a/10.png", tmp_path / "a/11.png")
    loaded = [load_item(source, index, config) for index in range(len(source.items))]
    pairs = zip(source.items, loaded, strict=True)
    bad = {item.item_id for item, signal in pairs if isinstance(signal, BadSignal)}
    assert {name.partition("~")[0] for name in bad} == {"a"}
    assert str(loaded[0]) == f"has {num_after} frames now, and had 11 when it was listed"


def test_colour_after_a_gray_first_frame_is_never_dropped_in_silence(tmp_path):
    film = FILM.copy()
    film[0] = film[0, :, :, :1]
    first, *others = map(Image.fromarray, film[:3])
    first.convert("L").save(tmp_path / "a.tif", save_all=True, append_images=others)
    with pytest.raises(BadSignal, match=r"frame 1: is coloured.*--channels rgb"):
        open_folder(tmp_path).load(0)
    assert np.array_equal(film_of(open_folder(tmp_path, channels="rgb").load(0)), film[:3])


def test_videos_are_bad_items_and_loose_pictures_are_refused(tmp_path):
    write_frames(tmp_path / "wave/a")
    (tmp_path / "wave/b.MP4").write_bytes(b"x")
    source = open_folder(tmp_path)
    with pytest.raises(BadSignal, match=r"is a .mp4 file.*frames"):
        source.load(1)
    Image.new("L", (3, 3)).save(tmp_path / "wave/cover.png")
    with pytest.raises(ValueError, match=r"wave holds loose pictures, such as cover.png"):
        open_folder(tmp_path)
    write_frames(tmp_path / "alone")
    with pytest.raises(ValueError, match="alone holds loose pictures"):
        open_folder(tmp_path / "alone")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty holds no frames"):
        open_folder(tmp_path / "empty")


def test_a_build_of_films_keeps_their_grid_and_their_bad_frames(tmp_path):
    write_frames(tmp_path / "in/a")
    write_frames(tmp_path / "in/b")
    cut(tmp_path / "in/b/3.png")
    source = SourceConfig(name="video-folder", data=str(tmp_path / "in"))
    build(BuildConfig(source=source, out=tmp_path / "s", views=1, num_steps=5, workers=0))
    records = {r["item_id"]: r for r in open_store(tmp_path / "s").records.to_table().to_pylist()}
    assert records["a"]["grid"] == [11, 3, 4]
    assert records["b"]["status"] == "bad_input"
    assert records["b"]["reason"].startswith("frame 3.png: ")
