"""Digests: of a block's content, and of a whole file inside that file.

Version 1 of the format uses SHA-256 for blocks, version 2 BLAKE3. BLAKE3 is held to be as strong
and takes a third of the time or less; SHA-256 of shards took as long as all other work on them.

A file with a self-checksum holds the text "inrgen-sha256:" and 64 hexadecimal digits: the SHA-256
of the whole file with zeros in place of the digits. This covers every byte, needs no second file,
and leaves the file valid for its own readers (JSON, Parquet). It is SHA-256 in both versions.
"""

import hashlib
from collections.abc import Callable
from typing import Literal

from blake3 import blake3

Digest = Literal["sha256", "blake3"]

# Block digest by format version.
DIGESTS: dict[int, Digest] = {1: "sha256", 2: "blake3", 3: "blake3"}
_MAKERS: dict[Digest, Callable[[], "hashlib._Hash | blake3"]] = {
    "sha256": hashlib.sha256,
    "blake3": blake3,
}

_MARK = b"inrgen-sha256:"
_NUM_DIGITS = 64
_TAIL_BYTES = 2**16

BLANK_CHECKSUM = (_MARK + b"0" * _NUM_DIGITS).decode()


def digest_parts(kind: Digest, *parts: bytes | memoryview) -> str:
    """Return the 64 hexadecimal digits of the digest of all parts, one after the other."""
    digest = _MAKERS[kind]()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _find_digits(data: memoryview) -> int | None:
    """Return where the digits after the last mark begin, or None without a mark."""
    # writers put the mark near the end, and large files are mapped: most are searched in place
    tail = max(0, len(data) - _TAIL_BYTES)
    for start in dict.fromkeys((tail, 0)):
        # the last one, since users' text before it may quote another file's
        at = bytes(data[start:]).rfind(_MARK)
        if at >= 0:
            digits = start + at + len(_MARK)
            return digits if digits + _NUM_DIGITS <= len(data) else None
    return None


def _compute(data: memoryview, digits: int) -> bytes:
    after = data[digits + _NUM_DIGITS :]
    return digest_parts("sha256", data[:digits], b"0" * _NUM_DIGITS, after).encode()


def add_self_checksum(data: bytes) -> bytes:
    """Fill in the digits of a file whose last mark is BLANK_CHECKSUM.

    The mark must come after any text of users, which may contain the same words.
    """
    view = memoryview(data)
    at = _find_digits(view)
    assert at is not None, "the file has no mark to fill in"
    stop = at + _NUM_DIGITS
    assert view[at:stop] == b"0" * _NUM_DIGITS, "the file's last mark is not blank"
    return b"".join([view[:at], _compute(view, at), view[stop:]])


def read_self_checksum(data: bytes | memoryview) -> str | None:
    """Return a file's self-checksum if it is right; None if any byte of the file is wrong."""
    view = memoryview(data)
    at = _find_digits(view)
    if at is None or view[at : at + _NUM_DIGITS] != _compute(view, at):
        return None
    return stated_checksum(view)


def stated_checksum(data: bytes | memoryview) -> str:
    """Return the self-checksum that a file claims, which another function has found right."""
    at = _find_digits(memoryview(data))
    assert at is not None, "the file has no self-checksum"
    return bytes(data[at : at + _NUM_DIGITS]).decode()
