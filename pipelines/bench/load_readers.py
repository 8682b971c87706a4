"""Readers of the same rows of weights: each opens the data and returns a pass over it.

Only the pass is timed. turn names the randomness of its order.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import torch
import zarr  # noqa: TID251 - the loader is measured against it
from jaxtyping import Float32

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.loaders.stream import StreamLoader
from inrgen.store import open_shard
from inrgen.store.create import create_store
from inrgen.store.files.opening import open_files
from inrgen.store.layout import Layout
from inrgen.store.metadata import read_facts
from inrgen.store.open_shard import SpecShards, spec_shards
from inrgen.store.reader import open_store
from inrgen.store.records import FitRecord
from inrgen.store.shard_sources import find_matches
from inrgen.store.writer import StoreWriter, stage_block
from inrgen.transforms.mix import MixUp

# Reads every row once and returns their number.
Reader = Callable[[], int]


@dataclass(frozen=True, kw_only=True, slots=True)
class RowFiles:
    """The same rows in every form that is read: a store, one array in a file, one file per row.

    Attributes:
        folder: the folder of all forms.
        spec: architecture of the INRs.
        rows: number of rows.
        num_files: rows that also have one file each.
        batch_size: rows per batch.
        views: rows of each item, which share its label.
    """

    folder: Path
    spec: InrSpec
    rows: int
    num_files: int
    batch_size: int
    views: int = 10

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def array(self) -> Path:
        return self.folder / "rows.f32"

    def file(self, row: int) -> Path:
        return self.folder / "files" / f"{row}.pt"

    def label(self, row: int) -> int:
        return row // self.views % 10


def _record(files: RowFiles, row: int) -> FitRecord:
    item, view = divmod(row, files.views)
    return FitRecord(
        item_id=f"train/{item:05d}",
        view=view,
        row=row,
        spec_id=files.spec.spec_id,
        split="train",
        label=files.label(row),
        label_name="",
        source_sha256="",
        seed=0,
        engine="none",
        num_steps=0,
        final_loss=0.0,
        psnr_db=0.0,
        iou=0.0,
        status="ok",
        reason="",
        duration_s=0.0,
        grid=(),
    )


def write_rows(files: RowFiles) -> None:
    """Write random weights in every form; reading speed does not depend on their values."""
    spec, layout = files.spec, Layout(rows=files.rows, views=files.views)
    create_store(files.store, [(spec, layout)], {"bench": "load"}, {})
    with StoreWriter(files.store) as writer, files.array.open("wb") as array:
        for block in writer.pending(spec.spec_id):
            rows = layout.block_rows(block)
            numbers = np.random.default_rng(block)
            flat = numbers.standard_normal((len(rows), spec.num_params), dtype=np.float32)
            records = [_record(files, row) for row in rows]
            writer.commit(stage_block(files.store, spec.spec_id, block, flat, records))
            array.write(flat.tobytes())
    # Only some rows, because a file per INR is slow to write, too.
    files.file(0).parent.mkdir()
    params = open_store(files.store).read(range(files.num_files))
    for row in range(files.num_files):
        torch.save(_state_dict(params[row : row + 1]), files.file(row))


def _state_dict(params: Params) -> dict[str, torch.Tensor]:
    """State dict of one INR, as people save it, with tensors that share no memory."""
    named = {}
    for layer, (weight, bias) in enumerate(zip(params.weights, params.biases, strict=True)):
        # torch.save writes the whole storage behind a view, here the whole batch.
        named[f"layers.{layer}.weight"] = weight[0].clone()
        named[f"layers.{layer}.bias"] = bias[0].clone()
    return named


def _batches(rows: int, batch_size: int, epoch: int) -> Iterator[np.ndarray]:
    order = np.random.default_rng(epoch).permutation(rows)
    for start in range(0, rows, batch_size):
        yield order[start : start + batch_size]


def inrgen_first(files: RowFiles, turn: int) -> Reader:
    """Read the first epoch of a loader, which checks every shard."""
    # the process forgets what earlier turns checked
    find_matches.cache_clear()
    loader = StreamLoader(files.store, batch_size=files.batch_size, seed=turn)
    return lambda: sum(len(batch) for batch in loader)


def inrgen_unbound(files: RowFiles, turn: int) -> Reader:
    """Read a first epoch that believes each chunk's own CRC32C, whatever shard it is of."""
    read, opened = inrgen_first(files, turn), open_files(str(files.store))
    shards = spec_shards(opened.location, read_facts(opened), files.spec.spec_id)
    facts = {at: shards.read_facts(opened, at) for at in range(shards.layout.num_blocks)}

    def read_unbound() -> int:
        known = mock.patch.object(SpecShards, "read_facts", lambda _self, _files, at: facts[at])
        named = mock.patch.object(open_shard, "is_named", return_value=True)
        with known, named:
            return read()

    return read_unbound


def inrgen_again(files: RowFiles, turn: int) -> Reader:
    """Read a later epoch, after the first has checked the shards."""
    read = inrgen_first(files, turn)
    read()
    return read


def inrgen_mixing(files: RowFiles, turn: int) -> Reader:
    """Read a later epoch that mixes each sample with another, aligned to it with signs."""
    mixup = MixUp()
    loader = StreamLoader(files.store, batch_size=files.batch_size, seed=turn, mixup=mixup)

    def read() -> int:
        return sum(len(batch) for batch in loader)

    read()
    return read


def zarr_shards(files: RowFiles, turn: int) -> Reader:
    """Read with zarr alone, whole shards in random order, nothing shuffled within."""
    array = zarr.open_group(files.store, mode="r")[f"{files.spec.spec_id}/params"]
    assert isinstance(array, zarr.Array), "params is an array"
    shards = array.shards
    assert shards is not None, "arrays of a store are sharded"
    step = shards[0]

    def read() -> int:
        starts = range(0, array.shape[0], step)
        order = np.random.default_rng(turn).permutation(len(starts))
        return sum(len(np.asarray(array[starts[k] : starts[k] + step])) for k in order)

    return read


def mapped_gather(files: RowFiles, turn: int) -> Reader:
    """Gather random rows of one plain file mapped into memory, without a store."""
    shape = (files.rows, files.spec.num_params)
    mapped: Float32[np.ndarray, "r p"] = np.memmap(files.array, np.float32, "r", shape=shape)

    def read() -> int:
        batches = _batches(files.rows, files.batch_size, turn)
        return sum(len(torch.from_numpy(np.take(mapped, rows, axis=0))) for rows in batches)

    return read


def file_each(files: RowFiles, turn: int) -> Reader:
    """Load one torch file per INR and stack a batch, as weight-space code bases do."""

    def read() -> int:
        total = 0
        for rows in _batches(files.num_files, files.batch_size, turn):
            loaded = [torch.load(files.file(row), weights_only=True) for row in rows.tolist()]
            batch = {name: torch.stack([one[name] for one in loaded]) for name in loaded[0]}
            total += len(next(iter(batch.values())))
        return total

    return read


READERS: dict[str, Callable[[RowFiles, int], Reader]] = {
    "inrgen, first epoch": inrgen_first,
    "first epoch, unbound": inrgen_unbound,
    "inrgen": inrgen_again,
    "inrgen, signed mixup": inrgen_mixing,
    "zarr, whole shards": zarr_shards,
    "mapped gather": mapped_gather,
    "a file each": file_each,
}
