"""Features change sign with their units, and points depend on the function alone."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from inrgen.core import rng, symmetry
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.training.models.catalog import make_model, parse_model
from inrgen.training.models.signed import Signed
from inrgen.training.models.values import centred_values

SPEC = InrSpec(widths=(2, 6, 5, 2), omega=(30.0, 20.0), output_offset=0.5, value_range=(-1.0, 2.0))


def made(text: str, spec: InrSpec = SPEC) -> Signed:
    model = make_model(parse_model(text), spec, 3, 0).double().eval()
    assert isinstance(model, Signed)
    return model


def signs_and_orders(num: int):
    keys = rng.keys(0, "units", torch.arange(num))
    hidden = enumerate(SPEC.widths[1:-1])
    signs = [2 * rng.integers(rng.fold(keys, l), (h,), 0, 2) - 1 for l, h in hidden]
    return signs, symmetry.random_permutations(SPEC, keys)


def test_features_of_units_turn_and_move_with_them(make_params):
    model, params = made("signed,channels=7"), make_params(SPEC, 4)
    signs, orders = signs_and_orders(4)
    moved = symmetry.negate(symmetry.permute(params, orders), signs)
    before, after = model._units(params), model._units(moved)
    for x, y, sign, order in zip(before, after, signs, orders, strict=True):
        assert x.abs().max() > 0.1
        assert_close(y, sign[:, :, None] * torch.take_along_dim(x, order[:, :, None], dim=1))


def test_points_see_what_an_inr_computes_and_nothing_else(make_params):
    model, params = made("signed,points=5"), make_params(SPEC, 4)
    assert model.points is not None
    signs, _ = signs_and_orders(4)
    shifted = symmetry.shift_phase(params, [1 + (s > 0).long() for s in signs], SPEC.omega)
    seen = centred_values(SPEC, params, model.points)
    assert seen.shape == (4, 5 * 2)
    assert_close(centred_values(SPEC, shifted, model.points), seen)
    assert (model(shifted) - model(params)).abs().max() > 1e-4, "weights alone do see half periods"
    values = make_model(parse_model("values,points=5"), SPEC, 3, 0).double().eval()
    assert_close(values(shifted), values(params), rtol=0, atol=1e-10)


def test_the_value_range_becomes_minus_one_to_one():
    model = made("signed,points=1")
    flat = torch.zeros(2, SPEC.num_params, dtype=torch.float64)
    # An INR of zeros computes its offset; the last bias adds to it.
    flat[:, -2:] = torch.tensor([[-1.5, 1.5], [0.0, 0.75]])
    assert model.points is not None
    seen = centred_values(SPEC, Params.from_flat(SPEC, flat), model.points)
    assert_close(seen, torch.tensor([[-1.0, 1.0], [0.0, 0.5]]).double())


@pytest.mark.parametrize("omega", [(30.0, 20.0), (5.0, 60.0)])
def test_a_frequency_and_weights_that_undo_it_make_no_difference(omega, make_params):
    """sin(omega (W x + b)) is the same for any omega with W / omega and b / omega."""
    text, params = "signed,points=4", make_params(SPEC, 3)
    other = replace(SPEC, omega=omega)
    factors = [a / b for a, b in zip(SPEC.omega, omega, strict=True)] + [1.0]
    scaled = Params(
        weights=tuple(f * w for f, w in zip(factors, params.weights, strict=True)),
        biases=tuple(f * b for f, b in zip(factors, params.biases, strict=True)),
    )
    assert_close(made(text, other)(scaled), made(text)(params))
