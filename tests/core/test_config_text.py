"""Configs are the same after a round trip through text, and errors name the nearest known word."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inrgen.core.config_text import (
    read_config,
    read_value,
    split_names,
    split_one_name,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """A config with a field of every type that text may hold."""

    count: int = 3
    rate: float = 0.5
    on: bool = False
    kind: Literal["plain", "signed"] = "plain"
    first: Literal["small", "siren"] | float = "small"
    widths: tuple[int, ...] = (32, 32)
    shares: tuple[float, ...] = (0.5,)
    axes: tuple[int, ...] | None = None
    stop: float | None = 40.0


finite = st.floats(allow_nan=False, allow_infinity=False)
samples = st.builds(
    Sample,
    count=st.integers(),
    rate=finite,
    on=st.booleans(),
    kind=st.sampled_from(["plain", "signed"]),
    first=st.one_of(st.sampled_from(["small", "siren"]), finite),
    widths=st.lists(st.integers(0), max_size=4).map(tuple),
    shares=st.lists(finite, min_size=2, max_size=4).map(tuple),
    axes=st.one_of(st.none(), st.just((0, 1))),
    stop=st.one_of(st.none(), finite),
)


def _write_value(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, Iterable) and not isinstance(value, str):
        parts = [_write_value(part) for part in value]
        return ("/" if any("-" in part for part in parts) else "-").join(parts)
    return str(value)


def write_config(name: str, config: Sample, default: Sample) -> str:
    """The text of a config: its name, then every field that differs from the default."""
    changed = [
        f"{field.name}={_write_value(getattr(config, field.name))}"
        for field in fields(config)
        if getattr(config, field.name) != getattr(default, field.name)
    ]
    return ",".join([name, *changed])


@given(config=samples)
def test_a_config_survives_its_text(config):
    text = write_config("sample", config, Sample())
    assert read_config(split_one_name(text, "config"), Sample(), "config") == config


def test_only_what_differs_is_written():
    assert write_config("sample", Sample(), Sample()) == "sample"
    changed = Sample(on=True, widths=(64, 64), stop=None)
    assert write_config("sample", changed, Sample()) == "sample,on=true,widths=64-64,stop=none"


def test_commas_and_colons_part_alike():
    first, second = split_names("a:x=1,b,y=2:z=3", "list")
    assert (first.name, first.fields) == ("a", {"x": "1"})
    assert (second.name, second.fields) == ("b", {"y": "2", "z": "3"})
    assert split_names("x=1", "list")[0].name == ""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("sample,cuont=3", "config sample: field must be one of .*did you mean count"),
        ("sample,count=3.5", "config sample: count needs a whole number; got '3.5'"),
        ("sample,rate=nan", "rate needs a finite number; got 'nan'"),
        ("sample,rate= 1", "rate needs a finite number; got ' 1'"),
        ("sample,on=1", "on needs true or false; got '1'"),
        ("sample,kind=Plain", "kind needs plain or signed; got 'Plain'"),
        ("sample,first=tiny", "first needs small or siren or a finite number; got 'tiny'"),
        ("sample,widths=64-x", "widths needs values such as 64-64, each a whole number"),
        ("sample,axes=x", "axes needs none or values such as 64-64"),
        ("sample,count=1,count=2", "must give count once"),
        ("sample,,count=1", "empty part"),
        ("sample,other", "a config is one name .*got 'other'"),
    ],
)
def test_a_wrong_text_is_refused_in_one_sentence(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        read_config(split_one_name(text, "config"), Sample(), "config")


def test_truth_has_two_spellings():
    for text, value in {"true": True, "Yes": True, "false": False, "no": False}.items():
        assert read_value(text, bool, "on") is value
