"""A store's files below a prefix of a bucket, on any server that speaks S3.

Uploads are single requests, so an object is there whole or not at all; those that must be the
first or the next of their name carry the condition with them (If-None-Match, If-Match).
"""

import hashlib
import re
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import obstore
import pyarrow.fs
from jaxtyping import UInt8
from obstore.exceptions import AlreadyExistsError, PreconditionError
from obstore.store import S3Store

from inrgen.store.files.lease import hold_lease
from inrgen.store.files.local import Bytes
from inrgen.store.files.location import Bucket
from inrgen.store.files.protocol import Files
from inrgen.store.files.s3_arrow import arrow_files
from inrgen.store.files.s3_client import ask, make_client

if TYPE_CHECKING:
    from obstore import ObjectMeta, PutMode

# Transfers of one object, at most, that differ from each other.
_MAX_TRANSFERS = 4
# Objects that one reader keeps in memory.
_MAX_MAPS = 8


class ObjectFiles:
    """The objects below a prefix, as a store's files."""

    def __init__(self, where: str, place: Bucket) -> None:
        self._where = where
        self._reader = make_client(place, writes=False)
        self._writer = make_client(place, writes=True)
        self._digests_in_tags = True

    @property
    def where(self) -> str:
        return self._where

    @property
    def max_maps(self) -> int:
        return _MAX_MAPS

    def prepare(self) -> None:
        """Nothing: prefixes come with the first object."""

    def lock(self) -> AbstractContextManager[Files]:
        return hold_lease(self)

    def read(self, key: str) -> bytes:
        return self.read_tagged(key)[0]

    def read_tagged(self, key: str) -> tuple[bytes, str]:
        """An object and the tag (ETag) of the version it is.

        Most servers tag an object with its MD5. Where what came does not match it, the object is
        fetched again, until it does or two transfers agree: a fault on the way is not the same
        twice, and then it is the server whose tags mean something else. What was stored wrong
        shows by the store's own checksums.
        """
        seen: set[str] = set()
        for _ in range(_MAX_TRANSFERS):
            data, tag = ask(self._name(key), lambda: self._get(key))
            claimed = re.fullmatch('"([0-9a-f]{32})"', tag)
            if claimed is None or not self._digests_in_tags:
                return data, tag
            digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
            if digest == claimed[1]:
                return data, tag
            if digest in seen:
                self._digests_in_tags = False
                return data, tag
            seen.add(digest)
        raise OSError(f"{self._name(key)}: {_MAX_TRANSFERS} transfers of it all differ")

    def _get(self, key: str) -> tuple[bytes, str]:
        got = obstore.get(self._reader, key)
        return got.bytes().to_bytes(), got.meta["e_tag"] or ""

    def _head(self, key: str) -> "ObjectMeta | None":
        try:
            return ask(self._name(key), lambda: obstore.head(self._reader, key))
        except FileNotFoundError:
            return None

    def tag(self, key: str) -> str | None:
        """The tag of an object's version; None where there is no object."""
        found = self._head(key)
        return None if found is None else found["e_tag"] or ""

    def size_bytes(self, key: str) -> int | None:
        found = self._head(key)
        return None if found is None else found["size"]

    def map(self, key: str) -> UInt8[np.ndarray, " n"]:
        return np.frombuffer(self.read(key), np.uint8)

    def top_names(self) -> set[str]:
        found = ask(self._where, lambda: obstore.list_with_delimiter(self._reader))
        return {*found["common_prefixes"], *(meta["path"] for meta in found["objects"])}

    def names(self, folder: str) -> list[str]:
        found = ask(self._name(folder), lambda: obstore.list_with_delimiter(self._reader, folder))
        return sorted(meta["path"].rpartition("/")[2] for meta in found["objects"])

    def all_keys(self) -> Iterator[str]:
        # all at once, since a listing that breaks off begins again: 100 bytes or so a file
        found = ask(self._where, lambda: obstore.list(self._reader).collect())
        return (meta["path"] for meta in found if not meta["path"].startswith("_"))

    def put(self, key: str, data: Bytes) -> None:
        self._put(key, bytes(data), {}, "overwrite")

    def create(self, key: str, data: Bytes) -> bool:
        # A client that did not hear that it succeeded tries again, and finds its own object: the
        # mark tells it from another's.
        mark = uuid.uuid4().hex
        try:
            self._put(key, bytes(data), {"inrgen-mark": mark}, "create")
        except (AlreadyExistsError, PreconditionError):
            found = ask(self._name(key), lambda: obstore.get(self._reader, key).attributes)
            return found.get("inrgen-mark") == mark
        return True

    def swap(self, key: str, data: bytes, tag: str | None) -> str | None:
        """Write an object in the place of the version of a tag, or of none; its new tag.

        None, and nothing is written, where another version is there by now. No two callers may
        write the same data. Raises OSError where the server refuses the tag that it gives itself.

        Ceph's gateway, before a fix of 2025, holds the condition against its tags without their
        quotation marks, and so refuses every tag as it was given. Where a refusal leaves the
        version that was to be replaced, the condition is sent once more without the marks.
        """
        modes: list[PutMode] = ["create"]
        if tag is not None:
            modes = [{"e_tag": form} for form in dict.fromkeys((tag, tag.strip('"')))]
        for mode in modes:
            try:
                return self._put(key, data, {}, mode)
            except (AlreadyExistsError, PreconditionError):
                found, found_tag = self.read_tagged(key)
                if found == data:
                    return found_tag
                if found_tag != tag:
                    return None
        raise OSError(
            f"{self._name(key)}: the server refuses If-Match with the tag that it gives itself, as "
            "Ceph does where a bucket keeps versions: stores can be read there, but not written"
        )

    def _put(self, key: str, data: bytes, marks: dict[str, str], mode: "PutMode") -> str | None:
        put = partial(obstore.put, self._writer, key, data, attributes=marks, mode=mode)
        return ask(self._name(key), lambda: put(use_multipart=False))["e_tag"]

    def move(self, source: str, target: str) -> None:
        ask(self._name(source), lambda: obstore.copy(self._writer, source, target))
        self.remove(source)

    def remove(self, key: str) -> None:
        with suppress(FileNotFoundError):
            ask(self._name(key), lambda: obstore.delete(self._writer, key))

    def arrow(self) -> pyarrow.fs.FileSystem:
        return arrow_files(self)

    def client(self) -> S3Store:
        """The client that reads, for other readers of the same objects such as zarr's."""
        return self._reader

    def _name(self, key: str) -> str:
        return f"{self._where.partition('?')[0]}/{key}"
