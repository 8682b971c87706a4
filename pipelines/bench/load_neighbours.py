"""The same rows read by other people's loaders, from files that their own writers made.

Each serves weights and labels in shuffled batches from the local disk, set up as its documentation
has it. A loader that is not installed is left out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from jaxtyping import Float32

from pipelines.bench.load_ways import Material, Pass

# Rows a file: as many as a shard of our store has.
_FILE_ROWS = 4000


@dataclass(frozen=True, kw_only=True, slots=True)
class Neighbour:
    """Another loader: the package it is in, how it writes rows, and how it reads them.

    write is called once for all ways that share it; each way is a function of material and turn.
    """

    package: str
    write: Callable[[Material], None]
    ways: Mapping[str, Callable[[Material, int], Pass]]

    @property
    def is_there(self) -> bool:
        """Whether it is installed."""
        return find_spec(self.package) is not None


def _rows(material: Material) -> Float32[np.ndarray, "r p"]:
    shape = (material.rows, material.spec.num_params)
    return np.memmap(material.array, np.float32, "r", shape=shape)


def write_litdata(material: Material) -> None:
    """Chunks as litdata.optimize makes them, by the writer that it uses."""
    from litdata.streaming.writer import BinaryWriter

    folder = material.folder / "litdata"
    folder.mkdir()
    writer = BinaryWriter(str(folder), chunk_size=_FILE_ROWS)
    for row, weights in enumerate(_rows(material)):
        writer.add_item(row, {"weights": np.array(weights), "label": material.label(row)})
    writer.done()
    writer.merge()


def litdata_loader(material: Material, turn: int, num_workers: int = 0) -> Pass:
    """A later epoch of litdata's loader: chunks in random order, and the rows of each."""
    import litdata

    dataset = litdata.StreamingDataset(str(material.folder / "litdata"), shuffle=True, seed=turn)
    loader = litdata.StreamingDataLoader(
        dataset, batch_size=material.batch_size, num_workers=num_workers
    )

    def read() -> int:
        return sum(len(batch["weights"]) for batch in loader)

    read()
    return read


def write_webdataset(material: Material) -> None:
    """Tar files of an .npy and a class for each row."""
    import webdataset

    folder = material.folder / "webdataset"
    folder.mkdir()
    with webdataset.ShardWriter(f"{folder}/%05d.tar", maxcount=_FILE_ROWS, verbose=0) as writer:
        for row, weights in enumerate(_rows(material)):
            label = material.label(row)
            writer.write({"__key__": f"{row:09d}", "weights.npy": weights, "label.cls": label})


def webdataset_loader(material: Material, turn: int, num_workers: int = 0) -> Pass:
    """webdataset's loader: tars in random order, rows shuffled in a buffer of a tar's size."""
    import webdataset

    files = sorted(str(path) for path in (material.folder / "webdataset").glob("*.tar"))
    dataset = webdataset.WebDataset(files, shardshuffle=len(files), seed=turn, empty_check=False)
    samples = dataset.shuffle(_FILE_ROWS).decode().to_tuple("weights.npy", "label.cls")
    batches = samples.batched(material.batch_size)
    loader = webdataset.WebLoader(batches, batch_size=None, num_workers=num_workers)
    return lambda: sum(len(weights) for weights, _ in loader)


def neighbours() -> tuple[Neighbour, ...]:
    """Those there are, installed or not."""
    return (
        Neighbour(
            package="litdata",
            write=write_litdata,
            ways={
                "litdata": litdata_loader,
                "litdata, 2 workers": lambda material, turn: litdata_loader(material, turn, 2),
            },
        ),
        Neighbour(
            package="webdataset",
            write=write_webdataset,
            ways={
                "webdataset": webdataset_loader,
                "webdataset, 2 workers": lambda material, turn: webdataset_loader(
                    material, turn, 2
                ),
            },
        ),
    )
