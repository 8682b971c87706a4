"""Specs survive JSON, name every fact in their id, and refuse bad fields."""

import json
import math
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inrgen.core.activations import ActivationName
from inrgen.core.encoding import gaussian_encoding, octave_encoding
from inrgen.core.spec import InrSpec

SPEC = InrSpec(widths=(2, 32, 32, 1), omega=(30.0, 30.0), output_offset=0.5)


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_a_spec_survives_json(data, any_spec):
    names = st.sampled_from(get_args(ActivationName))
    spec = data.draw(any_spec(activation=data.draw(names), encoded=True))
    assert InrSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    slots = spec.layers
    assert ("encoding" in spec.to_dict()) == (spec.encoding is not None)
    assert spec.with_encoding(None).with_encoding(spec.encoding) == spec
    assert spec.is_siren == (spec.activation == "sine" and spec.encoding is None)
    assert [s.offset for s in slots[1:]] == [s.offset + s.size for s in slots[:-1]]
    assert spec.num_params == sum(s.size for s in slots)


def test_the_usual_network():
    assert SPEC.num_params == 1185
    assert SPEC.architecture == "2-32-32-1"
    assert (SPEC.d_in, SPEC.d_out, SPEC.num_hidden, SPEC.value_width) == (2, 1, 2, 1.0)
    assert SPEC.layers[2].name == "1.weight"
    # Stores of earlier versions name their groups so.
    assert SPEC.spec_id == "2-32-32-1_4b089783"


def test_every_fact_is_in_the_id():
    others = [
        replace(SPEC, omega=(30.0, 29.0)),
        replace(SPEC, activation="tanh"),
        replace(SPEC, output_offset=0.0),
        replace(SPEC, coord_order="ij"),
        replace(SPEC, coord_range=(0.0, 1.0)),
        replace(SPEC, coord_center=(0.5, 0.5)),
        replace(SPEC, value_range=(-1.0, 1.0)),
        replace(SPEC, value_kind="logit"),
        SPEC.with_encoding(octave_encoding(2, 2)),
        SPEC.with_encoding(gaussian_encoding(2, 4, 1.0)),
        SPEC.with_encoding(gaussian_encoding(2, 4, 1.0, seed=1)),
    ]
    assert len({s.spec_id for s in [SPEC, *others]}) == len(others) + 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"widths": (2, 1)}, "widths"),
        ({"widths": (2, 0, 32, 1)}, "widths"),
        ({"omega": (30.0,)}, "omega needs 2"),
        ({"omega": (30.0, -1.0)}, "omega must be positive"),
        ({"omega": (30.0, float("nan"))}, "omega must be positive"),
        ({"coord_order": "xyz"}, "coord_order must name 2"),
        ({"coord_center": (0.0,)}, "coord_center needs 2"),
        ({"coord_range": (1.0, 1.0)}, "coord_range must be"),
        ({"value_range": (1.0, 0.0)}, "value_range must be"),
        ({"encoding": octave_encoding(2, 2)}, "widths must begin with 8"),
    ],
)
def test_errors_name_what_is_wrong(fields, message):
    with pytest.raises(ValueError, match=message):
        replace(SPEC, **fields)


@pytest.mark.parametrize(
    "encoding",
    [
        None,
        [],
        {"kind": "fourier"},
        {"kind": "hash", "frequencies": [[1.0, 2.0]]},
        {"kind": ["fourier"], "frequencies": [[1.0, 2.0]]},
        {"kind": "fourier", "frequencies": 3},
        {"kind": "fourier", "frequencies": []},
        {"kind": "fourier", "frequencies": [[]]},
        {"kind": "fourier", "frequencies": [[1.0, 2.0], [1.0]]},
        {"kind": "fourier", "frequencies": [[1.0, float("nan")]]},
        {"kind": "fourier", "frequencies": [["1", True]]},
        {"kind": "fourier", "frequencies": [[10**400, 1]]},
        {"kind": "fourier", "frequencies": [[1.0, 2.0]] * 100_000},
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_bad_encoding_is_refused_in_a_sentence(encoding):
    with pytest.raises(ValueError, match="encoding"):
        InrSpec.from_dict({**SPEC.to_dict(), "encoding": encoding})


@pytest.mark.parametrize(
    "make",
    [
        lambda: gaussian_encoding(2, 10**9, 1.0),
        lambda: gaussian_encoding(2, 0, 1.0),
        lambda: gaussian_encoding(2, 4, math.nan),
        lambda: gaussian_encoding(2, 4, 0.0),
        lambda: octave_encoding(2, 10**9),
        lambda: octave_encoding(2, 65),
    ],
)
def test_bad_numbers_of_frequencies_are_refused(make):
    with pytest.raises(ValueError, match="encoding needs"):
        make()


def test_foreign_and_missing_keys_are_refused():
    facts = SPEC.to_dict()
    with pytest.raises(ValueError, match="exactly the keys"):
        InrSpec.from_dict({**facts, "colour": 1})
    facts.pop("omega")
    with pytest.raises(ValueError, match="exactly the keys"):
        InrSpec.from_dict(facts)
