"""A digest that a file carries of itself, so that any flipped byte in it shows.

A sealed file holds the text "inrgen-sha256:" and 64 hexadecimal digits: the SHA-256 of the whole
file with those digits as zeros. So every byte is covered, no second file is needed, and the file
stays what it was to its own readers (JSON, Parquet).
"""

import hashlib

_MARK = b"inrgen-sha256:"
_NUM_DIGITS = 64

BLANK_SEAL = (_MARK + b"0" * _NUM_DIGITS).decode()


def _split(data: bytes) -> tuple[bytes, bytes, bytes] | None:
    """What stands before the digits, the digits, and what follows; the last mark counts."""
    at = data.rfind(_MARK)
    start, stop = at + len(_MARK), at + len(_MARK) + _NUM_DIGITS
    if at < 0 or stop > len(data):
        return None
    return data[:start], data[start:stop], data[stop:]


def _digest(before: bytes, after: bytes) -> bytes:
    digest = hashlib.sha256(before)
    digest.update(b"0" * _NUM_DIGITS)
    digest.update(after)
    return digest.hexdigest().encode()


def seal(data: bytes) -> bytes:
    """Fill in the digits of a file whose last mark is BLANK_SEAL; users' text comes before it."""
    parts = _split(data)
    assert parts is not None, "the file has no seal to fill in"
    before, digits, after = parts
    assert digits == b"0" * _NUM_DIGITS, "the file's last seal is not blank"
    return before + _digest(before, after) + after


def read_seal(data: bytes) -> str | None:
    """The digits of a file's seal if they are right; None if anything in the file is not."""
    parts = _split(data)
    if parts is None or parts[1] != _digest(parts[0], parts[2]):
        return None
    return parts[1].decode()
