"""Laws of changed copies of training items."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from inrgen.sources.base import BadSignal, Item, Signal
from inrgen.sources.catalog import choose_part
from inrgen.sources.config import SourceConfig
from inrgen.sources.copies import add_copies, draw_change, move
from inrgen.sources.given import from_signals

SPLITS = ["train"] * 5 + ["val"] * 2 + ["test"] * 3


def images(**options):
    """Ten images of 3 x 4 with the copies asked for."""
    values = torch.rand(10, 12, 1, generator=torch.Generator().manual_seed(0))
    signals = [Signal(values=one, grid=(3, 4)) for one in values]
    return choose_part(from_signals(signals, splits=SPLITS), SourceConfig(name="given", **options))


def test_a_move_mirrors_shifts_and_repeats_edges():
    image = np.arange(12.0).reshape(3, 4)
    moved = move(torch.from_numpy(image.reshape(12, 1)), (3, 4), True, (1, -2))
    rows, columns = [0, 0, 1], [1, 0, 0, 0]  # of the original, after mirroring
    assert np.array_equal(moved.reshape(3, 4).numpy(), image[np.ix_(rows, columns)])


def test_only_training_items_have_copies_and_the_others_stay():
    plain, copied = images(), images(copies=2, shift=1)
    assert [item.split for item in copied.items] == ["train"] * 10 + SPLITS
    assert [*copied.items[:5], *copied.items[15:]] == list(plain.items)
    for at, place in enumerate([*range(5), *range(15, 20)]):
        assert copied.load(place).sha256() == plain.load(at).sha256()
    assert copied.items[6] == replace(plain.items[1], item_id=f"{plain.items[1].item_id}~1")
    assert copied.items[-1] == plain.items[-1]


def test_a_split_without_training_items_has_no_copies():
    assert list(images(split="test", copies=2, flip=True).items) == list(images(split="test").items)


def test_a_copy_depends_on_its_item_its_number_and_its_changes_alone():
    few = images(copies=1, flip=True, shift=2)
    more = images(copies=3, flip=True, shift=2, limit=4, limit_order="first")
    assert few.items[5:9] == more.items[4:8]
    signals = [few.load(at).sha256() for at in range(5, 9)]
    assert signals == [more.load(at).sha256() for at in range(4, 8)]
    assert signals != [more.load(at).sha256() for at in range(8, 12)]


def test_copies_take_every_offset_and_mirror_half():
    drawn = [draw_change(f"train/{at:05d}", 1, True, 1, 2) for at in range(100)]
    assert {offset for _, offsets in drawn for offset in offsets} == {-1, 0, 1}
    assert abs(np.mean([mirrored for mirrored, _ in drawn]) - 0.5) < 0.15
    assert not any(draw_change(f"train/{at}", 1, False, 1, 2)[0] for at in range(20))


def test_identities_name_copies_and_older_ones_do_not():
    config = SourceConfig(name="digits", copies=2, shift=1)
    assert SourceConfig.from_identity(config.identity(), None) == config
    assert not {"copies", "flip", "shift"} & set(SourceConfig(name="digits").identity())


@pytest.mark.parametrize(
    "options",
    [
        {"copies": -1, "flip": True},
        {"copies": 2},
        {"shift": 1},
        {"copies": 1, "shift": -1},
        {"name": "mesh-folder", "copies": 1, "flip": True},
    ],
)
def test_changes_without_copies_and_copies_without_changes_are_refused(options):
    with pytest.raises(ValueError, match=r"copies|shift"):
        SourceConfig(**{"name": "digits", **options})


def given(signals):
    source = from_signals(signals, splits=["train"] * len(signals))
    return choose_part(source, SourceConfig(name="given", copies=1, shift=1))


def test_weights_of_a_copy_move_with_its_values():
    values = torch.arange(1.0, 13)[:, None]
    source = given([Signal(values=values, grid=(3, 4), weights=values[:, 0])] * 4)
    copies = [source.load(place) for place in range(4, 8)]
    for copy in copies:
        assert torch.equal(copy.values[:, 0], copy.weights)
    assert any(not torch.equal(copy.values, values) for copy in copies)


def test_points_without_a_grid_are_bad_items_as_copies():
    source = given([Signal(values=torch.rand(4, 1), coords=torch.rand(4, 2)) for _ in range(3)])
    assert source.load(0).coords is not None
    with pytest.raises(BadSignal, match="grid"):
        source.load(3)


def test_items_that_are_named_like_copies_are_refused():
    source = SimpleNamespace(items=[Item(item_id=name, split="train") for name in ("a", "a~1")])
    with pytest.raises(ValueError, match="a~1"):
        add_copies(source, SourceConfig(name="given", copies=1, shift=1))
