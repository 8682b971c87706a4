"""Ways to read the same rows of weights: each opens the data, then makes one pass over it.

Only the pass is timed. It returns how many rows it read; turn names the randomness of its order.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import zarr  # noqa: TID251 - what the loader is measured against
from jaxtyping import Float32

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.loaders.stream import StreamLoader
from inrgen.store.create import create_store
from inrgen.store.layout import Layout
from inrgen.store.reader import open_store
from inrgen.store.records import FitRecord
from inrgen.store.writer import StoreWriter, stage_block
from inrgen.transforms.mix import MixUp

# a pass over the data: how many rows it read
Pass = Callable[[], int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Material:
    """The same rows in all the forms that are read: a store, one array in a file, and files.

    num_files: how many of the rows lie in a file of their own.
    views: rows of each item, which have its label.
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


def _record(material: Material, row: int) -> FitRecord:
    item, view = divmod(row, material.views)
    return FitRecord(
        item_id=f"train/{item:05d}",
        view=view,
        row=row,
        spec_id=material.spec.spec_id,
        split="train",
        label=material.label(row),
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


def prepare(material: Material) -> None:
    """Write made-up weights in all forms; what they are has no part in how fast they are read."""
    spec, layout = material.spec, Layout(rows=material.rows, views=material.views)
    create_store(material.store, [(spec, layout)], {"bench": "load"}, {})
    with StoreWriter(material.store) as writer, material.array.open("wb") as array:
        for block in writer.pending(spec.spec_id):
            rows = layout.block_rows(block)
            numbers = np.random.default_rng(block)
            flat = numbers.standard_normal((len(rows), spec.num_params), dtype=np.float32)
            records = [_record(material, row) for row in rows]
            writer.commit(stage_block(material.store, spec.spec_id, block, flat, records))
            array.write(flat.tobytes())
    material.file(0).parent.mkdir()
    params = open_store(material.store).read(range(material.num_files))
    for row in range(material.num_files):
        torch.save(_state_dict(params[row : row + 1]), material.file(row))


def _state_dict(params: Params) -> dict[str, torch.Tensor]:
    """One INR as people save it: a state dict of its layers, each tensor in memory of its own."""
    named = {}
    for layer, (weight, bias) in enumerate(zip(params.weights, params.biases, strict=True)):
        named[f"layers.{layer}.weight"] = weight[0].clone()
        named[f"layers.{layer}.bias"] = bias[0].clone()
    return named


def _batches(rows: int, batch_size: int, epoch: int) -> Iterator[np.ndarray]:
    order = np.random.default_rng(epoch).permutation(rows)
    for start in range(0, rows, batch_size):
        yield order[start : start + batch_size]


def inrgen_first(material: Material, turn: int) -> Pass:
    """The first epoch of a loader: it checks every shard."""
    loader = StreamLoader(material.store, batch_size=material.batch_size, seed=turn)
    return lambda: sum(len(batch) for batch in loader)


def inrgen_again(material: Material, turn: int) -> Pass:
    """A later epoch: the shards were checked in the first."""
    read = inrgen_first(material, turn)
    read()
    return read


def inrgen_mixing(material: Material, turn: int) -> Pass:
    """A later epoch in which each sample is mixed with another, aligned to it with signs."""
    mixup = MixUp()
    loader = StreamLoader(material.store, batch_size=material.batch_size, seed=turn, mixup=mixup)

    def read() -> int:
        return sum(len(batch) for batch in loader)

    read()
    return read


def zarr_shards(material: Material, turn: int) -> Pass:
    """zarr alone, whole shards in random order, nothing shuffled within."""
    array = zarr.open_group(material.store, mode="r")[f"{material.spec.spec_id}/params"]
    assert isinstance(array, zarr.Array), "a spec's weights are one array"
    shards = array.shards
    assert shards is not None, "arrays of a store are sharded"
    step = shards[0]

    def read() -> int:
        starts = range(0, array.shape[0], step)
        order = np.random.default_rng(turn).permutation(len(starts))
        return sum(len(np.asarray(array[starts[k] : starts[k] + step])) for k in order)

    return read


def mapped_gather(material: Material, turn: int) -> Pass:
    """One plain file mapped into memory, batches of random rows of all of it: no store at all."""
    shape = (material.rows, material.spec.num_params)
    mapped: Float32[np.ndarray, "r p"] = np.memmap(material.array, np.float32, "r", shape=shape)

    def read() -> int:
        batches = _batches(material.rows, material.batch_size, turn)
        return sum(len(torch.from_numpy(np.take(mapped, rows, axis=0))) for rows in batches)

    return read


def file_each(material: Material, turn: int) -> Pass:
    """A file an INR, as weight-space code bases do: torch.load each, then stack a batch."""

    def read() -> int:
        total = 0
        for rows in _batches(material.num_files, material.batch_size, turn):
            loaded = [torch.load(material.file(row), weights_only=True) for row in rows.tolist()]
            batch = {name: torch.stack([one[name] for one in loaded]) for name in loaded[0]}
            total += len(next(iter(batch.values())))
        return total

    return read


WAYS: dict[str, Callable[[Material, int], Pass]] = {
    "inrgen, first epoch": inrgen_first,
    "inrgen": inrgen_again,
    "inrgen, signed mixup": inrgen_mixing,
    "zarr, whole shards": zarr_shards,
    "mapped gather": mapped_gather,
    "a file each": file_each,
}
