"""Surfaces and their measures are exact on known shapes, and recipes fit shapes well."""

import math
import tarfile
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from inrgen.core.config import InitConfig
from inrgen.core.geometry import grid_coords
from inrgen.core.params import Params
from inrgen.core.siren import initialise
from inrgen.fit.config import FitPlan
from inrgen.fit.engines import make_engine
from inrgen.fit.recipes import recipe
from inrgen.fit.surface import chamfer, grid_values, measure_shape, signed_field, zero_set
from inrgen.fit.views import fit_block
from inrgen.sources.catalog import open_source
from inrgen.sources.config import SourceConfig
from inrgen.sources.mesh import Mesh
from inrgen.sources.shape_config import ShapeConfig
from tests.closed_form import sphere_distance


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("meshes")
    trimesh.creation.icosphere(subdivisions=3, radius=5.0).apply_translation([7, 0, 0]).export(
        folder / "ball.off"
    )
    (folder / "zero.off").write_text("")
    shape = ShapeConfig(num_points=20_000)
    return open_source(SourceConfig(name="mesh-folder", data=str(folder), shape=shape))


@pytest.fixture(scope="module")
def made(source):
    return recipe("published", source.facts)


def ball_at(source):
    return [item.item_id for item in source.items].index("ball.off")


def exact_sphere(spec, radius):
    return sphere_distance(grid_coords(spec, (64, 64, 64)).double(), radius).reshape(64, 64, 64)


@pytest.mark.parametrize("kind", ["signed_distance", "truncated_distance", "occupancy"])
def test_the_surface_lies_where_the_values_cross_and_faces_outwards(made, kind):
    spec, exact = replace(made.spec, value_kind=kind), exact_sphere(made.spec, 0.6).numpy()
    values = np.clip(0.5 - 5 * exact, 0.0, 1.0) if kind == "occupancy" else exact
    found = zero_set(spec, signed_field(spec, values))
    radii = np.linalg.norm(found.vertices, axis=1)
    np.testing.assert_allclose(radii, 0.6, atol=1e-3)
    outwards = np.einsum("fd,fd->f", found.cross, found.corners.mean(axis=1))
    assert (outwards > 0).mean() > 0.99
    assert zero_set(made.spec, np.ones((4, 4, 4))) is None


def test_an_unsigned_distance_has_a_shell_one_step_away_on_either_side(made):
    unsigned = replace(made.spec, value_kind="unsigned_distance", value_range=(0.0, 0.1))
    field = signed_field(unsigned, np.abs(exact_sphere(unsigned, 0.6).numpy()))
    radii = np.linalg.norm(zero_set(unsigned, field).vertices, axis=1)
    np.testing.assert_allclose(np.abs(radii - 0.6), 2 / 63, atol=3e-3)
    assert (radii < 0.6).any()
    assert (radii > 0.6).any()


def test_grid_values_are_those_of_the_inr_however_many_at_once(made, monkeypatch):
    params = initialise(made.spec, InitConfig(first_layer="siren"), torch.tensor([1]))
    whole = grid_values(made.spec, params, 9)
    monkeypatch.setattr("inrgen.fit.surface._ACTIVATIONS_AT_ONCE", 1000)
    np.testing.assert_allclose(grid_values(made.spec, params, 9), whole, atol=1e-6)


@pytest.mark.parametrize("resolution", [2, 7, 30])
def test_grid_values_are_of_the_grids_own_points_in_its_order(made, resolution, monkeypatch):
    """Parts of the grid are made when they are needed, with the same bits."""
    spec = replace(made.spec, coord_range=(-0.9, 1.1))
    seen: list[torch.Tensor] = []

    def note(spec, params, points):
        seen.append(points)
        return points[None].sum(dim=-1, keepdim=True)

    monkeypatch.setattr("inrgen.fit.surface.evaluate", note)
    monkeypatch.setattr("inrgen.fit.surface._ACTIVATIONS_AT_ONCE", 20 * max(spec.widths))
    params = initialise(spec, InitConfig(first_layer="siren"), torch.tensor([1]))
    values = grid_values(spec, params, resolution)
    coords = grid_coords(spec, (resolution,) * 3)
    assert torch.equal(torch.cat(seen), coords)
    assert torch.equal(torch.from_numpy(values).flatten(), coords.sum(dim=-1))
    assert len(seen) == -(-(resolution**3) // 20)


def test_chamfer_is_nothing_for_equal_surfaces_and_the_gap_between_nested_spheres():
    small, large = (
        Mesh(vertices=np.asarray(m.vertices), faces=np.asarray(m.faces, dtype=np.int64))
        for m in (trimesh.creation.icosphere(4, r) for r in (0.5, 0.6))
    )
    assert chamfer(small, small) < 1e-12
    assert chamfer(small, large) == pytest.approx(0.1, abs=2e-3)


def test_an_inr_without_inside_overlaps_nothing_and_has_no_surface(source, made):
    check = source.load(ball_at(source)).reference
    zero = Params.from_flat(made.spec, torch.zeros(1, made.spec.num_params))
    outside = replace(made.spec, output_offset=0.1)
    quality = measure_shape(outside, zero, check)
    assert quality.iou == 0.0
    assert math.isnan(quality.chamfer)
    assert quality.near_error == pytest.approx(np.abs(0.1 - check.near_values).mean(), rel=1e-5)


def test_surfaces_need_distances_or_occupancy(made):
    with pytest.raises(ValueError, match="holds intensity"):
        signed_field(replace(made.spec, value_kind="intensity"), np.ones((4, 4, 4)))


def test_a_ball_is_fitted_well_and_an_empty_file_is_a_row_with_a_reason(source, made):
    plan = FitPlan(spec=made.spec, fit=replace(made.fit, num_steps=300), seed=0, views=2)
    loaded = []
    for at in range(len(source.items)):
        try:
            loaded.append(source.load(at))
        except Exception as error:
            loaded.append(error)
    fitted = fit_block(plan, make_engine("cpu", 1), source.items, loaded, first_row=0)
    by_name = {(r.item_id, r.view): r for r in fitted.records}
    for view in range(2):
        ball = by_name["ball.off", view]
        assert ball.status == "ok"
        assert ball.iou > 0.97
        assert ball.chamfer < 0.01
        assert ball.near_error < 0.01
        assert ball.center == pytest.approx((7.0, 0.0, 0.0))
        assert ball.scale == pytest.approx(0.9 / 5.0, rel=1e-3)
        assert by_name["zero.off", view].status == "bad_input"
        assert math.isnan(by_name["zero.off", view].iou)


def test_a_ball_is_fitted_well_by_its_occupancy(source):
    shape = replace(source.config.shape, target="occupancy")
    occupied = replace(
        source,
        facts=replace(source.facts, value_kind="occupancy"),
        config=replace(source.config, shape=shape),
    )
    made = recipe("published", replace(occupied.facts, value_range=shape.value_range))
    plan = FitPlan(spec=made.spec, fit=replace(made.fit, num_steps=300), seed=0, views=1)
    at = ball_at(occupied)
    (ball,) = fit_block(
        plan, make_engine("cpu", 1), [occupied.items[at]], [occupied.load(at)], first_row=0
    ).records
    assert ball.iou > 0.95
    assert ball.chamfer < 0.01
    assert ball.near_error < 0.2  # the step itself is half a unit away from what is smooth


def test_real_shapes_are_fitted_well_by_the_default_recipe(real_data, tmp_path, made):
    with tarfile.open(real_data / "watertight_shapes.tar.gz") as archive:
        names = [m for m in archive.getmembers() if "/test/" in m.name and m.name.endswith(".off")]
        archive.extractall(tmp_path, members=names[::3], filter="data")
    shape = ShapeConfig(num_points=50_000)
    source = open_source(SourceConfig(name="mesh-folder", data=str(tmp_path), shape=shape))
    plan = FitPlan(spec=made.spec, fit=made.fit, seed=0, views=1)
    signals = [source.load(at) for at in range(len(source.items))]
    records = fit_block(plan, make_engine("cpu", 1), source.items, signals, first_row=0).records
    assert all(record.sign_method == "winding number (closed)" for record in records)
    assert np.median([record.iou for record in records]) > 0.95
    assert np.median([record.chamfer for record in records]) < 0.01
