"""A build settles its networks, fit and starts before any work."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inrgen.fit.build_config import BuildConfig
from inrgen.fit.plan import plan_build
from inrgen.fit.recipes import recipe
from inrgen.fit.starts.checkpoint import recorded_source
from inrgen.fit.starts.start import find_shipped_start
from inrgen.fit.torch_engine import TorchEngine
from inrgen.fit.views import fit_block
from inrgen.sources.catalog import open_source
from inrgen.sources.config import SourceConfig
from inrgen.store.create import create_store
from inrgen.store.layout import Layout

DIGITS = SourceConfig(name="digits", limit=2)


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        ({}, {}),
        ({"hidden": (7, 9, 8)}, {"widths": (2, 7, 9, 8, 1), "omega": (30.0,) * 3}),
        ({"omega": 11.0}, {"omega": (11.0, 11.0)}),
        ({"stop_psnr": 33.0}, {"stop_psnr_db": 33.0}),
        ({"stop_psnr": float("inf")}, {"stop_psnr_db": None}),
        ({"num_steps": 3}, {"num_steps": 3}),
        ({"lr": 0.25}, {"lr": 0.25}),
        ({"points_per_step": 9}, {"points_per_step": 9}),
        ({"shared": True}, {"shared": True}),
    ],
)
def test_options_replace_the_recipes_own_values_and_nothing_else(change, changed):
    plan = plan_build(BuildConfig(source=DIGITS, out=Path("STORE"), **change))
    made = recipe("published", open_source(DIGITS).facts)

    def settings(spec, fit) -> dict[str, Any]:
        return asdict(spec) | asdict(fit) | asdict(fit.init)

    expected, found = settings(made.spec, made.fit), settings(plan.fit_plan.spec, plan.fit_plan.fit)
    del expected["init"], found["init"]
    assert found == expected | changed


def test_shared_items_start_alike_and_views_do_not():
    """An update moves weights by the learning rate at most, so rows still lie at their starts."""
    config = BuildConfig(
        source=DIGITS, out=Path("STORE"), views=2, num_steps=1, lr=1e-6, shared=True
    )
    plan, source = plan_build(config), open_source(DIGITS)
    signals = (source.load(index) for index in range(2))
    flat = fit_block(plan.fit_plan, TorchEngine(), source.items[:2], signals, 0).flat
    first, second, other = flat[0], flat[1], flat[2]
    assert abs(first - other).max() < 1e-5
    assert abs(first - second).max() > 1e-3


def test_stores_of_an_earlier_reading_of_the_same_files_are_told_apart(tmp_path):
    """Brightness and triangles may differ then, so a build must not resume among old rows."""
    pixels = np.zeros((4, 4), dtype=np.uint8)
    for suffix, reading in ((".png", None), (".tif", 2)):
        folder = tmp_path / suffix[1:]
        folder.mkdir()
        Image.fromarray(pixels).save(folder / f"a{suffix}")
        source = SourceConfig(name="image-folder", data=str(folder))
        identity = plan_build(BuildConfig(source=source, out=Path("STORE"))).identity
        assert identity["source"].get("reading") == reading
        assert SourceConfig.from_identity(identity["source"], str(folder)) == source


@pytest.mark.parametrize("views", [1, 10])
@pytest.mark.parametrize("hidden", [(32, 32), (512, 512), (1024, 1024)])
def test_blocks_of_images_are_bounded_by_bytes_and_small_networks_keep_theirs(hidden, views):
    source = SourceConfig(name="digits", split="train")
    plan = plan_build(BuildConfig(source=source, out=Path("STORE"), hidden=hidden, views=views))
    layout, num_params = plan.layout, plan.fit_plan.spec.num_params
    most = max(256_000_000, 4 * num_params * views)  # the views of an item stay together
    assert 4 * num_params * layout.shard_rows <= most
    assert layout.chunk_rows % views == 0
    if hidden == (32, 32):
        assert layout == Layout(rows=layout.rows, views=views)


def test_an_older_store_or_start_settles_the_order_of_a_limit(tmp_path):
    """Stores from before samples hold the first items, and the command that made them resumes."""
    store = tmp_path / "store"
    open_order = BuildConfig(source=DIGITS, out=store, views=1)
    first = replace(open_order, source=replace(DIGITS, limit_order="first"))
    made = plan_build(first)
    assert "limit_order" not in made.identity["source"]
    assert plan_build(open_order).identity != made.identity
    arrays = [(made.fit_plan.spec, made.layout)]
    create_store(store, arrays, identity=made.identity, about={})
    assert plan_build(open_order).identity == made.identity
    stated = replace(open_order, source=replace(DIGITS, limit_order="stratified"))
    assert plan_build(stated).identity != made.identity
    start = find_shipped_start("digits", "2-32-32-1")
    assert start is not None
    recorded = recorded_source(start)
    assert recorded is not None
    assert (recorded["name"], recorded["split"]) == ("digits", "train")
    assert recorded_source(tmp_path / "none.safetensors") is None
