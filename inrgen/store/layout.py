"""Names of a store's files, and how its rows are cut into chunks and shards."""

import re
from dataclasses import dataclass, replace

# New stores get this version; older ones are read and resumed as they are (see digests.py).
FORMAT_VERSION = 2
# Stores that have grown; readers of version 2 would take their short blocks for damaged ones.
GROWN_VERSION = 3

ROOT_DOCUMENT = "zarr.json"
ROOT_COPY = "zarr-copy.json"
LOCK = "_inrgen.lock"
# On servers; readers of other versions ignore its name.
CONTENT_NOTE = "_content.json"
STAGING = "_staging"
REPLACING = "_replacing"
# Blocks and root document of an append, until it is committed and put in place.
GROWING = "_growing"
GROWING_ROOT = f"{GROWING}/{ROOT_DOCUMENT}"
RECORDS = "records"
INDEX = "index"
STATISTICS = "statistics"
# Lists of items, in stores that have grown.
ITEMS = "items"
# the page that `inrgen view` writes, which the card links
PAGE = "view.html"

# A damaged byte costs one chunk.
_CHUNK_ROWS = 256
# 4,000 rows of 1.2 thousand parameters are 19 MB.
SHARD_ROWS = 4000
# Small stores are still filled in parallel and resumed.
_MIN_SHARDS = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Cut of one spec's array; all sizes follow from these numbers.

    One checksum covers a chunk. A shard ("block") is a file and the unit of a commit. Views of an
    item never straddle a chunk. Small stores still have enough shards to be filled in parallel
    and resumed.

    Attributes:
        rows: rows of the finished array.
        views: rows of each item, one after the other.
        max_chunk_rows: most rows of a chunk, unless one item has more. Rows that take long to make
            lie in smaller chunks, and in proportionally smaller shards, so that an unfinished
            block loses less work.
        kept_shard_rows: rows of a block of a store that has grown, which keeps its blocks; None
            where they follow from the others.
    """

    rows: int
    views: int
    max_chunk_rows: int = _CHUNK_ROWS
    kept_shard_rows: int | None = None

    def __post_init__(self) -> None:
        if self.views < 1:
            raise ValueError(f"views must be at least 1; got {self.views}")
        if self.rows < 1 or self.rows % self.views:
            raise ValueError(
                f"rows must be a positive multiple of views={self.views}; got {self.rows}"
            )
        if self.max_chunk_rows < 1:
            raise ValueError(f"max_chunk_rows must be at least 1; got {self.max_chunk_rows}")
        if self.kept_shard_rows is not None and (
            self.kept_shard_rows < 1 or self.kept_shard_rows % self.chunk_rows
        ):
            raise ValueError(
                f"kept_shard_rows must be a multiple of {self.chunk_rows}, the rows of a chunk; "
                f"got {self.kept_shard_rows}"
            )

    def to_dict(self) -> dict[str, int]:
        """Return the numbers that a store records."""
        found = {"rows": self.rows, "views": self.views, "max_chunk_rows": self.max_chunk_rows}
        if self.kept_shard_rows is None:
            return found
        return found | {"kept_shard_rows": self.kept_shard_rows}

    def grown_to(self, rows: int) -> "Layout":
        """Return the layout of the same store with more rows, in blocks of the same size."""
        return replace(self, rows=rows, kept_shard_rows=self.shard_rows)

    @property
    def chunk_rows(self) -> int:
        """Rows under one checksum: whole items, about max_chunk_rows rows."""
        return self.views * max(1, self.max_chunk_rows // self.views)

    @property
    def shard_rows(self) -> int:
        """Rows of a block: whole chunks, at least one.

        At most a sixteenth of all rows, and at most 4,000 for chunks of the default size.
        """
        if self.kept_shard_rows is not None:
            return self.kept_shard_rows
        most = SHARD_ROWS * self.max_chunk_rows // _CHUNK_ROWS
        wanted = min(most, self.rows // _MIN_SHARDS)
        return self.chunk_rows * max(1, wanted // self.chunk_rows)

    @property
    def num_blocks(self) -> int:
        """Number of blocks, committed or not."""
        return -(-self.rows // self.shard_rows)

    def block_rows(self, block: int) -> range:
        """Return the rows of a block; the last block may be short."""
        if not 0 <= block < self.num_blocks:
            raise ValueError(f"block must be in 0..{self.num_blocks - 1}; got {block}")
        start = block * self.shard_rows
        return range(start, min(start + self.shard_rows, self.rows))


def shard_key(spec_id: str, block: int) -> str:
    """Return the name that zarr gives a shard."""
    return f"{spec_id}/params/c/{block}/0"


def fragment_name(spec_id: str, block: int) -> str:
    """Return the name of a block's records within their folder."""
    return f"{spec_id}.{block:08d}.parquet"


def fragment_key(spec_id: str, block: int) -> str:
    """Return the key of a block's records; a block is committed if this file exists."""
    return f"{RECORDS}/{fragment_name(spec_id, block)}"


def replacing_fragment_key(spec_id: str, block: int) -> str:
    """Return the key of a block's new records while a repair replaces the block."""
    return f"{REPLACING}/{fragment_name(spec_id, block)}"


def index_key(spec_id: str, blocks: range) -> str:
    """Return the key of the file that repeats the records of many blocks of one spec."""
    return f"{INDEX}/{spec_id}.{blocks.start:08d}-{blocks.stop:08d}.parquet"


def parse_index_name(name: str) -> tuple[str, range] | None:
    """Return the spec and blocks of an index file's name; None for any other name."""
    match = re.fullmatch(r"(.+)\.(\d{8,18})-(\d{8,18})\.parquet", name)
    return (match[1], range(int(match[2]), int(match[3]))) if match else None


def parse_fragment_name(name: str) -> tuple[str, int] | None:
    """Return the spec and block of a fragment's name; None for any other name."""
    match = re.fullmatch(r"(.+)\.(\d{8,18})\.parquet", name)
    found = (match[1], int(match[2])) if match else None
    # one name a block: a second one, with more zeros, would make it two
    return found if found and fragment_name(*found) == name else None
