"""Laws that every transform obeys; a new transform joins by one parameter."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from inrgen.core import geometry, rng, symmetry
from inrgen.core.config import InitConfig
from inrgen.core.encoding import octave_encoding
from inrgen.core.params import Params
from inrgen.core.siren import evaluate, initialise
from inrgen.core.spec import InrSpec
from inrgen.transforms import rows
from inrgen.transforms.base import draw_rows, draw_tensors, rebuild_draw
from inrgen.transforms.chain import Chain
from inrgen.transforms.exact import Permute, RandomSymmetry, ReluScale, SirenBias, SirenNegation
from inrgen.transforms.geometric import Affine, Reflect, Rotate, Scale, Translate
from inrgen.transforms.noisy import Dropout, GaussianNoise, QuantileDropout
from inrgen.transforms.rows import bind, finite_rows

PLANE = InrSpec(
    widths=(2, 9, 7, 3), omega=(30.0, 20.0), output_offset=0.5, coord_center=(0.1, -0.2)
)
SOLID = InrSpec(
    widths=(3, 8, 1),
    omega=(25.0,),
    coord_order="xyz",
    coord_center=(0.0, 0.1, 0.0),
    value_kind="signed_distance",
)
FULL = replace(SOLID, value_kind="occupancy")
RELU = replace(PLANE, activation="relu")
EVEN, FINER = replace(PLANE, activation="gaussian"), replace(PLANE, activation="finer")
ENCODED = RELU.with_encoding(octave_encoding(2, 2))

EXACT = [
    (PLANE, Permute()),
    (PLANE, SirenNegation()),
    (PLANE, SirenBias()),
    (PLANE, SirenBias(published=True, wrap=True)),
    (SOLID, RandomSymmetry(max_phase=3)),
    (RELU, RandomSymmetry()),
    (RELU, ReluScale()),
    (EVEN, SirenNegation()),
    (EVEN, RandomSymmetry()),
    (FINER, RandomSymmetry()),
    (ENCODED, RandomSymmetry()),
    (ENCODED, ReluScale()),
    (PLANE, Chain(transforms=(Permute(), SirenBias()), probabilities=(0.5, 0.5))),
]
MOTIONS = [
    (PLANE, Translate()),
    (PLANE, Translate(reversed=True)),
    (PLANE, Rotate()),
    (PLANE, Rotate(published=True)),
    (PLANE, Rotate(reversed=True)),
    (SOLID, Rotate(bound_deg=90)),
    (SOLID, Rotate(around="uniform")),
    (SOLID, Rotate(around="z", bound_deg=180)),
    (PLANE, Scale()),
    (PLANE, Scale(published=True)),
    (SOLID, Scale()),
    (SOLID, Scale(values="keep")),
    (FULL, Scale()),
    (SOLID, Reflect()),
    (PLANE, Reflect(axes=(1,))),
    (PLANE, Affine(bound=0.1)),
    (SOLID, Affine()),
]
OTHERS = [
    (PLANE, Translate(published=True)),
    (PLANE, GaussianNoise()),
    (PLANE, Dropout()),
    (SOLID, Dropout(rescale=False)),
    (PLANE, QuantileDropout()),
    (PLANE, Chain(transforms=(Translate(), GaussianNoise()), probabilities=(0.5, 0.5))),
]
ALL = EXACT + MOTIONS + OTHERS
# Draws that are group elements; a wrapped phase keeps no more than its parity.
ELEMENTS = [case for case in EXACT[:5] if case[1] != SirenBias(published=True, wrap=True)]


def each(cases):
    return pytest.mark.parametrize(
        ("spec", "transform"), cases, ids=[f"{s.architecture}-{s.activation}-{t}" for s, t in cases]
    )


@pytest.mark.parametrize("compiled", [True, False])
@each(ALL)
def test_flat_rows_are_changed_to_the_same_bits(spec, transform, compiled, monkeypatch):
    monkeypatch.setattr(rows, "has_numba", lambda: compiled)
    flat = torch.randn(60, spec.num_params, generator=torch.Generator().manual_seed(1))
    flat[0], flat[1], flat[2, ::2], flat[3, 5] = 0.0, -0.0, -0.0, torch.inf
    flat[4] = 0.1
    flat[5] = 0.1 + 1e-6 * flat[6]
    draw = transform.draw(spec, make_keys(60))
    expected = transform.apply(Params.from_flat(spec, flat), draw).flat()
    before, out = flat.clone(), torch.empty_like(flat)
    locked = flat.numpy().view()
    locked.flags.writeable = False
    bound = bind(transform, spec, draw)
    for at in (slice(0, 7), slice(7, 60)):
        bound(locked[at], at, out[at].numpy())
    assert finite_rows(out.numpy()).tolist() == expected.isfinite().all(dim=1).tolist()
    assert_close(out, expected, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(out.signbit() & ~out.isnan(), expected.signbit() & ~out.isnan())
    assert torch.equal(flat, before)


def make_keys(num: int = 12) -> torch.Tensor:
    return rng.keys(3, "transform", torch.arange(num))


def make_params(spec: InrSpec, num: int = 12, dtype=torch.float64) -> Params:
    init = InitConfig(hidden_bias="torch")
    return initialise(spec, init, rng.keys(0, "weights", torch.arange(num))).to(dtype=dtype)


def make_coords(spec: InrSpec) -> torch.Tensor:
    keys = rng.keys(1, "points", torch.arange(20))
    return rng.uniform(keys, (spec.d_in,), -1.0, 1.0, torch.float64)


@each(ALL)
def test_a_draw_depends_on_the_key_and_not_on_the_batch(spec, transform):
    params, keys = make_params(spec), make_keys()
    draw = transform.draw(spec, keys)
    together = transform.apply(params, draw).flat()
    rows = torch.tensor([7, 2])
    for name, tensor in draw_tensors(transform.draw(spec, keys[rows])).items():
        assert torch.equal(tensor, draw_tensors(draw)[name][rows]), name
    few = transform.apply(params[rows], transform.draw(spec, keys[rows])).flat()
    assert torch.equal(few, together[rows])
    picked = transform.apply(params[rows], draw_rows(draw, rows)).flat()
    assert torch.equal(picked, together[rows])
    same = transform.apply(params[[0] * 12], draw).flat()
    assert len(same.unique(dim=0)) > 1


@each(ALL)
def test_apply_writes_into_nothing_and_keeps_dtype(spec, transform):
    for dtype in (torch.float32, torch.float64):
        params = make_params(spec, dtype=dtype)
        kept, draw = params.flat().clone(), transform.draw(spec, make_keys())
        drawn = {name: tensor.clone() for name, tensor in draw_tensors(draw).items()}
        moved = transform.apply(params, draw)
        assert moved.flat().dtype == dtype
        assert torch.equal(params.flat(), kept)
        for name, tensor in draw_tensors(draw).items():
            assert torch.equal(tensor, drawn[name]), name


@each(ALL)
def test_a_stored_draw_replays(spec, transform, tmp_path):
    params = make_params(spec)
    draw = transform.draw(spec, make_keys())
    torch.save(draw_tensors(draw), tmp_path / "draw.pt")
    stored = torch.load(tmp_path / "draw.pt", weights_only=True)
    replayed = transform.apply(params, rebuild_draw(transform, spec, stored))
    assert torch.equal(replayed.flat(), transform.apply(params, draw).flat())
    if stored:
        stored.popitem()
        with pytest.raises(ValueError, match="tensors needs exactly"):
            rebuild_draw(transform, spec, stored)


@each(ALL)
def test_gradients_flow_and_autocast_changes_nothing(spec, transform):
    leaf = make_params(spec, dtype=torch.float32).flat().requires_grad_()
    draw = transform.draw(spec, make_keys())
    moved = transform.apply(Params.from_flat(spec, leaf), draw).flat()
    moved.square().sum().backward()
    assert leaf.grad is not None
    assert bool(leaf.grad.isfinite().all())
    assert bool((leaf.grad != 0).any())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        again = transform.apply(Params.from_flat(spec, leaf), draw).flat()
    assert torch.equal(again, moved)


@each(EXACT)
def test_exact_transforms_keep_the_function(spec, transform):
    params, coords = make_params(spec), make_coords(spec)
    moved = transform.apply(params, transform.draw(spec, make_keys()))
    assert_close(evaluate(spec, moved, coords), evaluate(spec, params, coords), rtol=0, atol=1e-12)
    single = params.to(dtype=torch.float32)
    moved = transform.apply(single, transform.draw(spec, make_keys()))
    before = evaluate(spec, single, coords.float())
    assert_close(evaluate(spec, moved, coords.float()), before, rtol=0, atol=1e-4)


@each(MOTIONS)
def test_motions_move_the_signal_by_their_draw(spec, transform):
    params, coords = make_params(spec), make_coords(spec)
    draw = transform.draw(spec, make_keys())
    pulled_back = coords @ draw.matrix.mT + draw.shift[:, None]
    old = evaluate(spec, params, pulled_back)
    new = evaluate(spec, transform.apply(params, draw), coords)
    assert_close(new, draw.value_scale[:, None, None] * old, rtol=0, atol=1e-11)


@each(ELEMENTS + MOTIONS)
def test_the_inverse_of_a_draw_gives_the_weights_back(spec, transform):
    params, draw = make_params(spec), transform.draw(spec, make_keys())
    group = symmetry if (spec, transform) in EXACT else geometry
    back = group.apply(transform.apply(params, draw), group.inverse(draw))
    assert_close(back.flat(), params.flat(), rtol=0, atol=1e-12)
