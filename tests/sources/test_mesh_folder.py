"""Folders of meshes become signals whose points and values depend on names and contents alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from inrgen.sources.base import BadSignal
from inrgen.sources.catalog import open_source
from inrgen.sources.config import SourceConfig
from inrgen.sources.shape_config import ShapeConfig
from tests.closed_form import box_distance

FEW = ShapeConfig(num_points=2000, truncation=0.0, margin=0.0)


def put(folder, path, made=None):
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    (made or trimesh.creation.box()).export(file)
    return file


def opened(folder, shape=FEW, name="mesh-folder", **other):
    return open_source(SourceConfig(name=name, data=str(folder), shape=shape, **other))


@pytest.fixture
def modelnet(tmp_path):
    for name in ("chair", "sofa"):
        for number in range(10):
            put(tmp_path, f"{name}/train/{name}_{number:04d}.off")
        put(tmp_path, f"{name}/test/{name}_0010.off")
    (tmp_path / "README.txt").write_text("not a mesh")
    return tmp_path


def test_modelnets_layout_gives_splits_and_labels(modelnet):
    items = opened(modelnet).items
    assert len(items) == 22
    assert [item.split for item in items] == ["train"] * 20 + ["test"] * 2
    assert (items[-1].item_id, items[-1].label, items[-1].label_name) == (
        "sofa/test/sofa_0010.off",
        1,
        "sofa",
    )


def test_modelnet40_takes_val_from_the_tail_of_each_class(modelnet):
    source = opened(modelnet, name="modelnet40")
    val = [item.item_id for item in source.items if item.split == "val"]
    assert val == ["chair/train/chair_0009.off", "sofa/train/sofa_0009.off"]
    assert len(source.items) == 22


def test_splits_may_stand_first_or_nowhere(tmp_path):
    put(tmp_path, "a/test/cup/1.stl")
    put(tmp_path, "b/cup/1.obj")
    put(tmp_path, "b/loose.ply")
    assert [(i.split, i.label_name) for i in opened(tmp_path / "a").items] == [("test", "cup")]
    assert {(i.item_id, i.label) for i in opened(tmp_path / "b").items} == {
        ("cup/1.obj", 0),
        ("loose.ply", -1),
    }


def test_values_are_distances_in_placed_coordinates(tmp_path):
    put(tmp_path, "a.off", trimesh.creation.box(extents=(4.0, 4.0, 2.0)))
    signal = opened(tmp_path).load(0)
    exact = box_distance(signal.coords.double(), (1.0, 1.0, 0.5))
    torch.testing.assert_close(signal.values[:, 0].double(), exact, atol=1e-6, rtol=0)
    placement = signal.reference.placement
    assert (placement.center, placement.scale) == ((0.0, 0.0, 0.0), 0.5)
    assert (signal.reference.sign, signal.reference.sign_trust) == ("winding number (closed)", 1.0)


def test_points_are_shared_out_as_asked(tmp_path):
    put(tmp_path, "a.off")
    shape = replace(FEW, num_points=10_000, surface_share=0.3, near_share=0.4)
    distances = opened(tmp_path, shape).load(0).values[:, 0].abs().numpy()
    assert distances[:3000].max() < 1e-6
    for at, width in ((slice(3000, 5000), 0.01), (slice(5000, 7000), 0.05)):
        assert np.median(distances[at]) == pytest.approx(0.6745 * width, rel=0.15)
    assert distances[7000:].mean() > 0.1


def test_truncation_and_unsigned_values_keep_to_their_range(tmp_path):
    put(tmp_path, "a.off")
    for sign, low in (("winding", -0.05), ("none", 0.0)):
        source = opened(tmp_path, replace(FEW, margin=0.2, truncation=0.05, sign=sign))
        values = source.load(0).values
        assert source.facts.value_range == (low, 0.05)
        assert (values.min(), values.max()) == (pytest.approx(low, abs=1e-6), pytest.approx(0.05))


def test_occupancy_is_1_inside_and_0_outside_and_asks_for_no_points_between(tmp_path):
    put(tmp_path, "a.off")
    source = opened(tmp_path, replace(FEW, target="occupancy", margin=0.2))
    assert (source.facts.value_kind, source.facts.value_range) == ("occupancy", (0.0, 1.0))
    signal = source.load(0)
    exact = box_distance(signal.coords, (0.8, 0.8, 0.8))
    sure = exact.abs() > 1e-6
    torch.testing.assert_close(signal.values[sure, 0], (exact[sure] < 0).float())
    assert len(signal.values) == FEW.num_points
    assert (exact.abs() < 1e-4).float().mean() < 0.02


def test_a_signal_depends_on_its_name_and_seed_and_not_on_its_company(tmp_path):
    put(tmp_path, "b.off")
    alone = opened(tmp_path).load(0)
    put(tmp_path, "a.off")
    both = opened(tmp_path)
    place = [item.item_id for item in both.items].index("b.off")
    assert both.load(place).sha256() == alone.sha256()
    assert both.load(1 - place).sha256() != alone.sha256()
    other = opened(tmp_path, replace(FEW, sample_seed=1))
    assert other.load(place).sha256() != alone.sha256()


def test_the_cache_gives_the_same_signal_and_notices_changes_and_damage(tmp_path):
    file = put(tmp_path / "data", "a.off")
    cached = replace(FEW, cache=str(tmp_path / "cache"))
    first = opened(tmp_path / "data", cached).load(0)
    (kept,) = (tmp_path / "cache").iterdir()
    again = opened(tmp_path / "data", cached).load(0)
    fresh = opened(tmp_path / "data").load(0)
    assert first.sha256() == again.sha256() == fresh.sha256()
    np.testing.assert_array_equal(again.reference.inside, fresh.reference.inside)
    np.testing.assert_array_equal(again.reference.mesh.faces, fresh.reference.mesh.faces)
    assert again.reference.placement == fresh.reference.placement
    kept.write_bytes(kept.read_bytes()[:1000])
    assert opened(tmp_path / "data", cached).load(0).sha256() == first.sha256()
    trimesh.creation.icosphere(1).export(file)
    assert opened(tmp_path / "data", cached).load(0).sha256() != first.sha256()


def test_bad_files_are_items_with_a_reason(tmp_path):
    root = tmp_path / "data"
    put(root, "0.off")
    (root / "1.off").write_text("")
    (root / "2.fbx").write_text("Kaydara")
    (root / "3.off").symlink_to(put(tmp_path, "outside.off"))
    (root / "4.off").symlink_to(root / "nowhere.off")
    (root / "5.off").symlink_to(root / "0.off")
    (root / "6.obj").write_text("v 0 0 0\nv 0 0 1\nv 0 0 2\nf 1 2 3\n")
    source = opened(root)
    reasons = {}
    for at, item in enumerate(source.items):
        try:
            source.load(at)
        except BadSignal as reason:
            reasons[item.item_id] = str(reason)
    assert set(reasons) == {"1.off", "2.fbx", "3.off", "4.off", "6.obj"}
    assert "empty file" in reasons["1.off"]
    assert "does not read" in reasons["2.fbx"]
    assert "leaves the folder" in reasons["3.off"]
    assert "cannot be read: No such file" in reasons["4.off"]
    assert "no face with an area" in reasons["6.obj"]
    assert str(tmp_path) not in "".join(reasons.values())


def test_a_link_to_a_folder_is_refused_rather_than_left_out(tmp_path):
    put(tmp_path / "set", "0.off")
    put(tmp_path / "more", "1.off")
    (tmp_path / "set" / "more").symlink_to(tmp_path / "more")
    with pytest.raises(ValueError, match="more is a symbolic link to a folder, which mesh-fo"):
        opened(tmp_path / "set")


def test_configs_come_back_from_identities():
    shape = ShapeConfig(
        target="occupancy", truncation=0.2, near_widths=(0.02, 0.1), cache="somewhere"
    )
    config = SourceConfig(
        name="modelnet40", data="d", limit=3, limit_order="stratified", shape=shape
    )
    again = SourceConfig.from_identity(config.identity(), "e")
    assert again == replace(config, data="e", shape=replace(shape, cache=None))
    assert "shape" not in SourceConfig(name="digits").identity()
    assert "reading" not in config.identity()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"margin": 1.0}, "margin must be"),
        ({"truncation": -1.0}, "truncation must"),
        ({"target": "occupancy", "sign": "none"}, "sign must tell in from out"),
        ({"num_points": 0}, "num_points must"),
        ({"surface_share": 0.7}, "nor over 1 together"),
        ({"near_widths": (0.0, 0.1)}, "near_widths must"),
    ],
)
def test_wrong_configs_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        ShapeConfig(**wrong)
