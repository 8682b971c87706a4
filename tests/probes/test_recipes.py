"""Comparison of recipes: their grammar, the invariant network, and repeatable figures."""

import math
from dataclasses import replace

import pytest
import torch

from inrgen.commands.probe_recipes import probe_recipes
from inrgen.core import rng, symmetry
from inrgen.core.config import InitConfig
from inrgen.core.siren import initialise
from inrgen.core.spec import InrSpec
from inrgen.fit.recipes import recipe
from inrgen.fit.variants import KEYS, parse_variant
from inrgen.probes.classifiers import LabelledRows
from inrgen.probes.config import TRAINED, ProbeRecipesConfig, ProbeTraining
from inrgen.probes.recipes import compare_recipes, recipe_table
from inrgen.probes.unit_sets import SetModel, set_scores
from inrgen.sources.base import SourceFacts

FACTS = SourceFacts(name="digits", value_kind="intensity", d_in=2, d_out=1)
SPECS = [
    InrSpec(widths=(2, 7, 1), omega=(30.0,)),
    InrSpec(widths=(2, 6, 5, 3), omega=(30.0, 20.0)),
    InrSpec(
        widths=(3, 5, 4, 6, 1), omega=(9.0,) * 3, coord_order="xyz", coord_center=(0.0, 0.0, 0.0)
    ),
]
QUICK = ProbeTraining(hidden=12, epochs=2, batch=32)
SMALL = ProbeRecipesConfig(
    recipes=(
        "published,steps=12",
        "init=small,bias=zero,last=torch,lr=5e-4,steps=12",
        "sharp,steps=9",
    ),
    train=60,
    val=20,
    test=30,
    mlp=QUICK,
    set_model=QUICK,
    repeats=2,
)


def weights(spec: InrSpec, num: int = 6):
    keys = rng.keys(3, "test weights", torch.arange(num))
    init = InitConfig(first_layer="siren", hidden_bias="torch")
    return initialise(spec, init, keys).to(dtype=torch.float64)


@pytest.fixture(scope="module")
def rows():
    return compare_recipes(SMALL)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.architecture)
def test_the_set_model_sees_neither_order_nor_sign(spec):
    params = weights(spec)
    keys = rng.keys(4, "test symmetries", torch.arange(len(params)))
    signs = tuple(
        rng.integers(rng.fold(keys, layer), (width,), 0, 2) * 2 - 1
        for layer, width in enumerate(spec.widths[1:-1])
    )
    moved = symmetry.permute(params, symmetry.random_permutations(spec, keys))
    moved = symmetry.negate(moved, signs)
    torch.manual_seed(0)
    model = SetModel(spec, params.flat(), 10, QUICK).double().eval()
    logits = model(params.flat())
    torch.testing.assert_close(model(moved.flat()), logits, rtol=1e-9, atol=1e-12)
    # Made anew on moved rows it is the same model: no symmetry moves its scales.
    torch.manual_seed(0)
    again = SetModel(spec, moved.flat(), 10, QUICK).double().eval()
    torch.testing.assert_close(again(moved.flat()), logits, rtol=1e-9, atol=1e-12)
    # Yet it sees the weights: each INR gets logits of its own, and every weight moves them.
    assert torch.cdist(logits, logits).fill_diagonal_(1.0).min() > 1e-6
    flat = params.flat().requires_grad_()
    (slope,) = torch.autograd.grad(model(flat).square().sum(), flat)
    assert (slope != 0).all()


def test_the_set_model_learns_what_symmetries_hide():
    """Classify two classes that differ in the size of a layer's weights, with random signs."""
    spec, num = SPECS[1], 240
    params = weights(spec, num)
    labels = torch.arange(num) % 2
    first = params.weights[1] * torch.where(labels == 1, 3.0, 1.0)[:, None, None].double()
    flat = replace(params, weights=(params.weights[0], first, params.weights[2])).flat().float()
    parts = [LabelledRows(flat=flat[at], labels=labels[at]) for at in torch.arange(num).split(80)]
    config = ProbeTraining(hidden=12, epochs=20, batch=16, dropout=0.0, lr=3e-3)
    scores = set_scores(spec, parts[0], parts[1], parts[2], config)
    assert (scores.argmax(dim=1) == parts[2].labels).double().mean() > 0.9


def test_a_recipe_typed_in_full_is_the_recipe_of_that_name():
    typed = parse_variant("init=small,last=small,steps=250,lr=5e-4,omega=30,decay=0").plan(FACTS)
    assert replace(typed, name="fast") == recipe("fast", FACTS)
    sharp = parse_variant("init=siren,bias=torch,last=siren,steps=500,lr=2e-3,stop=never")
    assert replace(sharp.plan(FACTS), name="sharp") == recipe("sharp", FACTS)
    for name in ("published", "fast", "sharp"):
        assert parse_variant(name).plan(FACTS) == recipe(name, FACTS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learned,lr=1", "field must be one of start, steps, points, curvature; got 'lr'"),
        ("learned,curvature=1", "curvature needs true or false; got '1'"),
        ("learned,steps=0", "recipe field steps needs a whole number from 1 on"),
    ],
)
def test_a_learned_recipe_takes_a_start_and_its_steps_alone(text, message):
    with pytest.raises(ValueError, match=message):
        parse_variant(text)


@pytest.mark.parametrize(
    ("pair", "read"),
    [
        ("init=siren", lambda plan: plan.fit.init.first_layer == "siren"),
        ("init=0.25", lambda plan: plan.fit.init.first_layer == 0.25),
        ("bias=torch", lambda plan: plan.fit.init.hidden_bias == "torch"),
        ("last=siren", lambda plan: plan.fit.init.last_layer == "siren"),
        ("shared=yes", lambda plan: plan.fit.init.shared),
        ("num_steps=7", lambda plan: plan.fit.num_steps == 7),
        ("steps=7", lambda plan: plan.fit.num_steps == 7),
        ("lr=1e-2", lambda plan: plan.fit.lr == 1e-2),
        ("decay=0.5", lambda plan: plan.fit.weight_decay == 0.5),
        ("schedule=cosine", lambda plan: plan.fit.schedule == "cosine"),
        ("stop=33.5", lambda plan: plan.fit.stop_psnr_db == 33.5),
        ("omega=12", lambda plan: plan.spec.omega == (12.0, 12.0)),
    ],
)
def test_each_key_changes_its_own_setting_and_no_other(pair, read):
    base, plan = recipe("published", FACTS), parse_variant(f"published,{pair}").plan(FACTS)
    assert read(plan)
    assert not read(base)
    field = pair.split("=")[0]
    key = next(key for name, key in KEYS.items() if field in (name, key.field))
    part = {"spec": lambda p: p.spec, "fit": lambda p: p.fit, "init": lambda p: p.fit.init}
    was = {key.field: getattr(part[key.place](base), key.field)}
    back = replace(part[key.place](plan), **was)
    assert back == part[key.place](base)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["empty", "''"]),
        ("quick", ["sharp", "'quick'"]),
        ("fast,published", ["FIELD=VALUE", "'published'"]),
        ("fast,", ["empty", "'fast,'"]),
        ("speed=3", ["steps", "num_steps", "'speed'"]),
        ("steps", ["published", "'steps'"]),
        ("steps=0", ["steps", "whole number", "'0'"]),
        ("steps=1.5", ["steps", "whole number", "'1.5'"]),
        ("init=tiny", ["init", "small, siren", "'tiny'"]),
        ("init=0", ["init", "positive", "'0'"]),
        ("lr=-1", ["lr", "positive", "'-1'"]),
        ("lr=nan", ["lr", "positive", "'nan'"]),
        ("lr= 1", ["lr", "positive"]),
        ("omega=inf", ["omega", "positive", "'inf'"]),
        ("decay=-0.1", ["decay", "from 0", "'-0.1'"]),
        ("last=zero", ["last", "torch, siren, small", "'zero'"]),
        ("stop=later", ["stop", "never", "'later'"]),
        ("fast,lr=1,lr=2", ["lr", "once"]),
        ("fast,steps=1,num_steps=2", ["steps", "once"]),
    ],
)
def test_a_wrong_recipe_is_refused_by_the_key_what_it_needs_and_what_it_got(text, words):
    with pytest.raises(ValueError, match="recipe") as caught:
        ProbeRecipesConfig(recipes=(text,))
    assert all(word in str(caught.value) for word in words), caught.value


def test_each_recipe_has_a_row_and_a_line(rows):
    assert tuple(row.recipe for row in rows) == SMALL.recipes
    for row in rows:
        assert tuple(row.accuracy) == TRAINED
        assert (row.num_train, row.num_val, row.num_test, row.num_failed) == (60, 20, 30, 0)
        assert row.seconds_per_10k > 0
        assert row.psnr_p5_db < row.psnr_db < row.psnr_p95_db
        assert all(0 <= a.percent <= 100 and a.standard_error >= 0 for a in row.accuracy.values())
        assert math.isnan(row.iou.value)
    lines = recipe_table(rows).splitlines()
    for line, row in zip(lines[3:6], rows, strict=True):
        assert line.startswith(row.recipe)
        assert f"{row.accuracy['set_raw'].percent:.1f}" in line
    for line, row in zip(lines[-2:], rows[1:], strict=True):
        assert line.startswith(row.recipe)
        assert f"{row.difference['mlp_signed'].percent:+.1f}" in line


def test_differences_are_those_of_the_accuracies(rows):
    assert rows[0].difference == {}
    for row in rows[1:]:
        for name, gain in row.difference.items():
            expected = row.accuracy[name].percent - rows[0].accuracy[name].percent
            assert gain.percent == pytest.approx(expected)
    assert rows[1].difference["mlp_raw"].standard_error == 0.0


def test_one_recipe_spelled_twice_gives_one_and_the_same_figures(rows):
    """Recipes share their seeds, so the config decides every figure."""
    # NaN, as for all images, equals nothing.
    images = {"crumbed": 0.0, "crumb_area": 0.0}
    plain = [replace(row, recipe="", seconds_per_10k=0.0, difference={}, **images) for row in rows]
    assert plain[0] == plain[1]
    assert plain[0] != plain[2]
    (other,) = compare_recipes(replace(SMALL, recipes=SMALL.recipes[:1], seed=1))
    assert other.psnr_db != rows[0].psnr_db


def test_fits_that_fail_are_counted_and_left_out():
    (row,) = compare_recipes(replace(SMALL, recipes=("steps=9,lr=1e30",), repeats=1))
    assert row.num_failed == 110
    assert math.isnan(row.psnr_db)
    assert all(math.isnan(a.percent) for a in row.accuracy.values())
    assert "110" in recipe_table([row])


def test_the_command_draws_the_trade(tmp_path, capsys):
    out = tmp_path / "new" / "trade.svg"
    config = replace(SMALL, recipes=("steps=5", "sharp,steps=5"), repeats=1, plot=str(out))
    config = replace(config, probes=("mlp_signed", "kernel_values"))
    report = probe_recipes(config)
    assert not report.failed
    assert [row["recipe"] for row in report.document()] == ["steps=5", "sharp,steps=5"]
    assert set(report.document()[0]["accuracy"]["mlp_signed"]) == {"percent", "standard_error"}
    assert out.read_bytes().startswith(b"<?xml")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "sharp,steps=5" in captured.err


def test_recipes_that_cannot_be_compared_are_refused():
    with pytest.raises(ValueError, match="train must be at least 1; got 0"):
        ProbeRecipesConfig(train=0)
    with pytest.raises(ValueError, match="recipes needs at least one"):
        ProbeRecipesConfig(recipes=())
    with pytest.raises(ValueError, match=r"plot must end in one of .png, .*'trade.txt'"):
        ProbeRecipesConfig(plot="trade.txt")
    with pytest.raises(ValueError, match="recipes must differ"):
        ProbeRecipesConfig(recipes=("fast", "fast"))
    with pytest.raises(ValueError, match="folds must be 0 or at least 2; got 1"):
        ProbeRecipesConfig(folds=1)
    with pytest.raises(ValueError, match="plot draws at most 4 probes; got 5"):
        ProbeRecipesConfig(probes=(*TRAINED, "kernel_raw"), plot="a.png")
    with pytest.raises(ValueError, match=r"for images must be .*got 'inr2vec'"):
        compare_recipes(replace(SMALL, recipes=("steps=1000000", "inr2vec")))
