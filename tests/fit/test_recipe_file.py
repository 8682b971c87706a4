"""A recipe is the same by name, as a text in full and as a file."""

from dataclasses import replace
from typing import get_args

import pytest

from inrgen.core.activations import ACTIVATIONS, ActivationName
from inrgen.core.spec import InrSpec
from inrgen.fit.build_config import BuildConfig, RecipeName
from inrgen.fit.config import FitConfig
from inrgen.fit.plan import OwnRecipe, plan_build
from inrgen.fit.recipe_file import recipe_toml
from inrgen.fit.recipes import recipe
from inrgen.fit.variants import field_values, parse_variant
from inrgen.sources.base import SourceFacts
from inrgen.sources.config import SourceConfig

IMAGES = SourceFacts(name="s", value_kind="intensity", d_in=2, d_out=3)
IMAGES_1 = replace(IMAGES, d_out=1)
SHAPES = SourceFacts(name="s", value_kind="occupancy", d_in=3, d_out=1)
SOUND = SourceFacts(name="s", value_kind="quantity", d_in=1, d_out=2, coord_order="t")


@pytest.mark.parametrize("name", get_args(RecipeName))
def test_a_file_holds_a_whole_recipe(name, tmp_path):
    facts = {"teach": SHAPES, "inr2vec": SHAPES, "sound": SOUND}.get(name, IMAGES)
    made = recipe(name, facts)
    path = tmp_path / "r.toml"
    path.write_text(recipe_toml(name, field_values(made)))
    assert parse_variant(str(path)).plan(facts) == made
    if facts is IMAGES and name != "default":
        # every field is in the file: upon another recipe they give the same
        path.write_text(recipe_toml("published", field_values(made)))
        assert replace(parse_variant(str(path)).plan(facts), name=name) == made


@pytest.mark.parametrize(
    ("text", "facts", "widths", "omega"),
    [
        ("hidden=64-48", IMAGES, (2, 64, 48, 3), (30.0, 30.0)),
        ("hidden=64/48/16,omega=20", IMAGES, (2, 64, 48, 16, 3), (20.0,) * 3),
        ("fast,hidden=8,omega=7.5", SHAPES, (3, 8, 1), (7.5,)),
        ("omega=30-10", IMAGES, (2, 32, 32, 3), (30.0, 10.0)),
        ("hidden=8", SOUND, (1, 8, 2), (30.0,)),
    ],
)
def test_a_text_sets_widths_and_frequencies(text, facts, widths, omega):
    made = parse_variant(text).plan(facts)
    assert (made.spec.widths, made.spec.omega) == (widths, omega)
    assert made.name == {"fast": "fast", "hidden=8": "default"}.get(text.split(",")[0], "published")


@pytest.mark.parametrize(
    ("text", "kind", "widths", "omega"),
    [
        ("activation=relu", "relu", (2, 32, 32, 3), (1.0, 1.0)),
        ("fast,activation=gaussian,omega=7", "gaussian", (2, 32, 32, 3), (7.0, 7.0)),
        ("activation=sine,omega=5-6", "sine", (2, 32, 32, 3), (5.0, 6.0)),
        ("encoding=octaves/3,hidden=9", "sine on 12 Fourier features", (12, 9, 3), (30.0,)),
        (
            "activation=relu,encoding=fourier",
            "relu on 64 Fourier features",
            (64, 32, 32, 3),
            (1, 1),
        ),
        ("encoding=gaussian/4/0.5/7", "sine on 8 Fourier features", (8, 32, 32, 3), (30, 30)),
        ("encoding=fourier/1/-2/0/3e-1", "sine on 4 Fourier features", (4, 32, 32, 3), (30, 30)),
        ("encoding=none", "sine", (2, 32, 32, 3), (30, 30)),
    ],
)
def test_a_text_sets_activation_and_encoding(text, kind, widths, omega, tmp_path):
    made = parse_variant(text).plan(IMAGES)
    assert (made.spec.kind, made.spec.widths, made.spec.omega) == (kind, widths, omega)
    path = tmp_path / "r.toml"
    path.write_text(recipe_toml(made.name, field_values(made)))
    assert parse_variant(str(path)).plan(IMAGES) == made


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("activation=swish", "activation needs one of sine, tanh, relu"),
        ("encoding=gaussian/4", "encoding needs none, fourier, octaves"),
        ("encoding=gaussian/4.5/1", "encoding needs none, fourier, octaves"),
        ("encoding=gaussian/nan/1", "encoding needs none, fourier, octaves"),
        ("encoding=octaves/inf", "encoding needs none, fourier, octaves"),
        ("encoding=fourier/1/x", "encoding needs none, fourier, octaves"),
        ("encoding=hash/3", "encoding needs none, fourier, octaves"),
        ("encoding=gaussian/1000000000/1", "needs 1 to 1024 frequencies"),
        ("encoding=fourier/1/2/3", "2 numbers for each frequency"),
    ],
)
def test_a_text_of_other_networks_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_variant(text).plan(IMAGES)


def test_options_set_what_a_text_sets():
    text = planned("activation=relu,encoding=octaves/2")
    options = planned(activation="relu", encoding="octaves/2")
    assert text.identity == options.identity
    assert text.notes[-1] == "networks 8-32-32-1: relu on 8 Fourier features; engine torch"
    spec = text.fit_plan.spec
    assert planned(own=OwnRecipe(spec=spec)).fit_plan.spec == spec
    with pytest.raises(ValueError, match=r"brings its own networks.*activation, encoding"):
        planned("learned", activation="relu", encoding="none")


@pytest.mark.parametrize("activation", get_args(ActivationName))
@pytest.mark.parametrize("base", ["published", "default"])
def test_an_activation_brings_the_start_of_its_paper_unless_one_is_stated(base, activation):
    sines, usual = recipe(base, IMAGES_1).fit, ACTIVATIONS[activation].usual_init
    kept = sines.init if activation == "sine" else usual
    text = f"{base},activation={activation}"
    for plan in (planned(text), planned(base, activation=activation)):
        assert plan.fit_plan.fit == replace(sines, init=kept)
    spec = planned(text).fit_plan.spec
    assert planned(base, own=OwnRecipe(spec=spec)).fit_plan.fit.init == kept
    assert planned(base, own=OwnRecipe(spec=spec, fit=sines)).fit_plan.fit == sines
    stated = replace(kept, hidden_bias=2.0, hidden_layer="siren", shared=True)
    rest = "bias=2,rule=siren,shared=true"
    assert parse_variant(f"{text},{rest}").plan(IMAGES_1).fit.init == stated
    assert planned(f"{base},{rest}", activation=activation).fit_plan.fit.init == stated


def planned(text: str | None = None, own: OwnRecipe | None = None, **options):
    source = SourceConfig(name="digits", limit=1)
    config = BuildConfig(source=source, out="s", recipe=text, engine="torch", views=1, **options)
    return plan_build(config, own=own)


def test_a_build_reads_texts_and_files_alike(tmp_path):
    file = "recipe = 'fast'\nhidden = [16, 8]\nomega = [20, 1e-1]\nsteps = 12\n"
    (tmp_path / "r.toml").write_text(file)
    typed = planned("fast,hidden=16-8,omega=20/1e-1,steps=12").identity
    assert planned(str(tmp_path / "r.toml")).identity == typed
    options = {"hidden": (16, 8), "num_steps": 12}
    assert planned("fast,omega=20/1e-1", **options).identity["fit"] == typed["fit"]
    learned = planned("learned,steps=2,points=9")
    fit = learned.fit_plan.fit
    assert (learned.recipe, fit.num_steps, fit.points_per_step) == ("learned", 2, 9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hiden = [3]", "did you mean hidden"),
        ("hidden = [0]", "hidden needs positive widths"),
        ("hidden = [{a = 1}]", "must be a number, a word, true, false or a list"),
        ("omega = [1.0, 2.0, 3.0]", "omega needs 2 hidden layers"),
        ("recipe = 'quick'", "recipe must be one of"),
        ("hidden = ", "is no TOML file"),
    ],
)
def test_a_file_with_a_mistake_is_refused_by_its_name(text, message, tmp_path):
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(ValueError, match=message):
        parse_variant(str(tmp_path / "r.toml")).plan(IMAGES)


def test_networks_and_fits_may_be_given_as_objects():
    spec = InrSpec(widths=(2, 5, 1), omega=(11.0,))
    fit = FitConfig(num_steps=3)
    plan = planned(own=OwnRecipe(spec=spec, fit=fit))
    assert (plan.fit_plan.spec, plan.fit_plan.fit, plan.recipe) == (spec, fit, "own")
    assert planned("fast", OwnRecipe(fit=fit)).fit_plan.spec == recipe("fast", IMAGES_1).spec
    with pytest.raises(ValueError, match="spec needs d_out 1 for digits; got 3"):
        planned(own=OwnRecipe(spec=replace(spec, widths=(2, 5, 3))))
    with pytest.raises(ValueError, match="spec says the networks already; leave out hidden, omega"):
        planned("fast,omega=20", OwnRecipe(spec=spec), hidden=(4,))
    with pytest.raises(ValueError, match="leave out spec and fit"):
        planned("learned", OwnRecipe(fit=fit))
