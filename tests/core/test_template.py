"""Templates, canonical forms and the report on diversity."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from inrgen.core import rng, symmetry
from inrgen.core.canonical import canonical_form
from inrgen.core.diversity import measure_diversity
from inrgen.core.matching import MatchConfig, match
from inrgen.core.params import Params
from inrgen.core.siren import evaluate
from inrgen.core.spec import InrSpec
from inrgen.core.symmetry import Symmetry
from inrgen.core.template import aligned_sum, iterated_mean, medoid

SPEC = InrSpec(widths=(2, 8, 8, 1), omega=(30.0, 20.0))


def element(spec: InrSpec, num: int, signs: bool = True, phases: bool = True) -> Symmetry:
    keys = rng.keys(0, "element", torch.arange(num))
    hidden = list(enumerate(spec.widths[1:-1]))
    found = replace(
        symmetry.identity(spec, num), permutations=symmetry.random_permutations(spec, keys)
    )
    if signs:
        flips = (rng.integers(rng.fold(keys, 20 + l), (h,), 0, 2) for l, h in hidden)
        found = replace(found, signs=tuple(2 * flip - 1 for flip in flips))
    if phases:
        turns = (rng.integers(rng.fold(keys, 40 + l), (h,), -3, 4) for l, h in hidden)
        found = replace(found, phases=tuple(turns))
    return found


def crowd(make_params, num: int = 30) -> Params:
    """One INR under many symmetries, a little disturbed."""
    one = make_params(SPEC, 1)[[0] * num]
    noise = Params.from_flat(
        SPEC, rng.normal(rng.keys(0, "crowd", torch.arange(num)), (SPEC.num_params,)).double()
    )
    near = Params.from_flat(SPEC, one.flat() + 0.01 * noise.flat())
    return symmetry.apply(near, element(SPEC, num, phases=False))


def test_rounds_of_the_mean_come_nearer_and_add_up(make_params):
    params = crowd(make_params)
    template, sums = params[:1], []
    for _ in range(4):
        whole = aligned_sum(SPEC, template, params)
        parts = aligned_sum(SPEC, template, params[:11]) + aligned_sum(SPEC, template, params[11:])
        assert_close(parts.mean().flat(), whole.mean().flat())
        assert parts.count == whole.count == 30
        sums.append(whole.distance)
        template = whole.mean().to(dtype=torch.float64)
    assert sums == sorted(sums, reverse=True)
    assert sums[-1] < 0.7 * sums[0]
    mean = iterated_mean(SPEC, params, rounds=4)
    assert_close(mean.flat(), template.flat())
    apart = match(SPEC, mean, params).after
    assert float(apart.mean()) < float(apart.new_tensor(0.01**2 * SPEC.num_params * 1.2))


def test_named_inrs_add_up_alike_however_they_are_cut(make_params):
    many = make_params(SPEC, 30)
    # Ends that tell units little apart, so that descents end in many places.
    first, middle, last = many.weights
    biases = tuple(0.05 * bias for bias in many.biases)
    params = Params(weights=(0.05 * first, middle, 0.05 * last), biases=biases)
    search, names = MatchConfig(restarts=2), rng.keys(4, "names", torch.arange(30))
    whole = aligned_sum(SPEC, params[:1], params, search, names)
    cuts = (slice(0, 7), slice(7, 30))
    parts = [aligned_sum(SPEC, params[:1], params[cut], search, names[cut]) for cut in cuts]
    assert_close((parts[0] + parts[1]).mean().flat(), whole.mean().flat())
    assert not torch.equal(
        aligned_sum(SPEC, params[:1], params, search).mean().flat(), whole.mean().flat()
    )
    mean = iterated_mean(SPEC, params, config=search, rounds=1, names=names)
    assert_close(mean.flat(), whole.mean().flat().double())
    order = rng.bits(names, 1)[:, 0].argsort()
    mixed = medoid(SPEC, params[order], search, names[order])
    assert int(order[mixed]) == int(medoid(SPEC, params, search, names))


def test_bad_rows_do_not_count(make_params):
    params = crowd(make_params)
    flat = params.flat().clone()
    flat[0], flat[7, 3] = torch.nan, torch.inf
    spoilt = Params.from_flat(SPEC, flat)
    good = torch.tensor([i for i in range(30) if i not in (0, 7)])
    assert_close(iterated_mean(SPEC, spoilt).flat(), iterated_mean(SPEC, params[good]).flat())
    assert int(medoid(SPEC, spoilt)) == int(good[medoid(SPEC, params[good])])
    with pytest.raises(ValueError, match="at least 1 INR that is finite"):
        iterated_mean(SPEC, spoilt[:1])
    with pytest.raises(ValueError, match="at least 1 INR that is finite"):
        medoid(SPEC, spoilt[:1])


def test_the_medoid_is_in_the_middle(make_params):
    params = crowd(make_params, 8)
    strangers = make_params(SPEC, 3, seed=5)
    assert int(medoid(SPEC, Params.cat([strangers, params]))) >= 3


@pytest.mark.parametrize("activation", ["sine", "tanh", "relu"])
def test_an_orbit_has_one_canonical_form(activation, make_params, make_coords):
    spec = replace(SPEC, activation=activation)
    params, coords = make_params(spec, 20), make_coords(spec)
    odd = activation != "relu"
    moved = symmetry.apply(params, element(spec, 20, odd, phases=activation == "sine"))
    form = canonical_form(spec, params)
    assert_close(canonical_form(spec, moved).flat(), form.flat(), rtol=0, atol=1e-10)
    assert_close(canonical_form(spec, form).flat(), form.flat(), rtol=0, atol=1e-10)
    assert_close(evaluate(spec, form, coords), evaluate(spec, params, coords))
    for bias in form.biases[:-1]:
        assert bool((bias.diff(dim=1) >= 0).all())
        assert not odd or bool((bias >= 0).all())
    flat = params.flat().clone()
    flat[3, 0] = torch.nan
    spoilt = canonical_form(spec, Params.from_flat(spec, flat)).flat()
    assert torch.equal(spoilt[3].nan_to_num(), flat[3].nan_to_num())


def test_the_report_tells_views_from_items(make_params, make_coords):
    items = torch.arange(20).repeat_interleave(3)
    base = make_params(SPEC, 20)[items]
    noise = rng.normal(rng.keys(0, "views", torch.arange(60)), (SPEC.num_params,)).double()
    near = Params.from_flat(SPEC, base.flat() + 0.003 * noise)
    views = symmetry.apply(near, element(SPEC, 60, phases=False))
    searches = tuple(MatchConfig(kind=kind) for kind in ("permutation", "signed"))
    rows = measure_diversity(SPEC, views, items, make_coords(SPEC), searches)
    found = {(row.pairs, row.alignment): row for row in rows}
    assert len(found) == len(rows) == 6
    assert found["views", "signed"].distance < 0.2 * found["items", "signed"].distance
    assert found["views", "none"].distance > 0.5 * found["items", "none"].distance
    assert found["views", "none"].function_rms < 0.5 * found["items", "none"].function_rms
    assert found["views", "signed"].midpoint_rms < found["views", "none"].midpoint_rms
    for row in rows:
        assert row.num_pairs > 20
    alone = measure_diversity(SPEC, views[::3], items[::3], make_coords(SPEC))
    assert {row.pairs for row in alone} == {"items"}
    with pytest.raises(ValueError, match="items needs 60 entries"):
        measure_diversity(SPEC, views, items[:5], make_coords(SPEC))
