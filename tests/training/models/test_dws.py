"""The fast equivariant layer is the sum of the paper's blocks from one tensor to another."""

import math
from itertools import chain

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from inrgen.core import symmetry
from inrgen.core.spec import InrSpec
from inrgen.training.models.catalog import from_dict, make_model, parse_model, to_dict
from inrgen.training.models.config import HeadsPer
from inrgen.training.models.dws import DwsLayer, lift
from pipelines.bench.train_cost import measure_work

SPECS = [
    InrSpec(widths=(2, 4, 5, 2), omega=(30.0, 20.0)),
    InrSpec(widths=(2, 5, 2), omega=(30.0,)),
    InrSpec(widths=(1, 3, 4, 3, 1), omega=(30.0,) * 3, coord_order="x", coord_center=(0.0,)),
]
WIDE = InrSpec(widths=(2, 32, 32, 1), omega=(30.0, 30.0))


def random_features(spec, make_params, channels: int) -> list[torch.Tensor]:
    """Inputs of a layer, with other weights in each channel."""
    parts = [lift(make_params(spec, 3, seed=c)) for c in range(channels)]
    return [torch.stack(xs, dim=-1).flatten(-2) for xs in zip(*parts, strict=True)]


def made_layer(spec, num_in: int, num_out: int, heads: int, heads_per: HeadsPer) -> DwsLayer:
    torch.manual_seed(0)
    layer = DwsLayer(spec, num_in, num_out, heads, heads_per).double()
    for weight in layer.parameters():
        nn.init.uniform_(weight, -0.5, 0.5)
    return layer


def attention_block(layer: DwsLayer, axis: int, s: int, t: int, x: torch.Tensor) -> torch.Tensor:
    """One set attention block of one INR's units x (h, i), head by head."""
    block = layer.sets[axis]
    ask = block.asks[block.sources.index(s)]
    mine = list(chain(*block.alike[block.sources.index(s)].values()))
    size, turn = layer.tensors[t].fixed * block.channels, [r.target for r in mine].index(t)
    start = sum(r.groups * block.channels for r in mine[:turn])
    queries, keys, values = (
        x @ w[start : start + size].T + b[start : start + size]
        for w, b in zip(ask.weight.chunk(3), ask.bias.chunk(3), strict=True)
    )
    # Published: the heads divide all channels of the block, and the scale counts them all.
    all_channels = size if block.heads_per == "block" else block.channels
    width = all_channels // block.heads
    outputs = []
    for head in range(0, size, width):
        q, k, v = (part[:, head : head + width] for part in (queries, keys, values))
        outputs.append(q + torch.softmax(q @ k.T / math.sqrt(all_channels), dim=1) @ v)
    o = torch.cat(outputs, dim=1)
    turn = sorted(r.source for r in block.routes if r.target == t).index(s)
    target = block.targets.index(t)
    return o + torch.relu(o @ block.answers[target][turn] + block.offsets[target][turn])


def exchange_block(layer: DwsLayer, t: int, x: torch.Tensor) -> torch.Tensor:
    """From an inner weight (out, in, c) to itself: entry, row, column and whole, a quarter each."""
    own = layer.own[str(t)]
    entry, row, column, whole = (part.T for part in own.weight.chunk(4, dim=1))
    pooled_row, pooled_column = x.amax(dim=1), x.amax(dim=0)
    total = x @ entry + (pooled_row @ row)[:, None] + (pooled_column @ column)[None]
    return (total + x.amax(dim=(0, 1)) @ whole + own.bias) / 4


def through_block(layer: DwsLayer, s: int, t: int, x: torch.Tensor) -> torch.Tensor:
    """From the maximum over units to all units; the caller adds the shared bias once."""
    far, linear = layer.far[t], layer.through[t]
    sizes = [layer.tensors[o].fixed * linear.in_features for o in far]
    total = sum(layer.tensors[o].fixed for o in far)
    cuts = linear.weight.split([size // total for size in sizes], dim=1)
    pooled = x if x.ndim == 1 else x.flatten(0, -2).amax(dim=0)
    return pooled @ cuts[far.index(s)].T


def literal(layer: DwsLayer, features: list[torch.Tensor]) -> list[torch.Tensor]:
    """A layer on one INR, block by block over all pairs of tensors."""
    moved = []
    for t, taken in enumerate(layer.tensors):
        shape = features[t].shape[:-1]
        total = layer.through[t].bias.expand(*shape, -1)
        for s, given in enumerate(layer.tensors):
            x = features[s]
            shared = [axis for axis in taken.axes if axis in given.axes]
            if s == t and len(taken.axes) == 2:
                block = exchange_block(layer, t, x)
            elif shared:
                axis = shared[0]
                if len(given.axes) == 2:
                    x = x.amax(dim=1 - given.axes.index(axis))
                block = attention_block(layer, axis, s, t, x)
                if len(taken.axes) == 2:
                    block = block.unsqueeze(1 - taken.axes.index(axis))
            else:
                block = through_block(layer, s, t, x)
            total = total + block
        moved.append(total / len(features))
    return moved


@pytest.mark.parametrize(("heads", "heads_per"), [(1, "block"), (2, "block"), (2, "group")])
@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.architecture)
def test_the_layer_is_the_sum_of_its_blocks(spec, heads, heads_per, make_params):
    layer = made_layer(spec, 3, 4, heads, heads_per)
    features = random_features(spec, make_params, 3)
    fast = layer(features)
    # The compiled attention takes float32 alone.
    compiled = layer.float()([x.float() for x in features])
    layer = layer.double()
    for a, b in zip(fast, compiled, strict=True):
        assert_close(a.float(), b, rtol=1e-5, atol=1e-5)
    for inr in range(3):
        slow = literal(layer, [x[inr] for x in features])
        for a, b in zip(fast, slow, strict=True):
            assert_close(a[inr], b)


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.architecture)
def test_a_layer_moves_with_the_units(spec, make_params):
    model = make_model(parse_model("dws,channels=8,heads=4"), spec, 3, 0).double()
    params = make_params(spec, 3)
    orders = symmetry.random_permutations(spec, torch.arange(3))
    before, after = lift(params), lift(symmetry.permute(params, orders))
    for layer in model.layers:
        before, after = layer(before), layer(after)
        for tensor, x, moved in zip(layer.tensors, before, after, strict=True):
            for turn, axis in enumerate(tensor.axes):
                index = orders[axis].reshape(3, *(1,) * turn, -1, *(1,) * (x.ndim - 2 - turn))
                x = torch.take_along_dim(x, index, dim=1 + turn)
            assert_close(x, moved)


def test_a_run_of_an_earlier_version_keeps_its_heads():
    recorded = to_dict(parse_model("dws"))
    assert recorded.pop("heads_per") == "block"
    earlier = from_dict(recorded)
    assert earlier == parse_model("dws,heads_per=group")
    old, new = (make_model(config, WIDE, 10, 0) for config in (earlier, parse_model("dws")))
    assert all(torch.equal(a, b) for a, b in zip(old.parameters(), new.parameters(), strict=True))
    widths = [[block.widths for block in m.layers[0].sets] for m in (old, new)]
    assert widths == [[[2], [2]], [[2, 4], [2]]]


def test_sizes_are_those_of_the_published_networks():
    """They have 76,970 and 552,650; here a sum of linear maps shares one bias."""
    sizes = []
    for text in ("dws", "dws,channels=32,layers=4,batch_norm=yes"):
        model = make_model(parse_model(text), WIDE, 10, 0)
        sizes.append(sum(weight.numel() for weight in model.parameters()))
    assert sizes == [76_106, 549_770]


def test_a_step_takes_hundreds_of_launches_and_not_thousands(make_params):
    model = make_model(parse_model("dws"), WIDE, 10, 0)
    params = make_params(WIDE, 2, dtype=torch.float32)
    assert measure_work(lambda: model(params).sum().backward()).launches < 900
