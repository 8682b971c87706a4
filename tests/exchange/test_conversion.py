"""Other weights, the same picture: conversions are exact, and each undoes its inverse."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from inrgen.core.geometry import grid_coords
from inrgen.core.params import Params
from inrgen.core.siren import evaluate
from inrgen.core.spec import InrSpec
from inrgen.exchange.conversion import convert, image_spec, standardise, unstandardise

DWS = InrSpec(widths=(2, 8, 8, 3), omega=(30.0, 30.0), output_offset=0.5)
NFN = replace(DWS, coord_order="ij", value_range=(-1.0, 1.0), output_offset=0.0)
OTHERS = {
    "nfn": NFN,
    "order": replace(DWS, coord_order="ij"),
    "range": replace(DWS, coord_range=(0.0, 3.0), coord_center=(1.5, 1.5)),
    "values": replace(DWS, value_range=(-2.0, 7.0), output_offset=-1.0),
    "omega": replace(DWS, omega=(8.0, 20.0)),
    "all": replace(
        NFN, omega=(7.0, 11.0), coord_range=(-3.0, 1.0), value_range=(0.5, 1.0), output_offset=2.0
    ),
}


def weights(spec: InrSpec, dtype=torch.float64) -> Params:
    generator = torch.Generator().manual_seed(1)
    flat = torch.randn(4, spec.num_params, generator=generator, dtype=torch.float64) * 0.2
    return Params.from_flat(spec, flat.to(dtype))


def picture(spec: InrSpec, params: Params) -> torch.Tensor:
    """Values on an oblong grid, as shares of their range."""
    values = evaluate(spec, params, grid_coords(spec, (5, 9), params.dtype))
    return (values - spec.value_range[0]) / spec.value_width


@pytest.mark.parametrize("after", OTHERS.values(), ids=OTHERS)
def test_a_conversion_keeps_the_picture(after):
    params = weights(DWS)
    moved = convert(params, DWS, after)
    assert_close(picture(after, moved), picture(DWS, params), rtol=0, atol=1e-12)


@pytest.mark.parametrize("after", OTHERS.values(), ids=OTHERS)
def test_there_and_back_is_where_it_began(after):
    params = weights(DWS)
    back = convert(convert(params, DWS, after), after, DWS)
    assert_close(back.flat(), params.flat(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("after", OTHERS.values(), ids=OTHERS)
def test_there_and_back_in_float32_shows_the_same(after):
    """As in files: computed in float64 and rounded once each way, on weights of the usual size."""
    params = weights(DWS).map(lambda tensor: (tensor / 8).float().double())
    there = convert(params, DWS, after).to(dtype=torch.float32).to(dtype=torch.float64)
    back = convert(there, after, DWS).to(dtype=torch.float32).to(dtype=torch.float64)
    assert_close(picture(DWS, back), picture(DWS, params), rtol=0, atol=1e-6)


def test_dws_to_nfn_is_the_documented_edit():
    params = weights(DWS)
    moved = convert(params, DWS, NFN)
    assert torch.equal(moved.weights[0], params.weights[0].flip(2))
    assert torch.equal(moved.weights[2], 2 * params.weights[2])
    assert_close(moved.biases[2], 2 * params.biases[2], rtol=0, atol=1e-15)


def test_dws_to_fit_a_nef_is_the_documented_edit():
    """Hidden W and b times 30 / w, W_L / sigma, b_L <- (b_L + 0.5 - mu) / sigma."""
    params, after = weights(DWS), replace(DWS, omega=(8.0, 8.0), output_offset=0.0)
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
    moved = standardise(convert(params, DWS, after), after, mean, std)
    sigma, mu = torch.tensor(std, dtype=torch.float64), torch.tensor(mean, dtype=torch.float64)
    for layer in (0, 1):
        assert_close(moved.weights[layer], params.weights[layer] * 30 / 8, rtol=1e-15, atol=0)
        assert_close(moved.biases[layer], params.biases[layer] * 30 / 8, rtol=1e-15, atol=0)
    assert_close(moved.weights[2], params.weights[2] / sigma[:, None], rtol=1e-14, atol=0)
    expected = (params.biases[2] + 0.5 - mu) / sigma
    assert_close(moved.biases[2], expected, rtol=0, atol=1e-14)
    back = unstandardise(moved, after, mean, std)
    assert_close(picture(after, back), picture(DWS, params), rtol=0, atol=1e-12)


def test_standardised_values_are_those_of_the_pictures():
    params, mean, std = weights(DWS), (0.3,), (0.7,)
    values = evaluate(DWS, params, grid_coords(DWS, (4, 4), torch.float64))
    grid = grid_coords(DWS, (4, 4), torch.float64)
    moved = evaluate(DWS, standardise(params, DWS, mean, std), grid)
    assert_close(moved, (values - 0.3) / 0.7, rtol=0, atol=1e-12)


def test_what_cannot_be_converted_is_refused():
    params = weights(DWS)
    for other in (
        replace(DWS, widths=(2, 8, 8, 1)),
        replace(DWS, activation="tanh"),
        replace(DWS, value_kind="logit"),
    ):
        with pytest.raises(ValueError, match="must stay as it is"):
            convert(params, DWS, other)
    with pytest.raises(ValueError, match="mean needs 1 or 3 numbers"):
        standardise(params, DWS, (1.0, 2.0), (1.0, 2.0))
    with pytest.raises(ValueError, match="std must be positive"):
        standardise(params, DWS, (1.0,), (0.0,))


def test_a_family_changes_pictures_alone():
    def family(spec):
        return image_spec(
            spec, coord_order="ij", value_range=(-1.0, 1.0), output_offset=0.0, omega=30.0
        )

    assert family(DWS) == NFN
    shapes = InrSpec(
        widths=(3, 4, 1),
        omega=(10.0,),
        coord_order="xyz",
        coord_center=(0.0, 0.0, 0.0),
        value_kind="signed_distance",
    )
    assert family(shapes) == replace(shapes, omega=(30.0,))
