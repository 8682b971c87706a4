"""Comparison of recipes on meshes: fitted as in a build, measured as in its records."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from inrgen.core.params import Params
from inrgen.fit.config import FitPlan
from inrgen.fit.crumbs import measure_crumbs
from inrgen.fit.engines import make_engine
from inrgen.fit.recipes import recipe
from inrgen.fit.views import fit_block
from inrgen.probes.config import ProbeRecipesConfig, ProbeTraining
from inrgen.probes.recipes import compare_recipes, recipe_table, trade_points
from inrgen.sources.catalog import open_source
from inrgen.sources.config import SourceConfig
from inrgen.sources.shape_config import ShapeConfig

QUICK = ProbeTraining(hidden=8, epochs=1, batch=16)
MADE = {
    "ball": lambda size: trimesh.creation.icosphere(subdivisions=1, radius=size),
    "bar": lambda size: trimesh.creation.box(extents=(size, 0.3, 0.3)),
}


@pytest.fixture(autouse=True, scope="module")
def _coarse():
    """Compare insides on a coarse grid of 16, which saves seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("inrgen.sources.shape_signal.REFERENCE_GRID", 16)
        yield


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("meshes")
    for name, make in MADE.items():
        for number in range(4):
            file = folder / "shapes" / name / f"{'train' if number < 3 else 'test'}/{number}.off"
            file.parent.mkdir(parents=True, exist_ok=True)
            make(1.0 + 0.1 * number).export(file)
    shape = ShapeConfig(num_points=500, target="occupancy", cache=str(folder / "cache"))
    return ProbeRecipesConfig(
        source="mesh-folder",
        data=str(folder / "shapes"),
        recipes=("teach,steps=40", "teach,steps=3,shared=yes"),
        folds=2,
        probes=("kernel_values", "kernel_set", "set_raw"),
        engine="torch",
        set_model=QUICK,
        repeats=1,
        shape=shape,
    )


@pytest.fixture(scope="module")
def rows(config):
    return compare_recipes(config)


def test_shapes_are_fitted_and_measured_as_a_build_does(config, rows):
    source = open_source(SourceConfig(name=config.source, data=config.data, shape=config.shape))
    made = recipe("teach", source.facts)
    job = FitPlan(spec=made.spec, fit=replace(made.fit, num_steps=40), seed=0, views=1)
    signals = [source.load(at) for at in range(len(source.items))]
    fitted = fit_block(job, make_engine("torch"), source.items, signals, 0)
    records, params = fitted.records, Params.from_flat(made.spec, torch.from_numpy(fitted.flat))
    assert rows[0].iou.value == pytest.approx(np.median([record.iou for record in records]))
    assert rows[0].psnr_db == pytest.approx(np.mean([record.psnr_db for record in records]))
    chamfers = torch.tensor([record.chamfer for record in records]).double()
    assert rows[0].chamfer.value == pytest.approx(float(chamfers.nanquantile(0.5)))
    assert rows[0].iou.value > rows[1].iou.value
    crumbs = [
        found.area_share
        for at, signal in enumerate(signals)
        if (found := measure_crumbs(made.spec, params[[at]], signal.reference)) is not None
    ]
    assert rows[0].crumb_area == pytest.approx(np.mean(crumbs))
    assert rows[0].crumbed == pytest.approx(np.mean(np.array(crumbs) > 0))


def test_folds_take_the_place_of_a_split_that_is_not_there(config, rows):
    assert (rows[0].num_train, rows[0].num_val, rows[0].num_test) == (6, 0, 2)
    assert rows[0].folds == 2
    assert not any(np.isnan(a.percent) for row in rows for a in row.accuracy.values())
    with pytest.raises(ValueError, match=r"train, val and test, or folds.* none in val"):
        compare_recipes(replace(config, folds=0))
    with pytest.raises(ValueError, match="folds must be at most the items of a class, 4; got 5"):
        compare_recipes(replace(config, folds=5))


def test_a_mesh_that_cannot_be_read_is_a_failed_fit(config, rows, tmp_path):
    (tmp_path / "ball").mkdir()
    (tmp_path / "ball" / "broken.off").write_text("")
    for name, make in MADE.items():
        (tmp_path / name).mkdir(exist_ok=True)
        for number in range(3):
            make(1.0).export(tmp_path / name / f"{number}.off")
    shape = replace(config.shape, cache=None)
    few = replace(config, data=str(tmp_path), recipes=("teach,steps=2",), shape=shape)
    (row,) = compare_recipes(few)
    assert row.num_failed == 1
    assert not np.isnan(row.accuracy["kernel_set"].percent)


def test_tables_and_plots_of_shapes_tell_iou(rows):
    head = recipe_table(rows).splitlines()[2]
    assert "IoU" in head
    assert "Chamfer" in head
    assert "with crumbs (area)" in head
    assert "PSNR" not in head
    assert "2 folds" in recipe_table(rows)
    drawn, axis = trade_points(rows)
    assert axis.startswith("IoU")
    assert drawn[0].quality == rows[0].iou
