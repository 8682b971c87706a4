"""Symmetries keep the function and form a group."""

from dataclasses import replace
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from inrgen.core import rng, symmetry
from inrgen.core.activations import (
    ACTIVATIONS,
    HOMOGENEOUS,
    PERIODIC,
    SYMMETRIC,
    ActivationName,
)
from inrgen.core.params import Params
from inrgen.core.siren import evaluate
from inrgen.core.spec import InrSpec
from inrgen.core.symmetry import Symmetry

SPEC = InrSpec(widths=(2, 32, 32, 1), omega=(30.0, 30.0), output_offset=0.5)


def element(spec: InrSpec, num: int, seed: int, max_phase: int = 1000) -> Symmetry:
    keys = rng.keys(seed, "element", torch.arange(num))
    hidden = list(enumerate(spec.widths[1:-1]))
    return Symmetry(
        permutations=tuple(rng.bits(rng.fold(keys, l), h).argsort(1) for l, h in hidden),
        signs=tuple(2 * rng.integers(rng.fold(keys, 9 + l), (h,), 0, 2) - 1 for l, h in hidden),
        phases=tuple(
            rng.integers(rng.fold(keys, 99 + l), (h,), -max_phase, max_phase + 1) for l, h in hidden
        ),
        omega=spec.omega,
        is_even=ACTIVATIONS[spec.activation].parity == "even",
    )


def same(a: Symmetry, b: Symmetry) -> bool:
    """Whether two elements are equal, phases not wrapped."""
    pairs = [(a.permutations, b.permutations), (a.signs, b.signs), (a.phases, b.phases)]
    return all(torch.equal(x, y) for xs, ys in pairs for x, y in zip(xs, ys, strict=True))


def parts(g: Symmetry) -> list[Symmetry]:
    """Three elements: the permutation alone, the signs alone, the phases alone."""
    e = symmetry.compose(symmetry.inverse(g), g)
    return [
        replace(e, permutations=g.permutations),
        replace(e, signs=g.signs),
        replace(e, phases=g.phases),
    ]


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_an_element_keeps_the_function(data, any_spec, make_params, make_coords):
    spec = data.draw(any_spec())
    params, coords = make_params(spec), make_coords(spec)
    g = element(spec, 3, data.draw(st.integers(0, 99)))
    before = evaluate(spec, params, coords)
    for h in (g, *parts(g)):
        assert_close(evaluate(spec, symmetry.apply(params, h), coords), before, rtol=0, atol=5e-12)


@pytest.mark.parametrize("max_phase", [0, 4, 1000])
def test_the_usual_network_moves_by_less_than_1e_12(max_phase, make_params, make_coords):
    params, coords = make_params(SPEC, num=20), make_coords(SPEC, 200)
    moved = symmetry.apply(params, element(SPEC, 20, 5, max_phase))
    assert_close(evaluate(SPEC, moved, coords), evaluate(SPEC, params, coords), rtol=0, atol=1e-12)


@pytest.mark.parametrize("activation", get_args(ActivationName))
@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_each_activation_keeps_what_its_table_says(
    activation, data, any_spec, make_params, make_coords
):
    spec = data.draw(any_spec(activation=activation, encoded=True))
    params, coords = make_params(spec), make_coords(spec)
    before, one = evaluate(spec, params, coords), element(spec, 3, 2)
    e = symmetry.identity(spec, 3)
    moved = {
        "permutation": symmetry.apply(params, replace(e, permutations=one.permutations)),
        "signs": symmetry.apply(params, replace(e, signs=one.signs)),
        "phases": symmetry.apply(params, replace(e, phases=tuple(p & 1 for p in one.phases))),
        "scales": symmetry.scale_units(params, [s.double().exp() for s in one.signs]),
    }
    kept = {name: torch.allclose(evaluate(spec, p, coords), before) for name, p in moved.items()}
    assert kept["permutation"]
    assert kept["signs"] or activation not in SYMMETRIC
    assert kept["phases"] or activation not in PERIODIC
    assert kept["scales"] or activation not in HOMOGENEOUS
    still = replace(one, phases=e.phases)
    back = symmetry.apply(symmetry.apply(params, still), symmetry.inverse(still))
    assert_close(back.flat(), params.flat())


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_elements_form_a_group(data, any_spec, make_params):
    spec = data.draw(any_spec())
    params = make_params(spec)
    f, g, h = (element(spec, 3, data.draw(st.integers(0, 99)) + 100 * i) for i in range(3))
    e = symmetry.identity(spec, 3)
    compose, inverse = symmetry.compose, symmetry.inverse

    assert same(compose(inverse(g), g), e)
    assert same(compose(g, inverse(g)), e)
    assert same(inverse(inverse(g)), g)
    assert same(compose(f, compose(g, h)), compose(compose(f, g), h))
    assert same(compose(e, g), compose(g, e))
    assert torch.equal(symmetry.apply(params, e).flat(), params.flat())

    one_by_one = symmetry.apply(symmetry.apply(params, g), f)
    at_once = symmetry.apply(params, compose(f, g))
    wrapped = [symmetry.wrap_phase(p, spec.omega) for p in (one_by_one, at_once)]
    for a, b, omega in zip(wrapped[0].biases, wrapped[1].biases, spec.omega, strict=False):
        # Both ends of the period are the same phase.
        assert_close(torch.cos(omega * (a - b)), torch.ones_like(a))
    for a, b in zip(one_by_one.weights, at_once.weights, strict=True):
        assert_close(a, b)
    back = symmetry.apply(symmetry.apply(params, g), inverse(g))
    assert_close(back.flat(), params.flat(), rtol=0, atol=1e-12)


def test_a_thousand_repetitions_move_a_float32_function_by_less_than_1e_4(make_params, make_coords):
    params, coords = make_params(SPEC, dtype=torch.float32), make_coords(SPEC, dtype=torch.float32)
    g = element(SPEC, 3, 1, max_phase=4)
    product, moved = symmetry.identity(SPEC, 3), params
    for _ in range(1000):
        product = symmetry.compose(g, product)
        moved = symmetry.wrap_phase(symmetry.apply(moved, g), SPEC.omega)
    before = evaluate(SPEC, params, coords)
    for after in (symmetry.apply(params, product), moved):
        assert_close(evaluate(SPEC, after, coords), before, rtol=0, atol=1e-4)
    assert all(int(p.min()) >= 0 and int(p.max()) <= 1 for p in product.phases)


def test_a_batch_moves_as_its_members_do_and_nothing_is_written(make_params):
    params, g = make_params(SPEC, num=4), element(SPEC, 4, 3)
    kept = params.flat().clone()
    together = symmetry.apply(params, g).flat()
    for row in range(4):
        one = Symmetry(
            permutations=tuple(p[row : row + 1] for p in g.permutations),
            signs=tuple(s[row : row + 1] for s in g.signs),
            phases=tuple(k[row : row + 1] for k in g.phases),
            omega=g.omega,
        )
        assert torch.equal(symmetry.apply(params[row : row + 1], one).flat()[0], together[row])
    assert torch.equal(params.flat(), kept)


def test_gradients_flow_and_autocast_changes_nothing(make_params):
    g = element(SPEC, 2, 4, max_phase=1)
    leaf = make_params(SPEC, 2, dtype=torch.float32).flat().requires_grad_()

    def moved(flat):
        return symmetry.apply(Params.from_flat(SPEC, flat), g).flat()

    moved(leaf).sum().backward()
    assert leaf.grad is not None
    assert bool((leaf.grad.abs() == 1).all())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(moved(leaf), moved(leaf.detach()))


def test_errors_name_what_is_wrong(make_params):
    params = make_params(SPEC)
    with pytest.raises(ValueError, match="signs needs 2 hidden layers; got 1"):
        symmetry.negate(params, (torch.ones(3, 32),))
    with pytest.raises(ValueError, match="permutations"):
        symmetry.permute(params, (torch.zeros(3, 31).long(), torch.zeros(3, 32).long()))
    other = replace(element(SPEC, 3, 0), omega=(30.0, 1.0))
    with pytest.raises(ValueError, match="omega"):
        symmetry.compose(element(SPEC, 3, 0), other)
    with pytest.raises(ValueError, match=r"phase.*relu"):
        symmetry.require_activation(replace(SPEC, activation="relu"), "a phase shift", ("sine",))
