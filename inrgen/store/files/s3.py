"""Files of a store below a prefix of a bucket, on any server that speaks S3.

Each upload is one request, so an object is there whole or not at all. Uploads that must be the
first of their name, or the next version of it, carry that condition (If-None-Match, If-Match).
"""

import copy
import hashlib
import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np
import obstore
import pyarrow.fs
from jaxtyping import UInt8
from obstore.exceptions import AlreadyExistsError, PreconditionError

from inrgen.store.digests import read_self_checksum
from inrgen.store.files.arrow_reader import arrow_reader
from inrgen.store.files.cache import DEFAULT_CACHE_BYTES, ShardCache, cache_name
from inrgen.store.files.lease import Lease
from inrgen.store.files.location import Bucket
from inrgen.store.files.protocol import Bytes, FileIdentity
from inrgen.store.files.s3_client import make_client, request
from inrgen.store.layout import INDEX

if TYPE_CHECKING:
    from obstore import ObjectMeta, PutMode

# Transfers of one object that may all differ before the transfer counts as broken.
_MAX_TRANSFERS = 4
# Bytes between two spans that cost less to fetch than a request of their own: about the share of a
# connection's second that falls to one of tens of requests in flight.
MAX_GAP_BYTES = 2**17
# Objects that one reader keeps in memory.
_MAX_MAPS = 8
# Commits in flight, of four requests each, one after the other.
_MAX_COMMITS = 16


class ObjectFiles:
    """A store below a prefix of a bucket."""

    def __init__(self, location: str, bucket: Bucket) -> None:
        self._location = location
        self._reader = make_client(bucket, writes=False)
        self._writer = make_client(bucket, writes=True)
        self._digests_in_tags = True
        self._lease: Lease | None = None

    @property
    def location(self) -> str:
        return self._location

    @property
    def max_maps(self) -> int:
        return _MAX_MAPS

    @property
    def max_commits(self) -> int:
        return _MAX_COMMITS

    def prepare(self) -> None:
        """Do nothing: a prefix appears with its first object."""

    @contextmanager
    def lock(self) -> Iterator["ObjectFiles"]:
        """Hold the lease; the files that the block gets check it before every write."""
        if self._lease is not None:
            yield self
            return
        # a copy shares the clients; files opened without a lock stay unfenced, for workers
        held = copy.copy(self)
        held._lease = Lease(self)
        try:
            yield held
        finally:
            held._lease.release()

    def read(self, key: str) -> bytes:
        return self.read_tagged(key)[0]

    def read_tagged(self, key: str) -> tuple[bytes, str]:
        """Return the content of an object and the tag (ETag) of its version."""
        # Most servers tag an object with its MD5. Content that does not match is fetched again,
        # until it does or two transfers agree. No fault on the way strikes twice in the same way,
        # so agreement means that this server's tags are not MD5. The store's own checksums
        # reveal an object that was stored wrong.
        seen: set[str] = set()
        for _ in range(_MAX_TRANSFERS):
            data, tag = request(self._name(key), lambda: self._get(key))
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

    @cached_property
    def _cache(self) -> ShardCache:
        return ShardCache(None, DEFAULT_CACHE_BYTES)

    def _read_records(self, key: str) -> bytes | memoryview:
        """Read a file of records; index files, which are large, once for all readers here."""
        if not key.startswith(f"{INDEX}/"):
            return self.read(key)
        tag = self.tag(key)
        # a folder that cannot be used costs a transfer, and a file that has rotted there, too
        with suppress(OSError):
            cached = self._cache.find(cache_name(self._location, key, tag)) if tag else None
            if cached is not None and read_self_checksum(cached.data) is not None:
                return cached.data
        data, tag = self.read_tagged(key)
        with suppress(OSError):
            if tag and read_self_checksum(data) is not None:
                return self._cache.add(cache_name(self._location, key, tag), data).data
        return data

    def _get(self, key: str) -> tuple[bytes, str]:
        got = obstore.get(self._reader, key)
        return got.bytes().to_bytes(), got.meta["e_tag"] or ""

    def _head(self, key: str) -> "ObjectMeta | None":
        try:
            return request(self._name(key), lambda: obstore.head(self._reader, key))
        except FileNotFoundError:
            return None

    def tag(self, key: str) -> str | None:
        """Return the tag of an object's version, or None if there is no object."""
        found = self._head(key)
        return None if found is None else found["e_tag"] or ""

    def tag_and_size(self, key: str) -> tuple[str, int] | None:
        """Return the tag of an object's version and its length, or None if there is no object."""
        found = self._head(key)
        return None if found is None else (found["e_tag"] or "", found["size"])

    def read_range(self, key: str, start: int, stop: int) -> tuple[bytes, str]:
        """Return the bytes start..stop-1 of an object and the tag of its version."""

        def get() -> tuple[bytes, str]:
            got = obstore.get(self._reader, key, options={"range": (start, stop)})
            return got.bytes().to_bytes(), got.meta["e_tag"] or ""

        return request(self._name(key), get)

    def read_ranges(self, key: str, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return bytes start..stop-1 of an object for each of several spans, in order.

        Spans with a small gap between them share a request, and several requests run at a time.
        They may meet two versions of the object, so only content with checksums is read like this.
        """
        starts, stops = zip(*spans, strict=True)

        def get() -> list[bytes]:
            found = obstore.get_ranges(
                self._reader, key, starts=starts, ends=stops, coalesce=MAX_GAP_BYTES
            )
            return [part.to_bytes() for part in found]

        return request(self._name(key), get)

    def size_bytes(self, key: str) -> int | None:
        found = self._head(key)
        return None if found is None else found["size"]

    def map(self, key: str) -> UInt8[np.ndarray, " n"]:
        return np.frombuffer(self.read(key), np.uint8)

    def identity(self, key: str) -> FileIdentity | None:
        # each reading fetches the object again, so no identity spares a check
        return None

    def top_names(self) -> set[str]:
        found = request(self._location, lambda: obstore.list_with_delimiter(self._reader))
        return {*found["common_prefixes"], *(meta["path"] for meta in found["objects"])}

    def names(self, folder: str) -> list[str]:
        return sorted(self.tags(folder))

    def tags(self, folder: str) -> dict[str, str]:
        found = request(
            self._name(folder), lambda: obstore.list_with_delimiter(self._reader, folder)
        )
        return {meta["path"].rpartition("/")[2]: meta["e_tag"] or "" for meta in found["objects"]}

    def all_keys(self) -> Iterator[str]:
        # collected at once, since a broken listing starts over: about 100 bytes a file
        found = request(self._location, lambda: obstore.list(self._reader).collect())
        return (meta["path"] for meta in found if not meta["path"].startswith("_"))

    def put(self, key: str, data: Bytes) -> None:
        self._check_lease()
        self._put(key, bytes(data), {}, "overwrite")

    def create(self, key: str, data: Bytes) -> bool:
        self._check_lease()
        # A client that misses the answer of its own success tries again, and finds its own
        # object. The mark tells it from another process's.
        mark = uuid.uuid4().hex
        try:
            self._put(key, bytes(data), {"inrgen-mark": mark}, "create")
        except (AlreadyExistsError, PreconditionError):
            found = request(self._name(key), lambda: obstore.get(self._reader, key).attributes)
            return found.get("inrgen-mark") == mark
        return True

    def swap(self, key: str, data: bytes, tag: str | None) -> str | None:
        """Replace the version with this tag, or no object, and return the new tag.

        Returns None, and writes nothing, if another version is there by now. No two callers may
        write equal data. Raises OSError if the server refuses its own tag.
        """
        # Ceph's gateway, before a fix of 2025, compares the condition with its tags without their
        # quotation marks, so it refuses every tag as it gave it. If a refusal leaves the version
        # that was to be replaced, the condition is sent again without the marks.
        modes: list[PutMode] = ["create"]
        if tag is not None:
            modes = [{"e_tag": form} for form in dict.fromkeys((tag, tag.strip('"')))]
        for mode in modes:
            try:
                return self._put(key, data, {}, mode)
            except (AlreadyExistsError, PreconditionError):
                found, found_tag = self.read_tagged(key)
                # the refusal answers a repeated request whose first try succeeded unheard
                if found == data:
                    return found_tag
                if found_tag != tag:
                    return None
        raise OSError(
            f"{self._name(key)}: the server refuses If-Match with its own tag, as Ceph does in a "
            "bucket that keeps versions: stores can be read there, but not written"
        )

    def _put(self, key: str, data: bytes, marks: dict[str, str], mode: "PutMode") -> str | None:
        put = partial(obstore.put, self._writer, key, data, attributes=marks, mode=mode)
        return request(self._name(key), lambda: put(use_multipart=False))["e_tag"]

    def move(self, source: str, target: str) -> None:
        self._check_lease()
        # S3 has no rename; a copy replaces its target in one step
        request(self._name(source), lambda: obstore.copy(self._writer, source, target))
        self.remove(source)

    def remove(self, key: str) -> None:
        self._check_lease()
        with suppress(FileNotFoundError):
            request(self._name(key), lambda: obstore.delete(self._writer, key))

    def erase(self, keys: Sequence[str]) -> None:
        # the lease stays, since its holder still has to release it
        for key in keys:
            self.remove(key)

    def tidy(self) -> None:
        """Do nothing: a server has no folders."""

    def is_tidy(self) -> bool:
        return False

    def arrow(self) -> pyarrow.fs.FileSystem:
        return arrow_reader(self, self._read_records)

    def _check_lease(self) -> None:
        if self._lease is not None:
            self._lease.check()

    def _name(self, key: str) -> str:
        return f"{self._location.partition('?')[0]}/{key}"
