"""Strings in one piece of memory equal the same strings one by one."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inrgen.store import derivation
from inrgen.store.derivation import ByteRows

STRINGS = st.lists(st.binary(max_size=5), max_size=8)


@given(STRINGS, STRINGS, st.integers(0, 8), st.integers(0, 8), st.randoms())
def test_as_a_list_of_strings(first, second, start, stop, chance):
    both, joined = (
        first + second,
        ByteRows.join([ByteRows.from_strings(first), ByteRows.from_strings(second)]),
    )
    assert list(joined) == both
    assert len(joined) == len(both)
    assert list(joined.rows(slice(start, stop))) == both[start:stop]
    gone = np.array([chance.random() < 0.3 for _ in both], dtype=bool)
    left = [b"" if is_gone else text for text, is_gone in zip(both, gone, strict=True)]
    assert list(joined.clear(gone)) == left
    assert list(joined.clear(gone).rows(slice(start, stop))) == left[start:stop]
    assert list(ByteRows.join([joined])) == both
    assert list(ByteRows.join([])) == []


def test_a_table_is_a_string_a_row():
    table = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert list(ByteRows.from_table(table[:, ::2])) == [row.tobytes() for row in table[:, ::2]]


@pytest.mark.parametrize("most", [2**31 - 1, 4])
def test_arrow_has_the_same_strings(monkeypatch, most):
    monkeypatch.setattr(derivation, "_MAX_BYTES", most)
    strings = [b"abc", b"", b"de", b"f"]
    some = ByteRows.from_strings([b"x", *strings]).rows(slice(1, 5))
    made = some.to_arrow()
    assert made.type == pa.binary()
    assert made.to_pylist() == strings
    made.validate(full=True)
