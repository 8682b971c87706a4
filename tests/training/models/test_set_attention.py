"""The compiled attention of narrow heads equals torch's own, with its gradients."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from inrgen.kernels.attention import kernels
from inrgen.training.models.set_attention import attend, attend_compiled, is_compiled_for

SIZES = [(2, 2, 3), (2, 33, 2), (16, 17, 1)]


def made(width: int, units: int, heads: int, spread: float = 2.0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    return spread * torch.randn(5, units, 3 * heads * width, generator=draw)


def by_torch(asked: torch.Tensor, width: int) -> torch.Tensor:
    query, key, value = asked.chunk(3, dim=2)
    return attend(query, key, value, width, 0.3)


@pytest.mark.parametrize(("width", "units", "heads"), SIZES)
def test_both_ways_agree_in_values_and_gradients(width, units, heads):
    asked = made(width, units, heads)
    exact = asked.double().requires_grad_()
    found = asked.requires_grad_()
    expected, drawn = by_torch(exact, width), attend_compiled(found, width, 0.3)
    slope = torch.sin(torch.arange(drawn.numel())).reshape(drawn.shape)
    expected.backward(slope.double())
    drawn.backward(slope)
    assert_close(drawn, expected.float(), rtol=1e-5, atol=1e-5)
    assert exact.grad is not None
    assert_close(found.grad, exact.grad.float(), rtol=1e-5, atol=3e-5)


def test_scores_far_apart_neither_overflow_nor_vanish():
    asked = made(2, 7, 2, spread=100.0)
    assert_close(attend_compiled(asked, 2, 0.3), by_torch(asked.double(), 2).float())


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_numbers_that_are_not_finite_stay_so(bad):
    for channel in range(6):  # of the query, the key and the value
        asked = made(2, 5, 1)
        asked[2, 3, channel] = bad
        finite = attend_compiled(asked, 2, 0.3).isfinite().flatten(1).all(dim=1)
        assert finite.tolist() == [True, True, False, True, True]


def test_parts_of_a_batch_are_computed_alone():
    asked, forward = made(2, 5, 2), kernels(2)[0]
    drawn = torch.full((5, 5, 4), -1.0)
    for low, high in ((1, 2), (2, 4)):
        forward(asked.numpy(), drawn.numpy(), np.float32(0.3), low, high)
    assert_close(drawn[1:4], attend_compiled(asked, 2, 0.3)[1:4], rtol=0, atol=0)
    assert (drawn[[0, 4]] == -1.0).all()


def test_torch_knows_the_operation():
    asked = made(2, 3, 1).requires_grad_()
    torch.library.opcheck(torch.ops.inrgen.attend.default, (asked, 2, 0.3))


def test_half_precision_is_computed_in_float32():
    asked = made(2, 5, 2).bfloat16()
    assert_close(attend_compiled(asked, 2, 0.3), attend_compiled(asked.float(), 2, 0.3))


def test_other_numbers_devices_and_widths_are_left_to_torch():
    cpu, here = torch.device("cpu"), torch.float32
    assert is_compiled_for(cpu, here, 2)
    assert not is_compiled_for(torch.device("cuda"), here, 2)
    assert not is_compiled_for(cpu, torch.float64, 2)
    assert not is_compiled_for(cpu, here, 64)
