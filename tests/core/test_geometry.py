"""A motion of weights moves the signal, and grids follow the spec's convention."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from inrgen.core import geometry, rng
from inrgen.core.config import InitConfig
from inrgen.core.geometry import grid_coords
from inrgen.core.params import Params
from inrgen.core.siren import evaluate, initialise
from inrgen.core.spec import InrSpec

SPEC = InrSpec(widths=(2, 16, 16, 1), omega=(30.0, 20.0), coord_center=(0.2, -0.1))
PLANE = InrSpec(widths=(2, 4, 1), omega=(30.0,))
USUAL = InrSpec(widths=(2, 32, 32, 1), omega=(30.0, 30.0), output_offset=0.5)
SOLID = InrSpec(
    widths=(3, 16, 16, 1),
    omega=(30.0, 30.0),
    coord_order="xyz",
    coord_center=(0.1, 0.2, 0.3),
    output_offset=0.5,
    value_kind="signed_distance",
)


def numbers(shape, low=-1.0, high=1.0, seed=0, num=3):
    return rng.uniform(
        rng.keys(seed, "numbers", torch.arange(num)), shape, low, high, torch.float64
    )


def rotations(d_in: int, num: int = 3) -> torch.Tensor:
    angle = numbers((), -3.0, 3.0, num=num)
    if d_in == 2:
        return geometry.rotation_2d(angle)
    return geometry.rotation_3d(numbers((3,), seed=1, num=num), angle)


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_each_motion_moves_the_signal_as_it_says(data, any_spec, make_params, make_coords):
    spec = data.draw(any_spec())
    params, x = make_params(spec), make_coords(spec).expand(3, -1, -1)
    c = torch.tensor(spec.coord_center, dtype=torch.float64)
    t, s = numbers((spec.d_in,)), numbers((), 0.5, 2.0)
    a = torch.eye(spec.d_in, dtype=torch.float64) + numbers((spec.d_in, spec.d_in), -0.2, 0.2)
    flips = numbers((spec.d_in,)).sign()

    def moved(motion):
        return evaluate(spec, geometry.apply(params, motion), x)

    def signal(points):
        return evaluate(spec, params, points)

    close = {"rtol": 0.0, "atol": 1e-10}
    assert_close(moved(geometry.translation(spec, t)), signal(x - t[:, None]), **close)
    grown = (x - c) / s[:, None, None] + c
    assert_close(moved(geometry.scaling(spec, s)), signal(grown), **close)
    mirrored = flips[:, None] * (x - c) + c
    assert_close(moved(geometry.reflection(spec, flips)), signal(mirrored), **close)
    back = torch.linalg.solve(a, (x - t[:, None]).mT).mT
    assert_close(moved(geometry.affine(spec, a, t)), signal(back), **close)
    if spec.d_in > 1:
        r = rotations(spec.d_in)
        turned = (x - c) @ r + c  # rows are points: (R^T p)^T = p^T R
        assert_close(moved(geometry.rotation(spec, r)), signal(turned), **close)
        about = (0.0,) * spec.d_in
        assert_close(moved(geometry.rotation(spec, r, about)), signal(x @ r), **close)
    for motion in (geometry.scaling(spec, s), geometry.affine(spec, a, t)):
        pulled_back = x @ motion.matrix.mT + motion.shift[:, None]
        assert_close(moved(motion), signal(pulled_back), **close)


def test_a_quarter_turn_of_the_weights_turns_the_picture(make_params):
    spec = replace(SPEC, coord_center=(0.0, 0.0))
    params = make_params(spec)
    coords = grid_coords(spec, (9, 9), torch.float64)

    def picture(of: Params, shown: InrSpec) -> torch.Tensor:
        return evaluate(shown, of, coords if shown is spec else coords.flip(-1)).reshape(3, 9, 9)

    quarter = geometry.rotation_2d(torch.full((3,), math.pi / 2, dtype=torch.float64))
    turned = geometry.apply(params, geometry.rotation(spec, quarter))
    # x runs along columns and y down rows, so x towards y is clockwise: rot90 with k = -1.
    assert_close(picture(turned, spec), picture(params, spec).rot90(-1, (1, 2)))
    right = geometry.translation(spec, torch.tensor([[0.25, 0.0]] * 3, dtype=torch.float64))
    moved = picture(geometry.apply(params, right), spec)
    assert_close(moved[:, :, 1:], picture(params, spec)[:, :, :-1])


@pytest.mark.parametrize("kind", ["signed_distance", "unsigned_distance"])
def test_a_distance_grows_with_its_shape(kind, make_params, make_coords):
    spec = replace(SOLID, value_kind=kind)
    params, x = make_params(spec), make_coords(spec).expand(3, -1, -1)
    s, c = numbers((), 0.5, 2.0), torch.tensor(spec.coord_center, dtype=torch.float64)
    motion = geometry.scaling(spec, s, scale_values=True)
    factor = s[:, None, None]
    assert_close(
        evaluate(spec, geometry.apply(params, motion), x),
        factor * evaluate(spec, params, (x - c) / factor + c),
    )
    back = geometry.apply(geometry.apply(params, motion), geometry.inverse(motion))
    assert_close(back.flat(), params.flat(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["intensity", "truncated_distance", "logit"])
def test_values_that_no_scale_fits_are_refused(kind):
    with pytest.raises(ValueError, match=f"scale_values.*{kind}"):
        geometry.scaling(replace(SOLID, value_kind=kind), torch.ones(2), scale_values=True)


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_motions_form_a_group(data, any_spec, make_params):
    spec = data.draw(any_spec())
    params = make_params(spec)

    def motion(seed):
        a = torch.eye(spec.d_in, dtype=torch.float64)
        a = a + numbers((spec.d_in, spec.d_in), -0.2, 0.2, seed)
        return geometry.affine(spec, a, numbers((spec.d_in,), seed=seed + 50))

    f, g = motion(1), motion(2)
    at_once = geometry.apply(params, geometry.compose(f, g))
    one_by_one = geometry.apply(geometry.apply(params, g), f)
    assert_close(at_once.flat(), one_by_one.flat())
    back = geometry.apply(geometry.apply(params, f), geometry.inverse(f))
    assert_close(back.flat(), params.flat())


def test_a_thousand_repetitions_move_a_float32_function_by_less_than_1e_4(make_coords):
    keys = rng.keys(0, "repeated", torch.arange(3))
    # Weights as fits begin: where the first layer's are many times larger, so is what rounding
    # each step costs, and steps should be composed before they are applied.
    params, x = initialise(USUAL, InitConfig(), keys), make_coords(USUAL).expand(3, -1, -1).float()
    eye = torch.eye(2, dtype=torch.float64).expand(3, 2, 2)
    # A turn to and fro about a point that is not the centre, so both W_0 and b_0 are at work.
    there = geometry.rotation(USUAL, rotations(2), about=(0.5, -0.3))
    back = geometry.inverse(there)
    product, moved = geometry.affine(USUAL, eye, torch.zeros(3, 2, dtype=torch.float64)), params
    for _ in range(500):
        product = geometry.compose(back, geometry.compose(there, product))
        moved = geometry.apply(geometry.apply(moved, there), back)
    before = evaluate(USUAL, params, x)
    assert not torch.equal(moved.flat(), params.flat())
    for after in (geometry.apply(params, product), moved):
        assert_close(evaluate(USUAL, after, x), before, rtol=0, atol=1e-4)


@pytest.mark.parametrize("num", [500])
def test_rotations_are_rotations(num):
    quaternion = rng.normal(rng.keys(0, "q", torch.arange(num)), (4,), torch.float64)
    for r in (rotations(2, num), rotations(3, num), geometry.rotation_of_quaternion(quaternion)):
        eye = torch.eye(r.shape[1], dtype=torch.float64).expand_as(r)
        assert_close(r @ r.mT, eye)
        assert_close(torch.linalg.det(r), torch.ones(num, dtype=torch.float64))
    # Evenly spread rotations carry any direction evenly over the sphere: its mean is near zero.
    assert float(geometry.rotation_of_quaternion(quaternion)[:, :, 0].mean(0).norm()) < 0.1
    up = geometry.rotation_3d(torch.tensor([[0.0, 0.0, 2.0]]), torch.tensor([math.pi / 2]))
    assert_close(up[0] @ torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 0.0]))


def test_only_the_ends_move_and_nothing_is_written(make_params):
    params = make_params(SOLID)
    kept = params.flat().clone()
    moved = geometry.apply(params, geometry.translation(SOLID, numbers((3,))))
    assert torch.equal(params.flat(), kept)
    assert torch.equal(moved.weights[1], params.weights[1])
    assert torch.equal(moved.biases[1], params.biases[1])
    for row in range(3):
        one = geometry.translation(SOLID, numbers((3,))[row : row + 1])
        alone = geometry.apply(params[row : row + 1], one)
        assert torch.equal(alone.flat()[0], moved.flat()[row])


def test_gradients_flow_and_autocast_changes_nothing(make_params):
    leaf = make_params(SPEC, dtype=torch.float32).flat().requires_grad_()
    motion = geometry.rotation(SPEC, rotations(2))

    def moved(flat):
        return geometry.apply(Params.from_flat(SPEC, flat), motion).flat()

    moved(leaf).square().sum().backward()
    assert leaf.grad is not None
    assert bool((leaf.grad != 0).any())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(moved(leaf), moved(leaf.detach()))
    # Angles can be trained through, too.
    angle = torch.zeros(3, requires_grad=True)
    turned = geometry.apply(
        Params.from_flat(SPEC, leaf), geometry.rotation(SPEC, geometry.rotation_2d(angle))
    )
    turned.weights[0].square().mul(turned.weights[0]).sum().backward()
    assert angle.grad is not None
    assert bool((angle.grad != 0).all())


def test_errors_name_what_is_wrong():
    with pytest.raises(ValueError, match="matrix needs 2 coordinates"):
        geometry.rotation(SPEC, torch.eye(3)[None])
    singular = torch.stack([torch.eye(2), torch.zeros(2, 2)])
    with pytest.raises(ValueError, match="matrix must be invertible; row 1"):
        geometry.affine(SPEC, singular, torch.zeros(2, 2))
    with pytest.raises(ValueError, match="factor must be positive"):
        geometry.scaling(SPEC, torch.tensor([1.0, -1.0]))
    with pytest.raises(ValueError, match="about needs 2"):
        geometry.scaling(SPEC, torch.ones(1), about=(0.0,))
    with pytest.raises(ValueError, match="output_offset"):
        geometry.compose(
            geometry.scaling(SPEC, torch.ones(1)),
            geometry.scaling(replace(SPEC, output_offset=0.5), torch.ones(1)),
        )


def test_the_longest_side_spans_the_range_and_pixels_are_square():
    points = grid_coords(PLANE, (3, 5)).reshape(3, 5, 2)
    assert_close(points[0, :, 0], torch.linspace(-1, 1, 5))  # xy: columns first
    assert_close(points[:, 0, 1], torch.tensor([-0.5, 0.0, 0.5]))
    ij = InrSpec(widths=(2, 4, 1), omega=(30.0,), coord_order="ij")
    assert torch.equal(grid_coords(ij, (3, 5)), points.flip(-1).reshape(15, 2))
    wide = InrSpec(widths=(2, 4, 1), omega=(30.0,), coord_range=(0.0, 1.0), coord_center=(0.5, 0.5))
    square = grid_coords(wide, (4, 4))
    assert_close(square.amin(0), torch.zeros(2))
    assert_close(square.amax(0), torch.ones(2))


def test_other_dimensions():
    solid = InrSpec(
        widths=(3, 4, 1), omega=(30.0,), coord_order="xyz", coord_center=(0.0, 0.0, 0.0)
    )
    points = grid_coords(solid, (2, 3, 4), torch.float64)
    assert points.shape == (24, 3)
    assert points.dtype == torch.float64
    assert_close(points.mean(0), torch.zeros(3, dtype=torch.float64))
    line = InrSpec(widths=(1, 4, 1), omega=(30.0,), coord_order="x", coord_center=(0.0,))
    assert grid_coords(line, (1,)).tolist() == [[0.0]]
    with pytest.raises(ValueError, match="shape needs 3 positive sides"):
        grid_coords(solid, (2, 2))
    with pytest.raises(ValueError, match="shape needs 1 positive sides"):
        grid_coords(line, (0,))
