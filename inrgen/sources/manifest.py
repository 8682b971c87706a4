"""Slices of a listed source, from which other processes open a few items without a new listing.

A slice is an Arrow IPC stream: a row for each item, and the facts of the whole source as JSON. It
holds plain values alone, so reading one runs no code.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import pyarrow as pa
from jaxtyping import Int

from inrgen.sources.base import Item, SourceFacts
from inrgen.sources.folders import Parts

_FACTS = b"inrgen.facts"
# The place of an item's data: the path of a file, or a number within the source.
Places = Sequence[Parts] | Int[np.ndarray, " n"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceSlice:
    """Some items of a source, and where the data of each one lie.

    Attributes:
        facts: the whole source's, settled by whoever listed it; without its notes.
        items: the originals, where these are copies.
        places: in folders, each file's path in parts below the root; elsewhere each item's number
            in the source before any part of it is chosen.
        copies: number of each copy, 0 for an original; None in a source without copies.
        num_frames: number of frames in each film's folder; None in a source of no films.
    """

    facts: SourceFacts
    items: Sequence[Item]
    places: Places
    copies: Int[np.ndarray, " n"] | None = None
    num_frames: Int[np.ndarray, " n"] | None = None

    def encode(self) -> bytes:
        """The slice as bytes for decode_slice."""
        places: pa.Array
        if isinstance(self.places, np.ndarray):
            places = pa.array(self.places, pa.int64())
        else:
            # Names of files are bytes, which need not be UTF-8.
            places = pa.array([os.fsencode("/".join(p)) for p in self.places], pa.binary())
        columns = {
            "item_id": pa.array([item.item_id for item in self.items], pa.string()),
            "split": pa.array([item.split for item in self.items], pa.string()),
            "label": pa.array([item.label for item in self.items], pa.int64()),
            "label_name": pa.array([item.label_name for item in self.items], pa.string()),
            "place": places,
        }
        if self.copies is not None:
            columns["copy"] = pa.array(self.copies, pa.int32())
        if self.num_frames is not None:
            columns["num_frames"] = pa.array(self.num_frames, pa.int64())
        facts = json.dumps(asdict(replace(self.facts, notes=())))
        table = pa.table(columns).replace_schema_metadata({_FACTS: facts})
        out, options = pa.BufferOutputStream(), pa.ipc.IpcWriteOptions(compression="zstd")
        with pa.ipc.new_stream(out, table.schema, options=options) as writer:
            writer.write_table(table)
        return out.getvalue().to_pybytes()


def decode_slice(data: bytes) -> SourceSlice:
    """The slice that encode wrote."""
    with pa.ipc.open_stream(data) as reader:
        table = reader.read_all()
    places, facts = table["place"], json.loads(table.schema.metadata[_FACTS])
    by_number = pa.types.is_integer(places.type)
    names = ("item_id", "split", "label", "label_name")
    rows = zip(*(table[name].to_pylist() for name in names), strict=True)
    return SourceSlice(
        facts=SourceFacts(**facts | {"value_range": tuple(facts["value_range"]), "notes": ()}),
        items=[Item(**dict(zip(names, row, strict=True))) for row in rows],
        places=places.to_numpy()
        if by_number
        else [tuple(os.fsdecode(path).split("/")) for path in places.to_pylist()],
        copies=table["copy"].to_numpy() if "copy" in table.column_names else None,
        num_frames=table["num_frames"].to_numpy() if "num_frames" in table.column_names else None,
    )
