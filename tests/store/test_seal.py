"""A sealed file is whole, and not one bit of it can change unseen."""

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from inrgen.store.digests import BLANK_CHECKSUM, add_self_checksum, read_self_checksum

_BLANK = BLANK_CHECKSUM.encode()


@settings(deadline=None)
@given(before=st.binary(max_size=50), after=st.binary(max_size=50), data=st.data())
def test_no_bit_changes_unseen(before, after, data):
    assume(b"inrgen-sha256:" not in after)
    sealed = add_self_checksum(before + _BLANK + after)
    assert read_self_checksum(sealed) is not None
    assert len(sealed) == len(before + _BLANK + after)
    at = data.draw(st.integers(0, 8 * len(sealed) - 1))
    altered = bytearray(sealed)
    altered[at // 8] ^= 1 << at % 8
    assert read_self_checksum(bytes(altered)) is None
    assert read_self_checksum(sealed + b"x") is None
    assert read_self_checksum(sealed[:-1]) is None


def test_text_that_looks_like_a_seal_does_no_harm():
    sealed = add_self_checksum(_BLANK + b" was copied; " + _BLANK)
    assert read_self_checksum(sealed) is not None


@settings(deadline=None)
@given(data=st.binary(max_size=200))
def test_unsealed(data):
    assert read_self_checksum(data) is None
