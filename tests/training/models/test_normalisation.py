"""Coarser statistics are those of all entries together, and symmetries do not change them."""

import torch
from torch.testing import assert_close

from inrgen.core import symmetry
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.training.models.normalisation import coarsen

SPEC = InrSpec(widths=(2, 6, 5, 2), omega=(30.0, 30.0))


def moments(params: Params) -> tuple[Params, Params]:
    return (
        params.map(lambda t: t.mean(dim=0, keepdim=True)),
        params.map(lambda t: t.std(dim=0, keepdim=True, correction=0)),
    )


def shifted(make_params) -> Params:
    return make_params(SPEC, 50).map(lambda tensor: tensor + 0.3)


def test_statistics_of_a_tensor_are_those_of_all_its_entries(make_params):
    params = shifted(make_params)
    mean, deviation = coarsen("tensor", *moments(params))
    for tensor, center, spread in zip(
        params.weights + params.biases,
        mean.weights + mean.biases,
        deviation.weights + deviation.biases,
        strict=True,
    ):
        assert_close(center, tensor.mean().expand_as(center))
        assert_close(spread, tensor.std(correction=0).expand_as(spread))


def test_statistics_of_tensors_do_not_change_when_units_are_reordered(make_params):
    params = shifted(make_params)
    orders = symmetry.random_permutations(SPEC, torch.arange(len(params)))
    moved = symmetry.permute(params, orders)
    before, after = (coarsen("tensor", *moments(p)) for p in (params, moved))
    for a, b in zip(before, after, strict=True):
        assert_close(a.flat(), b.flat())


def test_statistics_of_elements_stay_and_none_change_nothing(make_params):
    mean, deviation = moments(shifted(make_params))
    for found, given in zip(coarsen("element", mean, deviation), (mean, deviation), strict=True):
        assert torch.equal(found.flat(), given.flat())
    zero, one = coarsen("none", mean, deviation)
    assert torch.equal(zero.flat(), torch.zeros_like(mean.flat()))
    assert torch.equal(one.flat(), torch.ones_like(mean.flat()))


def test_what_never_varies_is_divided_by_one(make_params):
    params = make_params(SPEC, 4).map(lambda tensor: torch.full_like(tensor, 0.1))
    for kind in ("element", "tensor"):
        mean, deviation = coarsen(kind, *moments(params))
        assert torch.equal(deviation.flat(), torch.ones(1, SPEC.num_params).double())
        assert_close(mean.flat(), torch.full_like(mean.flat(), 0.1))
