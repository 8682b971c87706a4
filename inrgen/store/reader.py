"""Open a store and read it: rows of weights, and their records."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import torch
from jaxtyping import Bool, Float32, Int, UInt8
from torch import Tensor

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.store.derivation import PARENT, TEMPLATE, Derivation
from inrgen.store.errors import DamagedStore, ServerFailed
from inrgen.store.files.location import Location, absolute
from inrgen.store.files.protocol import open_files
from inrgen.store.index import committed_blocks, record_keys
from inrgen.store.layout import RECORDS, Layout, shard_key
from inrgen.store.metadata import read_facts
from inrgen.store.records import DERIVED_SCHEMA, FIT_SCHEMA
from inrgen.store.shard import ShardShape, gather, good_chunks, shard_shape
from inrgen.store.shard_file import bad_chunk, map_shard

Rows = Sequence[int] | range | Int[np.ndarray, " r"] | Int[Tensor, " r"]


@dataclass(frozen=True, kw_only=True, slots=True)
class _OpenShard:
    """A mapped shard. checked marks the chunks whose checksums were seen to be right."""

    shape: ShardShape
    data: UInt8[np.ndarray, " n"]
    checked: Bool[np.ndarray, " c"]


class Store:
    """A store as it was when it was opened: blocks committed later are not seen.

    Reading checks each chunk once and maps it from then on, so memory is the page cache's. A store
    can be sent to other processes, which open it anew, and used from several threads.
    """

    def __init__(self, path: Location) -> None:
        # the same store from wherever this process, or the one that it is sent to, stands later
        self.path = absolute(path)
        self._files = open_files(path)
        self._facts = read_facts(self._files, path)
        self._committed = committed_blocks(self._files)
        self._open_shard = lru_cache(maxsize=self._files.max_maps)(self._map_shard)

    def __reduce__(self) -> tuple[type["Store"], tuple[str]]:
        return Store, (self.path,)

    @property
    def specs(self) -> dict[str, InrSpec]:
        """The architectures, by spec_id."""
        return self._facts.specs

    @property
    def layouts(self) -> dict[str, Layout]:
        """How the rows of each spec's array are cut into blocks, by spec_id."""
        return self._facts.layouts

    @property
    def identity(self) -> dict[str, Any]:
        """What a run that resumes the store is held to."""
        return self._facts.identity

    @property
    def about(self) -> dict[str, Any]:
        """What was noted at creation, such as the code's version."""
        noted = self._facts.about.items()
        return {key: value for key, value in noted if key not in (PARENT, TEMPLATE)}

    @property
    def parent_metadata(self) -> dict[str, Any] | None:
        """What a derived store notes of its parent: path (from here), identity, about."""
        return self._facts.about.get(PARENT)

    @property
    def identities(self) -> list[dict[str, Any]]:
        """What decided its result and that of each ancestor, the first one's last.

        A derived store notes them, so no ancestor need be at hand.
        """
        found, noted = [self.identity], self.parent_metadata
        while noted is not None:
            found, noted = [*found, noted["identity"]], noted["about"].get(PARENT)
        return found

    @property
    def built_identity(self) -> dict[str, Any]:
        """What decided the result of the first ancestor; its own identity where it has none."""
        return self.identities[-1]

    @property
    def source_name(self) -> str:
        """The source that it, or its first ancestor, was fitted to; "" where that is not noted."""
        noted = self.built_identity.get("source")
        return str(noted.get("name", "")) if isinstance(noted, dict) else ""

    @property
    def derivation(self) -> Derivation | None:
        """What made this store of another one; None where it was not derived."""
        return self._facts.derivation

    @property
    def seal(self) -> str:
        """The digest of the root document, which tells this store from all others."""
        return self._facts.seal

    @property
    def spec(self) -> InrSpec:
        """The only architecture. Raises ValueError where there are several."""
        return self.specs[self._spec_id(None)]

    def _spec_id(self, spec_id: str | None) -> str:
        if spec_id is None and len(self.specs) == 1:
            return next(iter(self.specs))
        if spec_id not in self.specs:
            raise ValueError(f"spec_id must be one of {sorted(self.specs)}; got {spec_id!r}")
        return spec_id

    def committed(self, spec_id: str | None = None) -> list[int]:
        """The blocks of a spec that are there, in order."""
        spec_id = self._spec_id(spec_id)
        return sorted(block for of, block in self._committed if of == spec_id)

    @property
    def records(self) -> ds.FileSystemDataset:
        """The records of all committed blocks, one row each; none is read until it is asked for.

        Reading checks the checksum of every page, which pyarrow by itself leaves out: a flipped bit
        would else give wrong labels without a word. A damaged page raises OSError. A column's name
        stands outside of pages, and where it breaks pyarrow would read nulls; so the columns of
        every file are looked at here.

        Raises DamagedStore for a file with a column of another name.
        """
        schema = FIT_SCHEMA if self.derivation is None else DERIVED_SCHEMA
        checked = ds.ParquetFragmentScanOptions(page_checksum_verification=True)
        records = ds.FileSystemDataset.from_paths(
            record_keys(self._files, self._committed),
            schema=schema,
            format=ds.ParquetFileFormat(default_fragment_scan_options=checked),
            filesystem=self._files.arrow(),
        )
        for fragment in records.get_fragments():
            foreign = set(fragment.physical_schema.names) - set(schema.names)
            if foreign:
                raise DamagedStore(
                    f"{self.path} is damaged: {fragment.path} has a column {min(foreign)!r}",
                    key=fragment.path,
                )
        return records

    def read_records(self, columns: Sequence[str], where: ds.Expression | None = None) -> pa.Table:
        """Some columns of the records that where selects, by default of all.

        Raises DamagedStore where records do not match their checksums.
        """
        try:
            return self.records.to_table(columns=list(columns), filter=where)
        except ServerFailed:
            raise
        except (OSError, pa.ArrowException) as error:
            raise DamagedStore(
                f"{self.path} is damaged: records cannot be read ({error}); `inrgen verify` says "
                "which",
                key=RECORDS,
            ) from error

    def read(self, rows: Rows, spec_id: str | None = None) -> Params:
        """Weights by row, in the order asked for, float32 on the CPU; rows may repeat.

        Raises:
            ValueError: a row is no whole number, does not exist, or its block is not committed yet.
            DamagedStore: a shard is lost, or a chunk does not match its checksum.
        """
        spec_id = self._spec_id(spec_id)
        spec, layout = self.specs[spec_id], self.layouts[spec_id]
        wanted = np.asarray(rows).reshape(-1)
        # a mask or fractions would else be taken for rows 0 and 1, or be cut off
        if len(wanted) and wanted.dtype.kind not in "iu":
            raise ValueError(f"rows must be whole numbers; got {wanted.dtype}")
        wanted = wanted.astype(np.int64)
        if len(wanted) and not 0 <= wanted.min() <= wanted.max() < layout.rows:
            raise ValueError(
                f"rows must be in 0..{layout.rows - 1}; got {wanted.min()}..{wanted.max()}"
            )
        blocks = wanted // layout.shard_rows
        present = np.unique(blocks).tolist()
        if len(present) == 1:
            gathered = self._gather(spec_id, present[0], wanted)
            return Params.from_flat(spec, torch.from_numpy(gathered))
        flat = np.empty((len(wanted), spec.num_params), dtype=np.float32)
        for block in present:
            at = np.flatnonzero(blocks == block)
            flat[at] = self._gather(spec_id, block, wanted[at])
        return Params.from_flat(spec, torch.from_numpy(flat))

    def _gather(
        self, spec_id: str, block: int, rows: Int[np.ndarray, " r"]
    ) -> Float32[np.ndarray, "r p"]:
        """Rows of one block, once the chunks that hold them have been checked."""
        shard = self._open_shard(spec_id, block)
        first = self.layouts[spec_id].block_rows(block).start
        rows = rows - first
        chunks = np.unique(rows // shard.shape.chunk_rows)
        unchecked = chunks[~shard.checked[chunks]]
        shard.checked[unchecked] = good_chunks(shard.shape, shard.data, unchecked)
        bad = chunks[~shard.checked[chunks]]
        if len(bad):
            key = shard_key(spec_id, block)
            raise bad_chunk(self.path, key, shard.shape, int(bad[0]), first)
        return gather(shard.shape, shard.data, rows)

    def _map_shard(self, spec_id: str, block: int) -> _OpenShard:
        layout = self.layouts[spec_id]
        if (spec_id, block) not in self._committed:
            span = layout.block_rows(block)
            raise ValueError(
                f"rows {span.start}..{span.stop - 1} of {self.path} are not there yet: "
                f"block {block} of {spec_id} is not committed"
            )
        shape = shard_shape(layout, self.specs[spec_id].num_params, block)
        data = map_shard(self._files, self.path, shard_key(spec_id, block), shape)
        return _OpenShard(shape=shape, data=data, checked=np.zeros(shape.num_chunks, dtype=bool))


def open_store(path: Location) -> Store:
    """Open a store for reading.

    Raises:
        FileNotFoundError: there is no store.
        DamagedStore: its root document was altered.
        ValueError: it is something else, or of a later format.
    """
    return Store(path)
