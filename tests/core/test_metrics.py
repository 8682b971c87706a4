"""Quality of fits and distances between INRs."""

import math
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from inrgen.core import metrics, rng, symmetry
from inrgen.core.config import MatchConfig
from inrgen.core.encoding import octave_encoding
from inrgen.core.metrics import (
    function_distance,
    iou,
    measure_diversity,
    midpoint_error,
    psnr_db,
    reconstruction_psnr_db,
)
from inrgen.core.mixing import mix
from inrgen.core.params import Params
from inrgen.core.siren import evaluate
from inrgen.core.spec import InrSpec

PAIRS = InrSpec(widths=(2, 8, 8, 1), omega=(30.0, 20.0))


def test_psnr_has_the_peak_of_the_range():
    target = torch.zeros(3, 100, 1)
    off = torch.tensor([0.1, 0.01, 0.0])[:, None, None].expand(3, 100, 1)
    expected = torch.tensor([20.0, 40.0, math.inf], dtype=torch.float64)
    assert_close(psnr_db(off, target, 1.0), expected, rtol=0, atol=1e-5)
    assert_close(
        psnr_db(off, target, 2.0)[:2], expected[:2] + 20 * math.log10(2), rtol=0, atol=1e-5
    )
    # Float32 would lose this difference of squares.
    fine = torch.full((1, 4, 1), 10**-7.5, dtype=torch.float64)
    assert_close(psnr_db(fine, torch.zeros_like(fine), 1.0), torch.tensor([150.0]).double())


_SPECS = [
    InrSpec(widths=(2, 5, 7, 1), omega=(30.0, 30.0), output_offset=0.5),
    InrSpec(widths=(2, 5, 7, 2), omega=(30.0, 2.0), activation="tanh"),
    InrSpec(widths=(3, 6, 2), omega=(25.0,), coord_order="xyz", coord_center=(0.0, 0.0, 0.0)),
    InrSpec(widths=(8, 5, 1), omega=(30.0,), encoding=octave_encoding(2, 2)),
    InrSpec(widths=(1, 4, 9, 3, 1), omega=(9.0,) * 3, coord_order="x", coord_center=(0.0,)),
]


@pytest.mark.parametrize("spec", _SPECS, ids=lambda spec: spec.architecture)
@pytest.mark.parametrize("num_points", [7, 64, 130])
def test_reconstruction_is_measured_in_float64_whatever_the_batch(spec, num_points):
    numbers = torch.Generator().manual_seed(0)
    params = Params.from_flat(spec, 0.4 * torch.randn(6, spec.num_params, generator=numbers))
    params.biases[0][4, 0] = math.nan
    coords = 2 * torch.rand(3, num_points, spec.d_in, generator=numbers) - 1
    values = torch.rand(3, num_points, spec.d_out, generator=numbers)
    of = torch.tensor([0, 2, 1, 1, 0, 2])
    for points in (coords, coords[:1]):
        exact = params.to(dtype=torch.float64)
        there = points[of] if len(points) > 1 else points[0]
        expected = psnr_db(evaluate(spec, exact, there.double()), values[of], spec.value_width)
        found = reconstruction_psnr_db(spec, params, points, values, of)
        assert_close(found, expected, rtol=1e-12, atol=1e-10, equal_nan=True)
        assert bool(found.isnan().sum() == 1)
        alone = reconstruction_psnr_db(spec, params[[3]], points, values, of[[3]])
        assert_close(alone, found[[3]], rtol=1e-13, atol=0)


def test_reconstruction_needs_no_compiler(monkeypatch):
    spec = InrSpec(widths=(2, 8, 8, 1), omega=(30.0, 30.0))
    numbers = torch.Generator().manual_seed(0)
    params = Params.from_flat(spec, 0.2 * torch.randn(5, spec.num_params, generator=numbers))
    coords, values = torch.rand(1, 100, 2), torch.rand(5, 100, 1)
    compiled = reconstruction_psnr_db(spec, params, coords, values, torch.arange(5))
    monkeypatch.setattr(metrics, "has_numba", lambda: False)
    monkeypatch.setattr(metrics, "_ACTIVATIONS_AT_ONCE", 2 * 100 * 8)
    plain = reconstruction_psnr_db(spec, params, coords, values, torch.arange(5))
    assert_close(plain, compiled, rtol=1e-12, atol=1e-10)


def test_iou_counts_insides():
    a = torch.tensor([[-1.0, -1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0], [-1.0, 1.0, 1.0, 1.0]])
    b = torch.tensor([[-1.0, 1.0, -1.0, 1.0], [1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, -1.0]])
    assert_close(iou(a, b), torch.tensor([1 / 3, 1.0, 0.0]))


def test_function_distance_is_a_distance(make_params, make_coords):
    spec = InrSpec(widths=(2, 8, 2), omega=(30.0,))
    a, b, c = (make_params(spec, seed=s) for s in range(3))
    coords = make_coords(spec)
    ab, bc, ac = (function_distance(spec, p, q, coords) for p, q in ((a, b), (b, c), (a, c)))
    assert_close(function_distance(spec, b, a, coords), ab)
    assert_close(function_distance(spec, a, a, coords), torch.zeros(3, dtype=torch.float64))
    assert bool((ac <= ab + bc).all())


def test_the_midpoint_error_is_that_of_the_inr_halfway(make_params, make_coords):
    a, b = make_params(PAIRS, seed=0), make_params(PAIRS, seed=1)
    coords = make_coords(PAIRS)
    assert_close(midpoint_error(PAIRS, a, a, coords), torch.zeros(3, dtype=torch.float64))
    halfway = evaluate(PAIRS, mix(a, b, torch.full((3,), 0.5)), coords)
    mean = (evaluate(PAIRS, a, coords) + evaluate(PAIRS, b, coords)) / 2
    rms = (halfway - mean).square().mean((1, 2)).sqrt()
    assert_close(midpoint_error(PAIRS, a, b, coords), rms)


def test_the_report_tells_views_from_items(make_params, make_coords):
    items = torch.arange(20).repeat_interleave(3)
    base = make_params(PAIRS, 20)[items]
    noise = rng.normal(rng.keys(0, "views", torch.arange(60)), (PAIRS.num_params,)).double()
    near = Params.from_flat(PAIRS, base.flat() + 0.003 * noise)
    keys = rng.keys(0, "element", torch.arange(60))
    shuffled = replace(
        symmetry.identity(PAIRS, 60),
        permutations=symmetry.random_permutations(PAIRS, keys),
        signs=tuple(2 * rng.integers(rng.fold(keys, 20 + l), (8,), 0, 2) - 1 for l in (0, 1)),
    )
    views = symmetry.apply(near, shuffled)
    searches = tuple(MatchConfig(kind=kind) for kind in ("permutation", "signed"))
    rows = measure_diversity(PAIRS, views, items, make_coords(PAIRS), searches)
    found = {(row.pairs, row.alignment): row for row in rows}
    assert len(found) == len(rows) == 6
    assert found["views", "signed"].distance < 0.2 * found["items", "signed"].distance
    assert found["views", "none"].distance > 0.5 * found["items", "none"].distance
    assert found["views", "none"].function_rms < 0.5 * found["items", "none"].function_rms
    assert found["views", "signed"].midpoint_rms < found["views", "none"].midpoint_rms
    for row in rows:
        assert row.num_pairs > 20
    alone = measure_diversity(PAIRS, views[::3], items[::3], make_coords(PAIRS))
    assert {row.pairs for row in alone} == {"items"}
    with pytest.raises(ValueError, match="items needs 60 entries"):
        measure_diversity(PAIRS, views, items[:5], make_coords(PAIRS))
