"""Specs survive JSON, name every fact in their id, and refuse bad fields."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inrgen.core.spec import InrSpec

SPEC = InrSpec(widths=(2, 32, 32, 1), omega=(30.0, 30.0), output_offset=0.5)


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_a_spec_survives_json(data, any_spec):
    spec = data.draw(any_spec())
    assert InrSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    slots = spec.layers
    assert [s.offset for s in slots[1:]] == [s.offset + s.size for s in slots[:-1]]
    assert spec.num_params == sum(s.size for s in slots)


def test_the_usual_network():
    assert SPEC.num_params == 1185
    assert SPEC.architecture == "2-32-32-1"
    assert (SPEC.d_in, SPEC.d_out, SPEC.num_hidden, SPEC.value_width) == (2, 1, 2, 1.0)
    assert SPEC.layers[2].name == "1.weight"


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
    ],
)
def test_errors_name_what_is_wrong(fields, message):
    with pytest.raises(ValueError, match=message):
        replace(SPEC, **fields)


def test_foreign_and_missing_keys_are_refused():
    facts = SPEC.to_dict()
    with pytest.raises(ValueError, match="exactly the keys"):
        InrSpec.from_dict({**facts, "colour": 1})
    facts.pop("omega")
    with pytest.raises(ValueError, match="exactly the keys"):
        InrSpec.from_dict(facts)
