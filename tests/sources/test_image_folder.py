"""Folders of pictures: layouts, modes, and every way for one picture to be bad."""

import os
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from inrgen.sources.base import BadSignal
from inrgen.sources.catalog import open_source
from inrgen.sources.config import SourceConfig
from inrgen.sources.items import bucket_split

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
        "bomb.png": "more than 89478485 pixels",
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
