"""Starts of shapes are learned from points that every inner step draws anew, as builds do."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from inrgen.core.params import Params
from inrgen.fit.build import build_store
from inrgen.fit.build_config import BuildConfig
from inrgen.fit.plan import plan_build
from inrgen.fit.starts.config import LearnStartConfig
from inrgen.fit.starts.inner_loop import adapt
from inrgen.fit.starts.learn import learn_start
from inrgen.fit.starts.start import LearnedStart, load_start
from inrgen.fit.starts.training_shapes import open_shapes
from inrgen.fit.starts.unit_values import scale_last, scale_steps, unit_spec
from inrgen.fit.variants import parse_variant
from inrgen.sources.catalog import open_source
from inrgen.sources.config import SourceConfig
from inrgen.sources.shape_config import ShapeConfig
from inrgen.store.reader import open_store
from tests.learned import made_start


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> SourceConfig:
    """Ellipsoids of several proportions, five to learn from and one to test."""
    folder = tmp_path_factory.mktemp("shapes")
    widths = np.random.default_rng(0).uniform(0.3, 1.0, (6, 3))
    for number, width in enumerate(widths):
        made = trimesh.creation.icosphere(subdivisions=1)
        made.apply_scale(width)
        place = folder / "blob" / ("train" if number < 5 else "test") / f"{number}.off"
        place.parent.mkdir(parents=True, exist_ok=True)
        made.export(place)
    shape = ShapeConfig(num_points=2000, cache=str(folder / "cache"))
    return SourceConfig(name="mesh-folder", data=str(folder), shape=shape)


def learned(out: Path, source: SourceConfig, **changes) -> LearnedStart:
    small = {
        "views": 2,
        "hidden": (8, 8),
        "omega": 10.0,
        "inner_steps": 2,
        "outer_steps": 40,
        "batch": 4,
        "points_per_step": 64,
        "lr": 1e-2,
        "threads": 1,
    }
    path = out / "start.safetensors"
    learn_start(LearnStartConfig(source=source, out=path, **{**small, **changes}))
    return load_start(path)


@pytest.fixture(scope="module")
def start_file(shapes, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("start")
    learned(folder, shapes)
    return folder / "start.safetensors"


def test_every_step_draws_its_own_points_of_the_shape(shapes):
    training = open_source(replace(shapes, split="train"))
    spec = parse_variant("teach").plan(training.facts).spec
    signals = open_shapes(training, spec, seed=0, num_points=16, inner_steps=2)
    coords, values = signals.draw(0, 5, 2, 3)
    assert (coords.shape, values.shape) == ((3, 2, 3, 16, 3), (3, 2, 3, 16, 1))
    assert len(coords.flatten(0, 2).unique(dim=0)) == 3 * 2 * 3
    # all sets of points of an item come from one shape, with its values; 0.2 is their width
    loaded = [training.load(index) for index in range(5)]
    tables = [
        {tuple(at): v for at, v in zip(s.coords.tolist(), (s.values / 0.2).tolist(), strict=True)}
        for s in loaded
    ]
    for start in range(2):
        for item in range(3):
            at = coords[:, start, item].flatten(0, 1).tolist()
            (table,) = [t for t in tables if all(tuple(point) in t for point in at)]
            wanted = [table[tuple(point)] for point in at]
            assert values[:, start, item].flatten(0, 1).tolist() == wanted
    held_out = signals.held_out(2)
    assert torch.equal(held_out[0][:, 0], held_out[0][:, 1])
    assert torch.equal(held_out[0], signals.held_out(2)[0])


def test_each_inner_step_takes_its_own_set_of_points(start_file):
    start = load_start(start_file)
    random = torch.Generator().manual_seed(0)
    coords = torch.rand(2, 2, 16, 3, generator=random)
    values = torch.rand(2, 2, 16, 1, generator=random)
    spec, params, sizes = start.spec, start.params, start.step_sizes
    first = adapt(spec, params, sizes, coords[0], values[0], 1, False)
    wanted = adapt(spec, first, sizes, coords[1], values[1], 1, False)
    found = adapt(spec, params, sizes, coords, values, 2, False)
    assert torch.equal(found.flat(), wanted.flat())


def test_a_learned_start_fits_unseen_shapes_better_than_its_beginning(shapes, start_file, tmp_path):
    first = learned(tmp_path, shapes, outer_steps=1, lr=1e-9, step_lr=1e-9)
    assert load_start(start_file).facts["psnr_db"] > first.facts["psnr_db"] + 1.5


def test_threads_and_other_starts_change_no_bit(shapes, start_file, tmp_path):
    alone = learned(tmp_path, shapes, views=1, threads=2)
    both = load_start(start_file)
    assert torch.equal(alone.params.flat(), both.params[[0]].flat())
    assert not torch.equal(both.params[[0]].flat(), both.params[[1]].flat())


def test_the_start_of_occupancy_says_so_and_fits_no_distances(shapes, tmp_path):
    source = replace(shapes, limit=2, shape=replace(shapes.shape, target="occupancy"))
    start = learned(tmp_path, source, outer_steps=2, points_per_step=0)
    assert start.spec.value_kind == start.facts["source"]["shape"]["target"] == "occupancy"
    assert start.facts["settings"]["points_per_step"] == 512
    path = tmp_path / "start.safetensors"
    with pytest.raises(ValueError, match=r"mesh-folder: it has value_kind 'occupancy', not"):
        plan_build(BuildConfig(source=shapes, out=Path("STORE"), start=path))


def test_engines_agree_on_builds_from_a_start_of_shapes(shapes, start_file, tmp_path):
    test = replace(shapes, split="test")
    rows = {}
    for engine in ("torch", "cpu"):
        out = tmp_path / engine
        build_store(BuildConfig(source=test, out=out, start=start_file, engine=engine, workers=0))
        store = open_store(out)
        rows[engine] = store.read(range(2)).flat()
        assert store.identity["fit"] == {"num_steps": 2, "points_per_step": 64}
        assert store.identity["start"]["sha256"] == load_start(start_file).sha256
        assert load_start(start_file).momentum == 0.9
    torch.testing.assert_close(rows["cpu"], rows["torch"], rtol=1e-4, atol=1e-5)
    assert not torch.equal(rows["cpu"][0], load_start(start_file).params.flat()[0])


def test_starts_of_meshes_learn_faster_unless_a_rate_is_given():
    rates = [
        LearnStartConfig(source=SourceConfig(name=name), out=Path("x.safetensors"), lr=lr).settings
        for name, lr in (("digits", None), ("mesh-folder", None), ("mesh-folder", 1e-2))
    ]
    assert [settings["lr"] for settings in rates] == [3e-4, 3e-3, 1e-2]


def test_a_start_of_distances_fits_as_the_one_of_unit_values_that_it_was_learned_as():
    spec = replace(made_start().spec, widths=(2, 4, 1), omega=(5.0,), value_range=(-0.1, 0.1))
    random = torch.Generator().manual_seed(0)
    start = Params.from_flat(spec, torch.rand(2, spec.num_params, generator=random) - 0.5)
    sizes = Params.from_flat(spec, torch.rand(2, spec.num_params, generator=random) * 0.1)
    coords, values = torch.rand(2, 16, 2, generator=random), torch.rand(2, 16, 1, generator=random)
    unit = adapt(unit_spec(spec), start, sizes, coords, values, 4, False, momentum=0.5)
    scaled, steps = scale_last(start, 0.2), scale_steps(sizes, 0.2)
    found = adapt(spec, scaled, steps, coords, 0.2 * values, 4, False, momentum=0.5)
    torch.testing.assert_close(found.flat(), scale_last(unit, 0.2).flat())
