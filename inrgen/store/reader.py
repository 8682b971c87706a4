"""Open a store and read it: rows of weights, and their records."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from inrgen.core.config import SPLITS
from inrgen.core.config_text import check_name
from inrgen.core.geometry import noted_grid
from inrgen.core.params import Params
from inrgen.core.siren import evaluate
from inrgen.core.spec import InrSpec
from inrgen.store.append_writer import settle_growth
from inrgen.store.derivation import PARENT, TEMPLATE, Derivation, read_derivation
from inrgen.store.files.cache import ShardCache
from inrgen.store.files.location import Location, make_absolute
from inrgen.store.files.opening import open_files
from inrgen.store.files.protocol import Files
from inrgen.store.index import check_complete, check_names, committed_blocks, record_keys
from inrgen.store.layout import Layout
from inrgen.store.metadata import StoreFacts, read_facts
from inrgen.store.notebook import facts_html, pictures_html
from inrgen.store.open_shard import spec_shards
from inrgen.store.record_scan import RecordScan, check_records, records_format, records_schema
from inrgen.store.records import usable_rows
from inrgen.store.rows import RowReader
from inrgen.store.shard_opening import open_direct, open_source
from inrgen.store.values import draw_images
from inrgen.store.versions import StoreVersion

Rows = Sequence[int] | range | Int[np.ndarray, " r"] | Int[Tensor, " r"]


def _read_listing(files: Files, path: str) -> tuple[StoreFacts, set[tuple[str, int]]]:
    """Return a store's facts and the committed blocks, of the same version of the store."""
    while True:
        facts = read_facts(files)
        settle_growth(path, files, facts)
        committed = committed_blocks(files)
        wanted = {(owner, b) for owner, lay in facts.layouts.items() for b in range(lay.num_blocks)}
        # The store may have grown between the two, and its last block may be on the way.
        if committed != wanted and read_facts(files).self_checksum != facts.self_checksum:
            continue
        check_names(path, facts, committed)
        return facts, committed


class Store:
    """A store as it was when it was opened; blocks committed later do not appear.

    len(store) is the number of rows of all specs once finished. A store can be sent to other
    processes, which open it again, and used from several threads.

    Attributes:
        path: absolute location, which means the same in every process and working folder.
    """

    def __init__(self, path: Location) -> None:
        self.path = make_absolute(path)
        self._files = open_files(path)
        self._facts, self._committed = _read_listing(self._files, self.path)
        self._readers: dict[str, RowReader] = {}
        for spec_id in self.specs:
            shards = spec_shards(self.path, self._facts, spec_id)
            # mapped files: each chunk is checked once, and the memory is the page cache's
            source = open_direct(self._files, shards)
            self._readers[spec_id] = RowReader(shards, source, self._files.max_maps)

    def __reduce__(self) -> tuple[type["Store"], tuple[str]]:
        return Store, (self.path,)

    def __len__(self) -> int:
        """Rows of the finished store, whether all are there yet or not."""
        return sum(layout.rows for layout in self.layouts.values())

    def __repr__(self) -> str:
        specs = []
        for spec_id, layout in self.layouts.items():
            there, planned = self.num_committed_rows(spec_id), layout.rows
            part = "" if there == planned else f"{there:,} of "
            specs.append(f"{spec_id}: {part}{planned:,} rows")
        return f"Store({self.path!r}, {', '.join(specs)})"

    def _repr_html_(self) -> str:
        """Origin and size from the metadata, and the first pictures, for notebooks."""
        facts = {
            "location": self.path,
            "source": self.source_name or "not recorded",
            "recipe": self.built_identity.get("recipe", "not recorded"),
            "made by": self.derivation.operation if self.derivation else "a fit",
        }
        for spec_id, layout in self.layouts.items():
            there = f"{self.num_committed_rows(spec_id):,} of {layout.rows:,} rows"
            facts[f"networks {spec_id}"] = f"{there}, {layout.views} an item"
        spec_id, spec = next(iter(self.specs.items()))
        where = (ds.field("spec_id") == spec_id) & usable_rows()
        first = next(self.scan_records(["row", "grid"], where), None)
        records = [] if first is None else first.slice(0, 10).to_pylist()
        params = self.read([record["row"] for record in records], spec_id)
        grids = [noted_grid(spec, record["grid"]) for record in records]
        return facts_html("INR store", facts, pictures_html(spec, params, grids))

    def num_committed_rows(self, spec_id: str) -> int:
        """Number of rows that were there at opening: len less what an unfinished build owes."""
        layout = self.layouts[spec_id]
        return sum(len(layout.block_rows(block)) for block in self.committed(spec_id))

    @property
    def specs(self) -> dict[str, InrSpec]:
        """Architectures, by spec_id."""
        return self._facts.specs

    @property
    def layouts(self) -> dict[str, Layout]:
        """Cut of each spec's rows into blocks, by spec_id."""
        return self._facts.layouts

    @property
    def identity(self) -> dict[str, Any]:
        """Settings that a run must match to resume the store."""
        return self._facts.identity

    @property
    def versions(self) -> tuple[StoreVersion, ...]:
        """The store's earlier versions, one for each `inrgen build --append`, the oldest first."""
        return self._facts.versions

    @property
    def about(self) -> dict[str, Any]:
        """Facts recorded at creation, such as the code's version."""
        recorded = self._facts.about.items()
        return {key: value for key, value in recorded if key not in (PARENT, TEMPLATE)}

    @property
    def parent_metadata(self) -> dict[str, Any] | None:
        """Path (from here), identity and about of a derived store's parent; otherwise None."""
        return self._facts.about.get(PARENT)

    @property
    def identities(self) -> list[dict[str, Any]]:
        """Identities of this store and of each ancestor, the first ancestor last.

        A derived store records them all, so no ancestor has to be at hand.
        """
        found, parent = [self.identity], self.parent_metadata
        while parent is not None:
            found, parent = [*found, parent["identity"]], parent["about"].get(PARENT)
        return found

    @property
    def built_identity(self) -> dict[str, Any]:
        """Identity of the first ancestor; the store's own if it was built."""
        return self.identities[-1]

    @property
    def source_name(self) -> str:
        """Name of the source that was fitted; "" if it is not recorded."""
        recorded = self.built_identity.get("source")
        return str(recorded.get("name", "")) if isinstance(recorded, dict) else ""

    @property
    def alignment_sha256(self) -> str:
        """Digest of the alignment that put hidden units in their order; "" if there was none.

        Rows of two stores with the same digest were aligned to the same template. A store that
        was aligned to the template of another one therefore has that one's digest.
        """
        steps = [read_derivation(identity) for identity in self.identities]
        last = next((step for step in steps if step and step.operation == "align"), None)
        if last is None:
            return ""
        shared = last.parameters.get("template", {}).get("alignment_sha256")
        if shared is not None:
            return shared
        return hashlib.sha256(json.dumps(last.identity, sort_keys=True).encode()).hexdigest()

    @property
    def learned_start(self) -> dict[str, Any] | None:
        """Digest and facts of the learned start that the fits began at; None for random starts."""
        recorded = self.built_identity.get("start")
        return recorded if isinstance(recorded, dict) else None

    @property
    def derivation(self) -> Derivation | None:
        """Operation that made this store from another one; None if it was built."""
        return self._facts.derivation

    @property
    def self_checksum(self) -> str:
        """Self-checksum of the root document, which tells this store from all others."""
        return self._facts.self_checksum

    @property
    def spec(self) -> InrSpec:
        """The only architecture. Raises ValueError if there are several."""
        return self.specs[self._facts.check_spec_id(None)]

    def committed(self, spec_id: str | None = None) -> list[int]:
        """Return the committed blocks of a spec, in order."""
        spec_id = self._facts.check_spec_id(spec_id)
        return sorted(block for owner, block in self._committed if owner == spec_id)

    @property
    def records(self) -> ds.FileSystemDataset:
        """Records of all committed blocks, one row each, as a lazy pyarrow data set.

        Reading a damaged page raises OSError. DamagedStore is raised here for a file with a column
        of another name, for a file of other blocks or of another store, and for a finished store
        that has lost records.
        """
        check_complete(self._files, self._facts, self._committed)
        records = ds.FileSystemDataset.from_paths(
            record_keys(self._files, self._committed),
            schema=records_schema(self._facts),
            format=records_format(),
            filesystem=self._files.arrow(),
        )
        for fragment in records.get_fragments():
            check_records(self.path, self._facts, fragment.path, fragment)
        return records

    def scan_records(
        self, columns: Sequence[str], where: ds.Expression | None = None
    ) -> Iterator[pa.Table]:
        """Yield some columns of the records that a condition selects, in the order of rows.

        Memory does not grow with the store. Raises DamagedStore as read_records does.
        """
        return self._scan(columns, where).tables()

    def records_tag(self) -> str:
        """Return a text that changes with the committed records; "" where that cannot be told.

        It is made from the files' names and times or tags, not from their content. Raises
        DamagedStore for a finished store that has lost records.
        """
        return self._scan((), None).tag()

    def _scan(self, columns: Sequence[str], where: ds.Expression | None) -> RecordScan:
        check_complete(self._files, self._facts, self._committed)
        return RecordScan(
            files=self._files,
            facts=self._facts,
            keys=record_keys(self._files, self._committed),
            columns=columns,
            where=where,
        )

    def read_records(self, columns: Sequence[str], where: ds.Expression | None = None) -> pa.Table:
        """Read some columns of the records that a condition selects, by default of all.

        Raises DamagedStore if records do not match their checksums, or are not those of the store.
        """
        schema = records_schema(self._facts)
        none = pa.schema([schema.field(name) for name in columns]).empty_table()
        return pa.concat_tables([none, *self.scan_records(columns, where)])

    def read(self, rows: Rows, spec_id: str | None = None) -> Params:
        """Read weights by row, in the order given, as float32 on the CPU; rows may repeat.

        Raises:
            ValueError: a row is not an integer, does not exist, or is not committed yet.
            DamagedStore: a shard is lost, is another block's, or has damaged rows among these.
        """
        spec_id = self._facts.check_spec_id(spec_id)
        layout = self.layouts[spec_id]
        wanted = np.asarray(rows).reshape(-1)
        # numpy would take a mask for rows 0 and 1, and cut off fractions
        if len(wanted) and wanted.dtype.kind not in "iu":
            hint = ", a mask; np.flatnonzero gives its rows" if wanted.dtype.kind == "b" else ""
            raise ValueError(f"rows must be whole numbers; got {wanted.dtype}{hint}")
        wanted = wanted.astype(np.int64)
        if len(wanted) and not 0 <= wanted.min() <= wanted.max() < layout.rows:
            raise ValueError(
                f"rows must be in 0..{layout.rows - 1}; got {wanted.min()}..{wanted.max()}"
            )
        for block in np.unique(wanted // layout.shard_rows).tolist():
            if (spec_id, block) not in self._committed:
                check_complete(self._files, self._facts, self._committed)
                span = layout.block_rows(block)
                raise ValueError(
                    f"rows {span.start}..{span.stop - 1} of {self.path} are not there yet: "
                    f"block {block} of {spec_id} is not committed"
                )
        flat = self._readers[spec_id].read(wanted)
        return Params.from_flat(self.specs[spec_id], torch.from_numpy(flat))

    def __getitem__(self, rows: int | slice | Rows) -> Params:
        """Weights by row: one, a slice, or a sequence of rows, of a store of one architecture."""
        length = self.layouts[self.spec.spec_id].rows
        if isinstance(rows, slice):
            rows = range(*rows.indices(length))
        elif isinstance(rows, int):
            if not -length <= rows < length:
                raise IndexError(f"there are {length} rows; got row {rows}")
            rows = [rows % length]
        return self.read(rows)

    def evaluate(
        self, rows: Rows, coords: Shaped[Tensor, "..."] | Shaped[np.ndarray, "..."]
    ) -> Float[Tensor, "b n d_out"]:
        """The values of some rows at n points, as float32 on the CPU.

        Args:
            coords: numbers of any type, (n, d_in) for all rows or (b, n, d_in).

        Raises ValueError for coords of another shape.
        """
        params, points = self.read(rows), torch.as_tensor(coords).to("cpu", torch.float32)
        b, d_in = len(params), self.spec.d_in
        is_right = points.ndim in (2, 3) and points.shape[-1] == d_in
        if not is_right or points.shape[:-2] not in ((), (b,)):
            raise ValueError(
                f"coords needs (n, {d_in}), or ({b}, n, {d_in}) for other points in each row; "
                f"got {tuple(points.shape)}"
            )
        return evaluate(self.spec, params, points)

    def images(
        self, rows: Rows, size: int | tuple[int, int] | None = None
    ) -> Float[Tensor, "b rows columns d_out"]:
        """Draw rows of a store of images, in [0, 1] where the fit is right; not clipped.

        Args:
            size: rows and columns, or one number for both; by default those of the originals.

        Raises ValueError for other signals, and for originals of several sizes without a size.
        """
        chosen = np.asarray(rows).reshape(-1)
        wanted = ds.field("row").isin(chosen.tolist())
        noted = self.read_records(["grid"], wanted)["grid"].to_pylist() if size is None else []
        return draw_images(self.spec, self.read(chosen), noted, size)

    def to_torch(self, split: str | None = None) -> tuple[Float[Tensor, "n p"], Int[Tensor, " n"]]:
        """Weights (n, P) and labels (n,) of all rows that hold weights, in memory.

        Args:
            split: train, val or test; None and "all" take every row.

        Raises ValueError for another split.
        """
        wanted = usable_rows() & (ds.field("spec_id") == self.spec.spec_id)
        if split not in (None, "all"):
            check_name(split, (*SPLITS, "all"), "split")
            wanted &= ds.field("split") == split
        table = self.read_records(["row", "label"], wanted).sort_by("row")
        rows, labels = (table[name].to_numpy().astype(np.int64) for name in ("row", "label"))
        return self.read(rows).flat(), torch.from_numpy(labels)

    def to_pandas(self) -> Any:
        """All records as a pandas DataFrame, a row for each INR.

        Raises ValueError where pandas is not installed.
        """
        try:
            return self.read_records(self.records.schema.names).to_pandas()
        except ImportError as error:
            raise ValueError("to_pandas needs pandas, which is not installed") from error

    def open_rows(
        self,
        spec_id: str | None = None,
        cache: ShardCache | None = None,
        max_open: int = 128,
        wanted: Bool[np.ndarray, "b c"] | None = None,
    ) -> RowReader:
        """Return a reader for loaders, which fetches and checks shards ahead of time.

        It can be sent to other processes.

        Args:
            cache: keeps the shards of a server, by default among the temporary files. A local
                store needs none.
            max_open: most shards that stay mapped.
            wanted: marks, for each block, the chunks that will be read. Of a shard on a server
                that needs few of them, no others are fetched. None wants all.
        """
        shards = spec_shards(self.path, self._facts, self._facts.check_spec_id(spec_id))
        return RowReader(shards, open_source(shards, cache, wanted), max_open)


def open_store(path: Location) -> Store:
    """Open a store for reading.

    Raises:
        FileNotFoundError: there is no store.
        DamagedStore: its root document was altered, or it has records of blocks beyond its own.
        ValueError: it is something else, or has a later format.
    """
    return Store(path)
