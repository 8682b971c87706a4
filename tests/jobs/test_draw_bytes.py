"""A draw comes back from its bytes exactly, whatever the batch that it was made in."""

import pytest
import torch

from inrgen.core import rng
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.jobs.draw_bytes import decode_draw, encode_draw, encode_tensors, stored_as_key
from inrgen.transforms.base import draw_rows, draw_tensors
from inrgen.transforms.chain import Chain
from inrgen.transforms.exact import Permute, RandomSymmetry, SirenBias
from inrgen.transforms.geometric import Reflect, Rotate, Translate
from inrgen.transforms.noisy import Dropout, GaussianNoise, QuantileDropout

SPEC = InrSpec(widths=(2, 33, 20, 1), omega=(30.0, 30.0))
TRANSFORMS = [
    Permute(),
    RandomSymmetry(max_phase=3),
    SirenBias(max_phase=300),
    Rotate(),
    Reflect(),
    Dropout(),
    QuantileDropout(),
    GaussianNoise(),
    Chain(transforms=(Translate(), Dropout()), probabilities=(0.5, 1.0)),
]


@pytest.fixture
def keys() -> torch.Tensor:
    return rng.keys(0, "test", torch.arange(50))


@pytest.mark.parametrize("transform", TRANSFORMS, ids=repr)
def test_a_draw_comes_back_bit_for_bit(transform, keys):
    draw = transform.draw(SPEC, keys)
    data = list(encode_draw(transform, SPEC, draw, keys))
    found, expected = draw_tensors(decode_draw(transform, SPEC, data)), draw_tensors(draw)
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name
        assert found[name].dtype == tensor.dtype
    params = Params.from_flat(SPEC, torch.randn(50, SPEC.num_params))
    again = transform.apply(params, decode_draw(transform, SPEC, data))
    assert torch.equal(again.flat(), transform.apply(params, draw).flat())


@pytest.mark.parametrize("transform", TRANSFORMS, ids=repr)
def test_the_bytes_of_a_row_depend_on_no_other(transform, keys):
    draw = transform.draw(SPEC, keys)
    data = list(encode_draw(transform, SPEC, draw, keys))
    for row in (0, 7, 49):
        alone = draw_rows(draw, slice(row, row + 1))
        assert list(encode_draw(transform, SPEC, alone, keys[row : row + 1])) == [data[row]]


def test_widths_differ_from_row_to_row():
    draw = SirenBias().draw(SPEC, torch.arange(4))
    draw.phases[0][1, 3] = 300
    draw.phases[1][2, 0] = -(2**40)
    data = list(encode_tensors(draw))
    assert len({len(text) for text in data}) == 3
    found = decode_draw(SirenBias(), SPEC, data)
    assert all(map(torch.equal, found.phases, draw.phases))


def test_draws_as_large_as_weights_are_kept_as_keys(keys):
    assert stored_as_key(GaussianNoise(), SPEC)
    assert not stored_as_key(RandomSymmetry(), SPEC)
    draw = GaussianNoise().draw(SPEC, keys)
    assert {len(text) for text in encode_draw(GaussianNoise(), SPEC, draw, keys)} == {9}


@pytest.mark.parametrize("harm", [lambda d: d[:-1], lambda d: d + b"x", lambda d: b"Q" + d[1:]])
def test_bytes_of_something_else_are_refused(keys, harm):
    data = list(encode_draw(Rotate(), SPEC, Rotate().draw(SPEC, keys), keys))
    with pytest.raises(ValueError, match="draw"):
        decode_draw(Rotate(), SPEC, [harm(text) for text in data])
    with pytest.raises(ValueError, match="draw"):
        decode_draw(Permute(), SPEC, data)
