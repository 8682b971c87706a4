"""Weights to flat rows and back."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec

SPEC = InrSpec(widths=(2, 4, 3), omega=(30.0,))


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_flat_rows_come_back(data, any_spec):
    spec = data.draw(any_spec())
    flat = torch.arange(3.0 * spec.num_params).reshape(3, -1)
    params = Params.from_flat(spec, flat)
    assert torch.equal(params.flat(), flat)
    assert [tuple(w.shape[1:]) for w in params.weights] == [
        slot.shape for slot in spec.layers[0::2]
    ]
    for slot, tensor in zip(spec.layers[1::2], params.biases, strict=True):
        assert torch.equal(tensor, flat[:, slot.offset : slot.offset + slot.size])


def test_a_row_is_each_weight_row_major_then_its_bias():
    params = Params.from_flat(SPEC, torch.arange(27.0)[None])
    assert params.weights[0][0].tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert params.biases[0][0].tolist() == [8, 9, 10, 11]
    assert params.weights[1][0, 1].tolist() == [16, 17, 18, 19]
    assert params.biases[1][0].tolist() == [24, 25, 26]


def test_batches_are_cut_and_joined():
    params = Params.from_flat(SPEC, torch.randn(6, 27))
    assert len(params) == 6
    joined = Params.cat([params[:2], params[2:]])
    assert torch.equal(joined.flat(), params.flat())
    for index in ([4, 1], torch.tensor([4, 1])):
        assert torch.equal(params[index].flat(), params.flat()[[4, 1]])
    assert params.to(dtype=torch.float64).dtype == torch.float64
    assert params.device == torch.device("cpu")


def test_rows_of_another_length_are_refused():
    with pytest.raises(ValueError, match="flat needs 27 parameters a row for 2-4-3; got 26"):
        Params.from_flat(SPEC, torch.zeros(1, 26))


def test_a_batch_of_weights_prints_in_one_line():
    params = Params.from_flat(SPEC, torch.zeros(5, 27))
    assert repr(params) == "Params(5 INRs of 2-4-3, torch.float32, cpu)"
