"""Recipes have the settings of the studies that they follow."""

from dataclasses import replace
from typing import get_args

import pytest
import torch

from inrgen.core.config import InitConfig
from inrgen.core.siren import evaluate, initialise
from inrgen.fit.build_config import RecipeName
from inrgen.fit.config import FitConfig
from inrgen.fit.recipes import recipe, usual_recipe
from inrgen.sources.base import SourceFacts


def facts(d_out: int = 1, **other) -> SourceFacts:
    return SourceFacts(**{"name": "s", "value_kind": "intensity", "d_in": 2} | other, d_out=d_out)


IMAGE_RECIPES = ["published", "fast", "sharp"]
SHAPE = {"value_kind": "truncated_distance", "d_in": 3, "value_range": (-0.1, 0.1)}


@pytest.mark.parametrize("name", IMAGE_RECIPES)
@pytest.mark.parametrize("d_out", [1, 3])
def test_every_recipe_fits_the_outputs_of_its_source(name, d_out):
    made = recipe(name, facts(d_out))
    assert made.name == name
    assert made.spec.widths == (2, 32, 32, d_out)
    assert FitConfig.from_dict(made.fit.to_dict()) == made.fit


def test_published_has_the_settings_of_the_study():
    made = recipe("published", facts())
    assert made.spec.omega == (30.0, 30.0)
    assert (made.spec.output_offset, made.spec.value_range) == (0.5, (0.0, 1.0))
    assert (made.spec.coord_order, made.spec.coord_range) == ("xy", (-1.0, 1.0))
    assert made.spec.num_params == 1185
    assert (made.fit.num_steps, made.fit.lr, made.fit.stop_psnr_db) == (1000, 5e-4, 40.0)
    assert (made.fit.points_per_step, made.fit.weight_decay) == (0, 0.0)
    assert made.fit.init == InitConfig(
        first_layer="small", hidden_bias="zero", last_layer="torch", shared=False
    )


def test_fast_differs_from_published_only_in_steps_and_last_layer():
    fast, published = recipe("fast", facts()), recipe("published", facts())
    small = replace(published.fit.init, last_layer="small")
    assert fast.fit == replace(published.fit, num_steps=250, init=small)
    assert fast.spec == published.spec


def test_signed_differs_from_fast_only_in_its_first_layer():
    signed, fast = recipe("signed", facts()), recipe("fast", facts())
    assert signed.fit == replace(fast.fit, init=replace(fast.fit.init, first_layer=0.25))
    assert signed.spec == fast.spec


@pytest.mark.parametrize("name", sorted({*get_args(RecipeName)} - {"signed", "sound"}))
def test_every_recipe_of_shapes_keeps_the_kind_and_range_of_its_source(name):
    made = recipe(name, facts(**SHAPE))
    assert made.name == name
    assert (made.spec.value_kind, made.spec.value_range) == ("truncated_distance", (-0.1, 0.1))
    assert (made.spec.coord_order, made.spec.coord_center) == ("xyz", (0.0, 0.0, 0.0))
    assert FitConfig.from_dict(made.fit.to_dict()) == made.fit


def test_teach_starts_small_without_biases_and_at_the_middle_of_the_values():
    occupancy = facts(value_kind="occupancy", d_in=3, value_range=(0.0, 1.0))
    made = recipe("teach", occupancy)
    init = initialise(made.spec, made.fit.init, torch.arange(3))
    points = torch.rand(50, 3) * 2 - 1
    values = evaluate(made.spec, init, points)
    assert all((bias == 0).all() for bias in init.biases)
    assert float((values - 0.5).abs().max()) < 0.2
    assert recipe("teach", facts(**SHAPE)).spec.output_offset == 0.0


def test_inr2vec_has_its_shape_and_shares_its_start():
    made = recipe("inr2vec", facts(**SHAPE))
    assert made.spec.widths == (3, 512, 512, 512, 512, 1)
    assert made.fit.init.shared


@pytest.mark.parametrize(
    ("name", "kind", "d_in", "message"),
    [
        ("published", "intensity", 3, "for intensity over 3 coordinates"),
        ("published", "signed_distance", 2, "for signed_distance over 2 coordinates"),
        ("inr2vec", "intensity", 2, "for images must be .*got 'inr2vec'"),
        ("teach", "intensity", 2, "for images must be .*got 'teach'"),
        ("signed", "occupancy", 3, "for shapes must be .*got 'signed'"),
        ("sound", "intensity", 2, "for images must be .*got 'sound'"),
    ],
)
def test_signals_without_a_recipe_are_refused(name, kind, d_in, message):
    with pytest.raises(ValueError, match=message):
        recipe(name, facts(value_kind=kind, d_in=d_in))


@pytest.mark.parametrize("d_in", [1, 2, 3, 4])
def test_any_other_signal_has_a_default_with_its_own_dimensions_and_values(d_in):
    other = facts(5, value_kind="quantity", d_in=d_in, value_range=(2.0, 6.0))
    assert usual_recipe(other) == "default"
    made = recipe("default", other)
    assert (made.spec.d_in, made.spec.d_out, made.spec.output_offset) == (d_in, 5, 4.0)
    assert (made.spec.value_range, made.spec.value_kind) == ((2.0, 6.0), "quantity")
    named = replace(other, coord_order="tuvw"[:d_in])
    assert recipe("default", named).spec.coord_order == "tuvw"[:d_in]
