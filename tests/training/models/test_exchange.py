"""The compiled exchange within a weight gives what its formula gives, and learns alike."""

import pytest
import torch
from torch.testing import assert_close

from inrgen.training.models.exchange import exchange, greatest, is_compiled_for


def made(depth: int, dtype=torch.float32) -> list[torch.Tensor]:
    """x, entry, rows and columns of three INRs; x is an input of the network where depth is 1."""
    draw = torch.Generator().manual_seed(0)
    shapes = (3, 5, 7, depth), (depth, 16), (3, 5, 16), (3, 7, 16)
    parts = [torch.randn(shape, generator=draw).to(dtype) for shape in shapes]
    return [part.requires_grad_(part is not parts[0] or depth > 1) for part in parts]


def by_torch(x, entry, rows, columns):
    y = torch.relu(x @ entry + rows[:, :, None] + columns[:, None])
    return y, greatest(y, 2), greatest(y, 1)


# What is learned from: y and both maxima, the maxima alone, y alone.
@pytest.mark.parametrize("used", [(0, 1, 2), (1, 2), (1,), (0,)])
@pytest.mark.parametrize("depth", [1, 16])
def test_both_ways_agree_in_values_and_gradients(depth, used):
    results = []
    for parts, run in ((made(depth, torch.float64), by_torch), (made(depth), exchange)):
        found = run(*parts)
        learned = [part for part in parts if part.requires_grad]
        loss = sum((found[i] * torch.sin(torch.arange(found[i].numel()).view_as(found[i]))).sum()
                   for i in used)  # fmt: skip
        assert isinstance(loss, torch.Tensor)
        results.append([*found, *torch.autograd.grad(loss, learned)])
    for exact, near in zip(*results, strict=True):
        assert_close(near, exact.float(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("part", range(4))
def test_what_is_no_number_stays_none(part):
    parts = [p.detach() for p in made(16)]
    parts[part].view(-1)[0] = torch.nan
    for found, expected in zip(exchange(*parts), by_torch(*parts), strict=True):
        assert torch.equal(found.isnan(), expected.isnan())
        assert found.isnan().any()


def test_torch_knows_the_operation():
    torch.library.opcheck(torch.ops.inrgen.exchange.default, tuple(made(16)))


def test_half_precision_is_worked_out_in_full():
    parts = [part.detach().bfloat16() for part in made(16)]
    for half, full in zip(exchange(*parts), exchange(*(p.float() for p in parts)), strict=True):
        assert_close(half, full, rtol=0, atol=0)


def test_weights_that_the_kernel_does_not_take_are_left_to_torch():
    x = made(16)[0]
    assert is_compiled_for(x, 16)
    assert not is_compiled_for(x, 8)
    assert not is_compiled_for(x.double(), 16)
    assert not is_compiled_for(x.to("meta"), 16)
    assert is_compiled_for(x[..., :1].detach(), 16)
    assert not is_compiled_for(x[..., :1], 16), "its gradient does not fill vectors"
