"""Folders of pictures: layouts, modes, and every way for one picture to be bad."""

import os
import pickle
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from inrgen.sources.base import BadSignal
from inrgen.sources.catalog import open_source
from inrgen.sources.config import SourceConfig
from inrgen.sources.items import bucket_split
from inrgen.sources.listing import watch_listing

GRAY = np.arange(6 * 4, dtype=np.uint8).reshape(6, 4) * 10
COLOUR = np.stack([GRAY, GRAY[::-1], 255 - GRAY], axis=-1)


def save(path, pixels=GRAY, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **options)


def open_folder(folder, **other):
    return open_source(SourceConfig(name="image-folder", data=str(folder), **other))


def only_values(folder, **other):
    """The one picture of a folder, as rows x columns x channels."""
    source = open_folder(folder, **other)
    assert len(source.items) == 1
    signal = source.load(0)
    return signal.values.reshape(*signal.grid, -1).numpy()


def test_loose_pictures_have_no_label_and_hashed_splits(tmp_path):
    for number in range(20):
        save(tmp_path / f"{number}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    save(tmp_path / ".hidden.png")
    save(tmp_path / ".cache" / "thumb.png")
    source = open_folder(tmp_path)
    assert len(source.items) == 20
    assert {item.label for item in source.items} == {-1}
    assert {item.label_name for item in source.items} == {""}
    for item in source.items:
        assert item.split == bucket_split(item.item_id)
    order = [(("train", "val", "test").index(i.split), i.item_id) for i in source.items]
    assert order == sorted(order)


def test_split_and_class_folders_give_splits_and_labels(tmp_path):
    save(tmp_path / "train" / "dog" / "1.png")
    save(tmp_path / "train" / "cat" / "deep" / "2.PNG")
    save(tmp_path / "test" / "eel" / "3.jpg")
    whole = open_folder(tmp_path)
    assert [(i.item_id, i.split, i.label, i.label_name) for i in whole.items] == [
        ("train/cat/deep/2.PNG", "train", 0, "cat"),
        ("train/dog/1.png", "train", 1, "dog"),
        ("test/eel/3.jpg", "test", 2, "eel"),
    ]
    alone = open_folder(tmp_path, split="test")
    assert alone.items == whole.items[2:]
    with pytest.raises(ValueError, match="no items in the splits asked for: val"):
        open_folder(tmp_path, split="val")


def test_class_folders_alone_give_labels(tmp_path):
    for name in ("b", "a"):
        save(tmp_path / name / "1.png")
    labels = {item.item_id: item.label for item in open_folder(tmp_path).items}
    assert labels == {"a/1.png": 0, "b/1.png": 1}


def test_sizes_may_differ_and_need_not_be_square(tmp_path):
    save(tmp_path / "a.png", GRAY)
    save(tmp_path / "b.png", GRAY[:, :3])
    source = open_folder(tmp_path)
    assert {source.load(i).grid for i in range(2)} == {(6, 4), (6, 3)}


def test_all_gray_has_one_output_and_one_colour_picture_gives_all_three(tmp_path):
    save(tmp_path / "a.png", GRAY)
    save(tmp_path / "b.gif", Image.fromarray(GRAY).convert("P"))
    assert open_folder(tmp_path).facts.d_out == 1
    assert open_folder(tmp_path, channels="rgb").facts.d_out == 3
    save(tmp_path / "c.png", COLOUR)
    assert open_folder(tmp_path).facts.d_out == 3
    assert open_folder(tmp_path, channels="gray").facts.d_out == 1
    # The split or limit asked for must not change what the networks look like.
    for item in open_folder(tmp_path).items:
        assert open_folder(tmp_path, split=item.split, limit=1).facts.d_out == 3


def test_colour_becomes_gray_by_its_luma(tmp_path):
    save(tmp_path / "a.png", COLOUR)
    luma = np.asarray(Image.fromarray(COLOUR).convert("L")) / 255
    assert np.allclose(only_values(tmp_path, channels="gray")[..., 0], luma, atol=1 / 255)


def premultiplied() -> np.ndarray:
    alpha = np.full((6, 4, 1), 51, dtype=np.uint8)
    return np.concatenate([COLOUR, alpha], axis=-1)


PICTURES = {
    "gray.png": (Image.fromarray(GRAY), GRAY[..., None] / 255),
    "bits.png": (Image.fromarray(GRAY > 100), (GRAY > 100)[..., None]),
    "deep.png": (
        Image.fromarray(GRAY.astype(np.uint16) * 257 + 1),
        (GRAY[..., None] * 257.0 + 1) / 65535,
    ),
    "deep.tif": (Image.fromarray(GRAY.astype(np.uint16) * 7), GRAY[..., None] * 7.0 / 65535),
    "float.tif": (Image.fromarray(GRAY.astype(np.float32) / 255), GRAY[..., None] / 255),
    "colour.png": (Image.fromarray(COLOUR), COLOUR / 255),
    "colour.bmp": (Image.fromarray(COLOUR), COLOUR / 255),
    "palette.png": (Image.fromarray(COLOUR).convert("P", palette=1, colors=64), None),
    "alpha.png": (Image.fromarray(premultiplied()), COLOUR / 255 * 0.2 + 0.8),
    "gray_alpha.png": (
        Image.merge("LA", [Image.fromarray(GRAY), Image.new("L", (4, 6), 51)]),
        GRAY[..., None] / 255 * 0.2 + 0.8,
    ),
    "cmyk.tif": (Image.fromarray(COLOUR).convert("CMYK"), COLOUR / 255),
}


@pytest.mark.parametrize("name", PICTURES)
def test_every_mode_decodes_to_its_intensities(tmp_path, name):
    image, expected = PICTURES[name]
    if expected is None:
        expected = np.asarray(image.convert("RGB")) / 255
    save(tmp_path / name, image)
    values = only_values(tmp_path)
    assert values.shape == expected.shape
    assert np.allclose(values, expected, atol=1e-6)


def test_transparent_palettes_and_gray_lie_on_white(tmp_path):
    palette = Image.fromarray(GRAY // 100).convert("P")
    save(tmp_path / "a.png", palette, transparency=0)
    values = only_values(tmp_path, channels="gray")
    assert (values[GRAY // 100 == 0] == 1).all()
    (tmp_path / "a.png").unlink()
    save(tmp_path / "b.png", Image.fromarray(GRAY), transparency=50)
    values = only_values(tmp_path)
    assert values.shape == (6, 4, 1)
    assert (values[GRAY == 50] == 1).all()
    assert np.allclose(values[GRAY != 50][:, 0], GRAY[GRAY != 50] / 255)


def test_pictures_are_turned_as_their_exif_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    save(tmp_path / "turned.png", GRAY, exif=exif)
    assert np.allclose(only_values(tmp_path)[..., 0], np.rot90(GRAY, -1) / 255)


def test_of_an_animation_the_first_frame_counts(tmp_path):
    save(tmp_path / "a.gif", GRAY, save_all=True, append_images=[Image.fromarray(255 - GRAY)])
    assert np.allclose(only_values(tmp_path)[..., 0], GRAY / 255)


def ramp_tiff(path, bits, white_is_zero):
    """A gray TIFF of one row: a ramp from zero to the peak of its bits, packed as TIFF packs it."""
    peak = 2**bits - 1
    values = [round(peak * i / 15) for i in range(16)]
    packed = sum(v << bits * (15 - i) for i, v in enumerate(values)).to_bytes(2 * bits, "big")
    if bits == 16:
        packed = np.array(values, dtype="<u2").tobytes()
    tags = [(256, 16), (257, 1), (258, bits), (259, 1), (262, 0 if white_is_zero else 1)]
    tags += [(273, 200), (277, 1), (278, 1), (279, len(packed))]
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
    head = struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + bytes(4)
    path.write_bytes(head.ljust(200, b"\0") + packed)
    ramp = np.array(values) / peak
    return 1 - ramp if white_is_zero else ramp


@pytest.mark.parametrize(
    ("bits", "white_is_zero"), [(8, False), (8, True), (12, False), (16, False), (16, True)]
)
def test_brightness_follows_the_bits_and_the_interpretation_of_a_tiff(
    tmp_path, bits, white_is_zero
):
    """Pillow opens 12-bit files in 16 bits, unscaled, and turns white-is-zero at 8 bits alone."""
    expected = ramp_tiff(tmp_path / "a.tif", bits, white_is_zero)
    np.testing.assert_allclose(only_values(tmp_path)[0, :, 0], expected, atol=1e-6)
    assert open_folder(tmp_path).reading == 2


def png_bytes(depth, kind, clear, row):
    """A PNG of one row with a transparent value (tRNS), which Pillow does not write at 16 bits."""

    def chunk(name, content):
        crc = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", crc)

    width = row.shape[0]
    head = struct.pack(">IIBBBBB", width, 1, depth, kind, 0, 0, 0)
    parts = [chunk(b"IHDR", head), chunk(b"tRNS", np.array(clear, dtype=">u2").tobytes())]
    parts += [chunk(b"IDAT", zlib.compress(b"\0" + row.tobytes())), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("kind", [0, 2])
def test_a_transparent_value_lies_on_white_at_every_depth(tmp_path, depth, kind):
    peak = 2**depth - 1
    row = np.array([0, peak // 2, peak] if kind == 0 else [[0, 0, 0], [peak, 0, 0], [0, 0, peak]])
    clear = [0] * (1 if kind == 0 else 3)
    content = png_bytes(depth, kind, clear, row.astype(f">u{depth // 8}"))
    (tmp_path / "a.png").write_bytes(content)
    values = only_values(tmp_path)[0]
    assert (values[0] == 1).all()
    np.testing.assert_allclose(values[1:], row[1:].reshape(2, -1) / peak, atol=1e-6)
    assert open_folder(tmp_path).reading == (1 if depth == 8 else 2)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "I;16", "F"])
def test_large_pictures_shrink_antialiased_and_keep_their_shape(tmp_path, mode):
    """A fine grid becomes even gray; without antialiasing it would keep its blacks and whites."""
    grid = (np.indices((60, 90)).sum(axis=0) % 2).astype(np.float32)
    if mode == "I;16":
        image = Image.fromarray((grid * 65535).astype(np.uint16))
    else:
        image = Image.fromarray((255 * grid).astype(np.uint8)).convert(mode)
        image = Image.fromarray(grid) if mode == "F" else image
    save(tmp_path / "a.tif", image)
    values = only_values(tmp_path, max_side=30)
    assert values.shape[:2] == (20, 30)
    assert abs(values - 0.5).max() < 0.05
    assert only_values(tmp_path, max_side=90).shape[:2] == (60, 90)
    small = SourceConfig(name="image-folder", max_side=30, max_pixels=9).identity()
    assert (small["max_side"], small["max_pixels"]) == (30, 9)
    assert "max_side" not in SourceConfig(name="image-folder").identity()


def test_pictures_are_refused_by_their_headers(tmp_path):
    save(tmp_path / "a.png")
    source = open_folder(tmp_path, max_pixels=23)
    with pytest.raises(BadSignal, match="has 24 pixels, more than the 23 of --max-pixels"):
        source.load(0)
    with pytest.raises(BadSignal, match=r"1e-06 GB of --memory-limit \(--max-side shrinks\)"):
        open_folder(tmp_path, memory_limit=1e-6).load(0)
    for name in ("digits", "mesh-folder"):
        with pytest.raises(ValueError, match=r"max_side cannot be used here; it is for image"):
            SourceConfig(name=name, max_side=8)


def make_bad(folder, outside):
    """One file of every bad kind, and the reason each should be given."""
    nan = (GRAY / 255).astype(np.float32)
    nan[2, 2] = np.nan
    save(folder / "nan.tif", nan)
    save(folder / "range.tif", GRAY.astype(np.float32))
    save(folder / "wide.tif", GRAY.astype(np.int32))
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("this is no picture")
    save(folder / "cut.png", np.random.default_rng(0).integers(0, 255, (40, 40), dtype=np.uint8))
    whole = (folder / "cut.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    save(outside / "secret.png")
    (folder / "link.png").symlink_to(outside / "secret.png")
    (folder / "broken.png").symlink_to(folder / "nowhere.png")
    os.mkfifo(folder / "pipe.png")
    save(folder / "bomb.png", Image.new("1", (40_000, 3_000)))
    return {
        "nan.tif": "not finite",
        "range.tif": r"outside \[0, 1\]: 0 to 230",
        "wide.tif": "32-bit integer pixels",
        "empty.png": "is an empty file",
        "text.png": "not an image that Pillow knows",
        "cut.png": "damaged image: ",
        "link.png": "symbolic link that leaves the folder",
        "broken.png": "cannot be read: No such file",
        "pipe.png": "not a regular file",
        "bomb.png": r"40,000 x 3,000 pixels, which take 5\.8 GB: more than the 2 GB of --mem",
    }


def test_a_bad_picture_is_a_reason_and_the_others_go_on(tmp_path):
    folder = tmp_path / "set"
    save(folder / "good.png")
    reasons = make_bad(folder, tmp_path / "outside")
    source = open_folder(folder)
    assert source.facts.d_out == 1
    assert len(source.items) == len(reasons) + 1
    for index, item in enumerate(source.items):
        if item.item_id == "good.png":
            assert source.load(index).grid == (6, 4)
            continue
        with pytest.raises(BadSignal, match=reasons[item.item_id]) as caught:
            source.load(index)
        assert str(tmp_path) not in str(caught.value)


def test_a_folder_without_a_good_picture_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no image; those end in"):
        open_folder(tmp_path)
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"no image that can be read; the first: a\.png is an emp"):
        open_folder(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        open_folder(tmp_path / "elsewhere")


def test_a_link_to_a_folder_is_refused_rather_than_left_out(tmp_path):
    save(tmp_path / "set" / "a.png")
    save(tmp_path / "more" / "b.png")
    (tmp_path / "set" / "more").symlink_to(tmp_path / "more")
    with pytest.raises(ValueError, match="more is a symbolic link to a folder"):
        open_folder(tmp_path / "set")
    followed = open_folder(tmp_path / "set", follow_links=True)
    assert [item.item_id for item in followed.items] == ["a.png", "more/b.png"]
    assert followed.load(1).grid == (6, 4)
    (tmp_path / "alias").symlink_to(tmp_path / "more")
    assert len(open_folder(tmp_path / "alias").items) == 1


def test_followed_links_may_leave_the_folder_and_not_lead_in_a_circle(tmp_path):
    save(tmp_path / "objects" / "1a2b.png")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.png").symlink_to(tmp_path / "objects" / "1a2b.png")
    with pytest.raises(ValueError, match=r"the first: a\.png is a symbolic link that leaves"):
        open_folder(tmp_path / "set")
    source = open_folder(tmp_path / "set", follow_links=True)
    assert source.load(0).grid == (6, 4)
    # Another choice would give other records, so a build must not resume with it.
    assert source.config.identity()["follow_links"]
    again = SourceConfig.from_identity(source.config.identity(), source.config.data)
    assert again == source.config
    for one, other in (("set", "objects"), ("objects", "set")):
        (tmp_path / one / "deeper").symlink_to(tmp_path / other)
    with pytest.raises(ValueError, match="a circle"):
        open_folder(tmp_path / "set", follow_links=True)


def test_pictures_of_other_formats_are_items_that_are_refused(tmp_path):
    save(tmp_path / "a.png")
    (tmp_path / "b.heic").write_bytes(b"ftypheic")
    (tmp_path / "list.txt").write_text("a")
    source = open_folder(tmp_path)
    assert [item.item_id for item in source.items] == ["a.png", "b.heic"]
    with pytest.raises(BadSignal, match=r"is a \.heic file, which inrgen does not read"):
        source.load(1)
    assert "left out: 1 .txt" in source.facts.notes[0]


def test_names_that_are_no_text_still_make_ids(tmp_path):
    save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9 x.png"))
    source = open_folder(tmp_path)
    assert [item.item_id for item in source.items] == ["caf\\xe9 x.png"]
    assert source.load(0).grid == (6, 4)


def test_a_folder_survives_being_shipped_to_a_worker(tmp_path):
    save(tmp_path / "a.png", COLOUR)
    source = open_folder(tmp_path)
    shipped = pickle.loads(pickle.dumps(source))
    assert torch.equal(shipped.load(0).values, source.load(0).values)


def test_a_listing_reports_what_it_counts(tmp_path, monkeypatch):
    monkeypatch.setattr("inrgen.sources.listing._EVERY", 2)
    for at in range(5):
        Image.new("L", (2, 2)).save(tmp_path / f"{at}.png")
    heard: list[tuple[str, int]] = []
    with watch_listing(lambda text, count: heard.append((text, count))):
        source = open_source(SourceConfig(name="image-folder", data=str(tmp_path)))
    assert heard == [(text, n) for text in ("files listed", "headers read") for n in (2, 4)]
    assert source.facts.notes[0].startswith("5 items; no folder names a split")
