"""Initialisation and evaluation of SIRENs."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from inrgen.core import rng
from inrgen.core.activations import ACTIVATIONS
from inrgen.core.config import InitConfig
from inrgen.core.encoding import gaussian_encoding
from inrgen.core.siren import evaluate, init_keys, initialise
from inrgen.core.spec import InrSpec

SPEC = InrSpec(widths=(2, 32, 16, 3), omega=(30.0, 20.0), output_offset=0.5)
KEYS = rng.keys(0, "init", torch.arange(300))


ACTS = {
    "sine": lambda z, w: torch.sin(w * z),
    "tanh": lambda z, w: torch.tanh(w * z),
    "relu": lambda z, w: torch.clamp(w * z, min=0),
    "gaussian": lambda z, w: torch.exp(-((w * z) ** 2) / 2),
    "sinc": lambda z, w: torch.sin(w * z) / (w * z),
    "finer": lambda z, w: torch.sin(w * (torch.abs(z) + 1) * z),
}


def numpy_act(activation):
    code = ACTIVATIONS[activation].numpy.replace("OMEGA", "w")
    return lambda z, w: torch.from_numpy(eval(code, {"np": np, "w": w})((w * z).numpy()))


@pytest.mark.parametrize("encoded", [False, True])
@pytest.mark.parametrize("activation", ACTS)
def test_values_are_those_of_the_formula(activation, encoded, make_params, make_coords):
    spec = replace(SPEC, activation=activation)
    if encoded:
        spec = spec.with_encoding(gaussian_encoding(2, 5, 1.5))
    params, coords = make_params(spec), make_coords(spec)
    act = ACTS[activation]
    values = evaluate(spec, params, coords)
    for row in range(3):
        h = coords
        if spec.encoding:
            turns = coords @ torch.tensor(spec.encoding.frequencies, dtype=torch.float64).T
            h = torch.cat([torch.cos(2 * math.pi * turns), torch.sin(2 * math.pi * turns)], dim=1)
        for l, omega in enumerate(spec.omega):
            z = h @ params.weights[l][row].T + params.biases[l][row]
            h = act(z, omega)
            assert_close(numpy_act(activation)(z, omega), h)
        expected = h @ params.weights[-1][row].T + params.biases[-1][row] + 0.5
        assert_close(values[row], expected)
    own = coords.expand(3, -1, -1)
    assert torch.equal(evaluate(spec, params, own), values)


@pytest.mark.parametrize("activation", ACTS)
def test_slopes_are_the_derivatives_and_parity_is_as_stated(activation):
    found = ACTIVATIONS[activation]
    z = torch.linspace(-2, 2, 41, dtype=torch.float64, requires_grad=True)
    values = found.function(z, 3.0)
    (expected,) = torch.autograd.grad(values.sum(), z)
    # relu and sinc have a kink or a quotient at 0, where autograd chooses otherwise.
    away = z.detach().abs() > 1e-9
    assert_close(found.slope(z.detach(), 3.0)[away], expected[away])
    assert bool(found.slope(z.detach(), 3.0).isfinite().all())
    mirrored = found.function(-z, 3.0)
    assert torch.allclose(mirrored, -values) == (found.parity == "odd")
    assert torch.allclose(mirrored, values) == (found.parity == "even")
    shifted = found.function(z + math.pi / 3.0, 3.0)
    assert torch.allclose(shifted, -values) == found.is_periodic
    assert torch.allclose(found.function(2 * z, 3.0), 2 * values) == found.is_homogeneous
    assert torch.allclose(found.function(z, 6.0), found.function(2 * z, 3.0)) == found.scales_input


def test_weights_fill_their_bounds():
    small = math.sqrt(6 / 2) / 30
    cases = [
        (InitConfig(), [small, math.sqrt(6 / 32) / 20, 1 / 4], [0, 0, 1 / 4]),
        (
            InitConfig(first_layer="siren", hidden_bias="torch", last_layer="siren"),
            [1 / 2, math.sqrt(6 / 32) / 20, math.sqrt(6 / 16) / 20],
            [1 / math.sqrt(2), 1 / math.sqrt(32), 1 / 4],
        ),
        (
            InitConfig(first_layer=0.25, hidden_bias=1.5, last_layer="small"),
            [1 / 8, math.sqrt(6 / 32) / 20, math.sqrt(6 / 16) / 20],
            [1.5, 1.5, 0],
        ),
        (
            InitConfig(hidden_layer="glorot", last_layer="small"),
            [math.sqrt(6 / 34) / 30, math.sqrt(6 / 48) / 20, math.sqrt(6 / 19) / 20],
            [0, 0, 0],
        ),
        (
            InitConfig(hidden_layer="torch", hidden_bias="torch", first_bias=5.0),
            [1 / math.sqrt(2), 1 / math.sqrt(32), 1 / 4],
            [5, 1 / math.sqrt(32), 1 / 4],
        ),
    ]
    for init, weights, biases in cases:
        params = initialise(SPEC, init, KEYS)
        for tensor, bound in zip(params.weights + params.biases, weights + biases, strict=True):
            assert float(tensor.abs().max()) <= bound
            assert float(tensor.abs().max()) >= 0.98 * bound
            assert abs(float(tensor.mean())) <= 0.03 * bound
        assert params.dtype == torch.float32


@pytest.mark.parametrize("name", ["first_layer", "hidden_bias", "first_bias"])
@pytest.mark.parametrize("share", [0.0, -1.0, math.inf, math.nan])
def test_numbers_of_a_start_are_positive(name, share):
    with pytest.raises(ValueError, match=rf"{name} must be [\w, ]+ or a positive number"):
        InitConfig(**{name: share})


@pytest.mark.parametrize("name", ["first_layer", "hidden_bias", "last_layer", "hidden_layer"])
@pytest.mark.parametrize("word", ["Torch", "zeros", ""])
def test_a_misspelt_start_is_refused(name, word):
    init = InitConfig()
    object.__setattr__(init, name, word)  # past the type check that only tests have
    with pytest.raises(ValueError, match=f"{name} must be .* got '{word}'"):
        init.__post_init__()


def test_a_start_depends_on_its_name_alone():
    params = initialise(SPEC, InitConfig(), KEYS)
    few = initialise(SPEC, InitConfig(), KEYS[[7, 3]])
    assert torch.equal(few.flat(), params.flat()[[7, 3]])
    assert len(params.flat().unique(dim=0)) == 300


def test_a_shared_start_differs_by_view_alone():
    items, views = torch.tensor([1, 2, 1, 2]), torch.tensor([0, 0, 1, 1])
    shared = init_keys(0, InitConfig(shared=True), items, views)
    assert shared[0] == shared[1] != shared[2] == shared[3]
    assert len(init_keys(0, InitConfig(), items, views).unique()) == 4
