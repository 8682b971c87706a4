"""Versions of a store that has grown: what it was before each append.

A store grows by whole blocks. Only its last block, if that was short, is written again, with the
same rows in front. So each block belongs to the version that wrote it last, and its records name
the self-checksum of that version's root document.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

_CHECKSUM = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreVersion:
    """An earlier version of a store.

    Attributes:
        rows: rows that it had; the later versions have the same ones, bit for bit.
        self_checksum: of its root document.
        content_sha256: its content digest, which stores that were derived from it record.
        items: count and digests of its items, as its identity had them.
        about: facts recorded with it, such as the version of inrgen.
    """

    rows: int
    self_checksum: str
    content_sha256: str
    items: dict[str, Any]
    about: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON for the root document."""
        return asdict(self)


def read_versions(
    stored: object, items: dict[str, Any], rows: int, views: int
) -> tuple[StoreVersion, ...]:
    """Read the versions in a root document, the oldest first.

    Args:
        items: count and digests of the items of the store now.
        rows: rows of the store now.

    Raises ValueError or TypeError for values that no store has.
    """
    if not isinstance(stored, list) or not stored:
        raise ValueError("versions must be a list of what the store was before it grew")
    found = tuple(StoreVersion(**facts) for facts in stored)
    bounds = [0, *(version.rows for version in found), rows]
    if any(type(bound) is not int or bound % views for bound in bounds):
        raise ValueError("versions must have whole items")
    if any(a >= b for a, b in pairwise(bounds)):
        raise ValueError(f"each version must have more rows than the one before; got {bounds}")
    # it becomes the name of a file
    if not _CHECKSUM.fullmatch(str(items["sha256"])):
        raise ValueError("the sha256 of items must be 64 hexadecimal digits")
    for version in found:
        for name in ("self_checksum", "content_sha256"):
            if not _CHECKSUM.fullmatch(str(getattr(version, name))):
                raise ValueError(f"{name} of a version must be 64 hexadecimal digits")
        if not isinstance(version.items, dict) or not isinstance(version.about, dict):
            raise ValueError("items and about of a version must be objects")
    return found


def pick_checksum(versions: Sequence[StoreVersion], stop: int, latest: str) -> str:
    """Return the self-checksum that a block's records name: of the version that wrote it last.

    Args:
        stop: the row after the block's last.
        latest: the self-checksum of the store as it is now.
    """
    # A short block at the end of an older version was written again when it was filled up.
    return next((old.self_checksum for old in versions if old.rows >= stop), latest)
