"""Each transform draws from the range it names, and refuses what it has no meaning for."""

import dataclasses
import math
from dataclasses import replace
from typing import Literal, get_origin

import pytest
import torch
from torch.testing import assert_close

from inrgen.core import rng
from inrgen.core.encoding import octave_encoding
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.transforms.chain import Chain
from inrgen.transforms.exact import Permute, ReluScale, SirenBias, SirenNegation
from inrgen.transforms.geometric import Affine, Reflect, Rotate, Scale, Translate
from inrgen.transforms.mix import MixUp
from inrgen.transforms.named import ALIASES, PUBLISHED, TRANSFORMS, make_transform
from inrgen.transforms.noisy import Dropout, GaussianNoise, QuantileDropout

SPEC = InrSpec(widths=(2, 32, 32, 1), omega=(30.0, 30.0), coord_center=(0.2, 0.1))
SOLID = InrSpec(widths=(3, 16, 1), omega=(30.0,), coord_order="xyz", coord_center=(0.0, 0.0, 0.0))
KEYS = rng.keys(0, "ranges", torch.arange(2000))


def test_translations_and_scales_fill_their_range():
    shift = Translate().draw(SPEC, KEYS).shift
    assert -0.25 <= float(shift.min()) < -0.24
    assert 0.24 < float(shift.max()) <= 0.25
    factor = 1 / Scale().draw(SPEC, KEYS).matrix[:, 0, 0]
    assert 0.8 <= float(factor.min()) < 0.81
    assert 1.19 < float(factor.max()) <= 1.2
    published = Scale(published=True).draw(SPEC, KEYS)
    assert_close(published.matrix[:, 0, 0], factor)  # f(s x)
    assert_close(published.shift, torch.zeros_like(published.shift))  # about the origin
    plus = Translate(reversed=True).draw(SPEC, KEYS).shift
    assert_close(plus, -shift)  # f(x + t) against f(x - t)


def test_published_motions_are_the_published_code_line_by_line():
    params = Params.from_flat(SPEC, rng.normal(KEYS, (SPEC.num_params,), torch.float64))
    # The published layout is (b, in, out, 1).
    first, second, _ = (w.mT[..., None] for w in params.weights)
    rotated = Rotate(published=True).draw(SPEC, KEYS)
    turn = rotated.matrix.mT  # ours is f(M x + v) with M = R^T
    assert_close(turn[:, 0, 1], -turn[:, 1, 0])
    moved = Rotate(published=True).apply(params, rotated)
    assert_close(moved.weights[0].mT[..., None], torch.einsum("bij,bjkc->bikc", turn, first))
    assert torch.equal(moved.biases[0], params.biases[0])
    draw = Translate(published=True).draw(SPEC, KEYS)
    assert 900 < int(draw.layer.sum()) < 1100  # half of the draws choose the second layer
    moved = Translate(published=True).apply(params, draw)
    pushed = torch.einsum("bic,bijc->bjc", draw.offset[..., None], first)
    deep = torch.einsum("bic,bijc->bjc", pushed, second)
    for layer, image in enumerate((pushed, deep)):
        added = torch.where((draw.layer == layer)[:, None], image[..., 0], 0.0)
        assert_close(moved.biases[layer], params.biases[layer] + added)
    assert torch.equal(moved.biases[2], params.biases[2])


@pytest.mark.parametrize(
    ("value_kind", "grows"),
    [
        ("intensity", False),
        ("occupancy", False),
        ("signed_distance", True),
        ("unsigned_distance", True),
    ],
)
def test_distances_grow_with_the_shape_and_other_values_do_not(value_kind, grows):
    draw = Scale().draw(replace(SOLID, value_kind=value_kind), KEYS)
    factor = 1 / draw.matrix[:, 0, 0]
    assert_close(draw.value_scale, factor if grows else torch.ones_like(factor))


def test_rotations_fill_their_range():
    matrix = Rotate().draw(SPEC, KEYS).matrix.mT  # g(x) = f(R^T x)
    angle = torch.rad2deg(torch.atan2(matrix[:, 1, 0], matrix[:, 0, 0]))
    assert 29 < float(angle.abs().max()) <= 30
    assert abs(float(angle.mean())) < 2
    back = Rotate(reversed=True).draw(SPEC, KEYS)
    assert_close(back.matrix, matrix)  # f(R x)
    assert_close(back.shift, torch.zeros_like(back.shift))
    with pytest.raises(ValueError, match="published and reversed are two forms; got both"):
        Rotate(published=True, reversed=True)
    traces = Rotate(bound_deg=20).draw(SOLID, KEYS).matrix.diagonal(dim1=1, dim2=2).sum(1)
    turned = torch.rad2deg(torch.acos(((traces - 1) / 2).clamp(-1, 1)))
    assert 19 < float(turned.max()) <= 20.001
    up = Rotate(around="z").draw(SOLID, KEYS).matrix
    assert_close(up[:, 2], torch.tensor([0.0, 0, 1]).double().expand(2000, 3))


def test_reflections_and_affine_maps():
    flips = Reflect(axes=(1,)).draw(SPEC, KEYS).matrix
    assert bool((flips[:, 0, 0] == 1).all())
    assert 0.45 < float((flips[:, 1, 1] == -1).double().mean()) < 0.55
    maps = Affine().draw(SPEC, KEYS)
    center = torch.tensor(SPEC.coord_center, dtype=torch.float64)
    assert_close(maps.matrix @ center + maps.shift, center.expand(2000, 2))
    change = torch.linalg.inv(maps.matrix) - torch.eye(2, dtype=torch.float64)
    assert 0.19 < float(change.abs().max()) <= 0.2000001


def test_units_are_drawn_evenly():
    even, lopsided = SirenBias().draw(SPEC, KEYS), SirenBias(published=True).draw(SPEC, KEYS)
    assert even.phases[0].unique().tolist() == list(range(-4, 5))
    assert lopsided.phases[1].unique().tolist() == list(range(-4, 4))
    assert abs(float(even.phases[0].double().mean())) < 0.05
    signs = SirenNegation(probability=0.2).draw(SPEC, KEYS).signs
    assert 0.19 < float((signs[0] == -1).double().mean()) < 0.21
    order = Permute().draw(SPEC, KEYS).permutations[1]
    assert torch.equal(order.sort(dim=1).values[0], torch.arange(32))
    assert abs(float(order[:, 0].double().mean()) - 15.5) < 1
    relu = replace(SPEC, activation="relu")
    factors = ReluScale(max_factor=4).draw(relu, KEYS).factors[0]
    assert 0.25 <= float(factors.min()) < 0.26
    assert abs(float(factors.log().mean())) < 0.02


def test_noise_is_drawn_as_named():
    kept = Dropout(probability=0.3).draw(SPEC, KEYS[:100]).keep
    assert 0.69 < float(kept[2].double().mean()) < 0.71
    quantile = QuantileDropout().draw(SPEC, KEYS).quantile
    assert 0 <= float(quantile.min()) < 0.001
    assert 0.099 < float(quantile.max()) < 0.1
    noise = GaussianNoise().draw(SPEC, KEYS[:100]).flat()
    assert abs(float(noise.std()) - 1) < 0.01


def test_links_of_a_chain_act_with_their_probability():
    chain = Chain(
        transforms=(Translate(), Translate(), GaussianNoise()), probabilities=(0.0, 0.3, 1.0)
    )
    draw = chain.draw(SPEC, KEYS[:1000])
    shares = [float(applied.double().mean()) for applied in draw.applied]
    assert shares[0] == 0.0
    assert 0.25 < shares[1] < 0.35
    assert shares[2] == 1.0
    assert not torch.equal(draw.draws[0].shift, draw.draws[1].shift)
    assert bool(Chain(transforms=(Permute(),)).draw(SPEC, KEYS).applied[0].all())
    with pytest.raises(ValueError, match="probabilities needs one for each"):
        Chain(transforms=(Permute(),), probabilities=(0.5, 0.5))


def test_what_has_no_meaning_is_refused():
    relu, tanh = replace(SPEC, activation="relu"), replace(SPEC, activation="tanh")
    line = InrSpec(widths=(1, 4, 1), omega=(1.0,), coord_order="x", coord_center=(0.0,))
    fourier = SPEC.with_encoding(octave_encoding(2, 2))
    motions = (Translate(), Translate(published=True), Rotate(), Scale(), Reflect(), Affine())
    refused = [
        (ReluScale(), SPEC, "scaling of units"),
        (SirenBias(), relu, "phase shift"),
        (SirenBias(), tanh, "phase shift"),
        (SirenNegation(), relu, "negation"),
        (SirenBias(), replace(SPEC, activation="finer"), "phase shift"),
        *((motion, fourier, "must take the coordinates themselves") for motion in motions),
        (Rotate(), line, "rotation needs 2 or 3"),
        (Rotate(around="z"), SPEC, "around='z'"),
        (Reflect(axes=(2,)), SPEC, "axes must lie in"),
        (Affine(strength=0.4), SOLID, "strength must be below"),
        (Scale(), replace(SOLID, value_kind="logit"), "scale_values"),
        (Scale(), replace(SOLID, value_kind="truncated_distance"), "scale_values"),
    ]
    for transform, spec, message in refused:
        with pytest.raises(ValueError, match=message):
            transform.draw(spec, KEYS)
    Scale(values="keep").draw(replace(SOLID, value_kind="logit"), KEYS)
    bad = [
        (Translate, {"bound": -1.0}),
        (Translate, {"bound": math.nan}),
        (Rotate, {"bound_deg": 200.0}),
        (Scale, {"bound": 1.0}),
        (Dropout, {"probability": 1.0}),
        (QuantileDropout, {"max_quantile": 0.0}),
        (GaussianNoise, {"scale": -0.1}),
        (ReluScale, {"max_factor": 1.0}),
        (SirenBias, {"max_phase": 0}),
        (SirenNegation, {"probability": 2.0}),
    ]
    for kind, fields in bad:
        with pytest.raises(ValueError, match=next(iter(fields))):
            kind(**fields)


def choices():
    """Every field of a named transform that is one of a few words."""
    for name, make in {**TRANSFORMS, "mixup": MixUp}.items():
        for field in dataclasses.fields(make()):
            if get_origin(field.type) is Literal:
                yield pytest.param(make(), field.name, id=f"{name}-{field.name}")


@pytest.mark.parametrize("word", ["", "Any", "auto "])
@pytest.mark.parametrize(("transform", "field"), list(choices()))
def test_a_misspelt_choice_is_refused(transform, field, word):
    object.__setattr__(transform, field, word)  # tests alone check the types of arguments
    with pytest.raises(ValueError, match=f"{field} must be one of .* got '{word}'"):
        transform.__post_init__()


def test_every_name_of_the_published_table_is_there():
    for name in PUBLISHED:
        assert type(make_transform(name, published=True)) is type(make_transform(name))
    assert set(PUBLISHED) < set(TRANSFORMS)
    for short, name in ALIASES.items():
        assert make_transform(short) == make_transform(name)
    with pytest.raises(ValueError, match="transform must be one of"):
        make_transform("rotate")
