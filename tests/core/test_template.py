"""Templates bring aligned INRs together."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from inrgen.core import rng, symmetry
from inrgen.core.config import MatchConfig
from inrgen.core.matching import match
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.core.symmetry import Symmetry
from inrgen.core.template import aligned_sum, iterated_mean, medoid

SPEC = InrSpec(widths=(2, 8, 8, 1), omega=(30.0, 20.0))


def element(spec: InrSpec, num: int) -> Symmetry:
    keys = rng.keys(0, "element", torch.arange(num))
    flips = (
        rng.integers(rng.fold(keys, 20 + l), (h,), 0, 2) for l, h in enumerate(spec.widths[1:-1])
    )
    return replace(
        symmetry.identity(spec, num),
        permutations=symmetry.random_permutations(spec, keys),
        signs=tuple(2 * flip - 1 for flip in flips),
    )


def crowd(make_params, num: int = 30) -> Params:
    """Slightly disturbed copies of one INR under many symmetries."""
    one = make_params(SPEC, 1)[[0] * num]
    noise = Params.from_flat(
        SPEC, rng.normal(rng.keys(0, "crowd", torch.arange(num)), (SPEC.num_params,)).double()
    )
    near = Params.from_flat(SPEC, one.flat() + 0.01 * noise.flat())
    return symmetry.apply(near, element(SPEC, num))


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
    # Ends barely distinguish units, so descents end in many places.
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
