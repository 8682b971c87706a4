"""Quality of a fit in the units it is told in."""

import math

import torch
from torch.testing import assert_close

from inrgen.core.metrics import function_distance, iou, psnr_db
from inrgen.core.spec import InrSpec


def test_psnr_has_the_peak_of_the_range():
    target = torch.zeros(3, 100, 1)
    off = torch.tensor([0.1, 0.01, 0.0])[:, None, None].expand(3, 100, 1)
    expected = torch.tensor([20.0, 40.0, math.inf], dtype=torch.float64)
    assert_close(psnr_db(off, target, 1.0), expected, rtol=0, atol=1e-5)
    assert_close(
        psnr_db(off, target, 2.0)[:2], expected[:2] + 20 * math.log10(2), rtol=0, atol=1e-5
    )
    # Where float32 would lose the difference of squares, 150 dB still come out.
    fine = torch.full((1, 4, 1), 10**-7.5, dtype=torch.float64)
    assert_close(psnr_db(fine, torch.zeros_like(fine), 1.0), torch.tensor([150.0]).double())


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
