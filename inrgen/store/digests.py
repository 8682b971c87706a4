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
DIGESTS: dict[int, Digest] = {1: "sha256", 2: "blake3"}
_MAKERS: dict[Digest, Callable[[], "hashlib._Hash | blake3"]] = {
    "sha256": hashlib.sha256,
    "blake3": blake3,
}

_MARK = b"inrgen-sha256:"
_NUM_DIGITS = 64

BLANK_CHECKSUM = (_MARK + b"0" * _NUM_DIGITS).decode()


def digest_parts(kind: Digest, *parts: bytes | memoryview) -> str:
    """Return the 64 hexadecimal digits of the digest of all parts, one after the other."""
    digest = _MAKERS[kind]()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _split(data: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Return the bytes before the digits, the digits, and the bytes after; the last mark counts."""
    # the last one, since users' text before it may quote another file's
    at = data.rfind(_MARK)
    start, stop = at + len(_MARK), at + len(_MARK) + _NUM_DIGITS
    if at < 0 or stop > len(data):
        return None
    return data[:start], data[start:stop], data[stop:]


def _compute(before: bytes, after: bytes) -> bytes:
    return digest_parts("sha256", before, b"0" * _NUM_DIGITS, after).encode()


def add_self_checksum(data: bytes) -> bytes:
    """Fill in the digits of a file whose last mark is BLANK_CHECKSUM.

    The mark must come after any text of users, which may contain the same words.
    """
    parts = _split(data)
    assert parts is not None, "the file has no mark to fill in"
    before, digits, after = parts
    assert digits == b"0" * _NUM_DIGITS, "the file's last mark is not blank"
    return before + _compute(before, after) + after


def read_self_checksum(data: bytes) -> str | None:
    """Return a file's self-checksum if it is right; None if any byte of the file is wrong."""
    parts = _split(data)
    if parts is None or parts[1] != _compute(parts[0], parts[2]):
        return None
    return parts[1].decode()
