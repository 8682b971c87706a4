"""Initialisation and evaluation of SIRENs."""

import math
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from inrgen.core import rng
from inrgen.core.config import InitConfig
from inrgen.core.siren import evaluate, init_keys, initialise
from inrgen.core.spec import InrSpec

SPEC = InrSpec(widths=(2, 32, 16, 3), omega=(30.0, 20.0), output_offset=0.5)
KEYS = rng.keys(0, "init", torch.arange(300))


@pytest.mark.parametrize("activation", ["sine", "tanh", "relu"])
def test_values_are_those_of_the_formula(activation, make_params, make_coords):
    spec = replace(SPEC, activation=activation)
    params, coords = make_params(spec), make_coords(spec)
    act = {"sine": torch.sin, "tanh": torch.tanh, "relu": torch.relu}[activation]
    values = evaluate(spec, params, coords)
    for row in range(3):
        h = coords
        for l, omega in enumerate(spec.omega):
            h = act(omega * (h @ params.weights[l][row].T + params.biases[l][row]))
        expected = h @ params.weights[-1][row].T + params.biases[-1][row] + 0.5
        assert_close(values[row], expected)
    own = coords.expand(3, -1, -1)
    assert torch.equal(evaluate(spec, params, own), values)


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
            InitConfig(first_layer=0.25, last_layer="small"),
            [1 / 8, math.sqrt(6 / 32) / 20, math.sqrt(6 / 16) / 20],
            [0, 0, 0],
        ),
    ]
    for init, weights, biases in cases:
        params = initialise(SPEC, init, KEYS)
        for tensor, bound in zip(params.weights + params.biases, weights + biases, strict=True):
            assert float(tensor.abs().max()) <= bound
            assert float(tensor.abs().max()) >= 0.98 * bound
            assert abs(float(tensor.mean())) <= 0.03 * bound
        assert params.dtype == torch.float32


@pytest.mark.parametrize("share", [0.0, -1.0, math.inf, math.nan])
def test_a_first_layer_needs_a_share_that_can_be(share):
    with pytest.raises(ValueError, match="first_layer must be small, siren or a positive"):
        InitConfig(first_layer=share)


@pytest.mark.parametrize("name", ["first_layer", "hidden_bias", "last_layer"])
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
