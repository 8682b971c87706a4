"""Other people's loaders on the same rows, from files that their own writers make.

Each serves weights and labels in shuffled batches from the local disk, set up as its documentation
says. A loader that is not installed is left out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from jaxtyping import Float32

from pipelines.bench.load_readers import Reader, RowFiles

# Rows per file, as in a shard of our store.
_FILE_ROWS = 4000


@dataclass(frozen=True, kw_only=True, slots=True)
class OtherLoader:
    """A loader of another package.

    Attributes:
        package: the package that must be installed.
        write: writes the rows once for all readers.
        readers: readers by name, each made from the files and the turn.
    """

    package: str
    write: Callable[[RowFiles], None]
    readers: Mapping[str, Callable[[RowFiles, int], Reader]]

    @property
    def is_installed(self) -> bool:
        """True where the package can be imported."""
        return find_spec(self.package) is not None


def _rows(files: RowFiles) -> Float32[np.ndarray, "r p"]:
    shape = (files.rows, files.spec.num_params)
    return np.memmap(files.array, np.float32, "r", shape=shape)


def write_litdata(files: RowFiles) -> None:
    """Write chunks as litdata.optimize does, with the writer that it uses."""
    from litdata.streaming.writer import BinaryWriter

    folder = files.folder / "litdata"
    folder.mkdir()
    writer = BinaryWriter(str(folder), chunk_size=_FILE_ROWS)
    for row, weights in enumerate(_rows(files)):
        writer.add_item(row, {"weights": np.array(weights), "label": files.label(row)})
    writer.done()
    writer.merge()


def litdata_loader(files: RowFiles, turn: int, num_workers: int = 0) -> Reader:
    """Read a later epoch of litdata: chunks in random order, and the rows of each."""
    import litdata

    dataset = litdata.StreamingDataset(str(files.folder / "litdata"), shuffle=True, seed=turn)
    loader = litdata.StreamingDataLoader(
        dataset, batch_size=files.batch_size, num_workers=num_workers
    )

    def read() -> int:
        return sum(len(batch["weights"]) for batch in loader)

    read()
    return read


def write_webdataset(files: RowFiles) -> None:
    """Write tar files with an .npy and a class for each row."""
    import webdataset

    folder = files.folder / "webdataset"
    folder.mkdir()
    with webdataset.ShardWriter(f"{folder}/%05d.tar", maxcount=_FILE_ROWS, verbose=0) as writer:
        for row, weights in enumerate(_rows(files)):
            label = files.label(row)
            writer.write({"__key__": f"{row:09d}", "weights.npy": weights, "label.cls": label})


def webdataset_loader(files: RowFiles, turn: int, num_workers: int = 0) -> Reader:
    """Read with webdataset: tars in random order, rows shuffled in a buffer of a tar's size."""
    import webdataset

    tars = sorted(str(path) for path in (files.folder / "webdataset").glob("*.tar"))
    dataset = webdataset.WebDataset(tars, shardshuffle=len(tars), seed=turn, empty_check=False)
    samples = dataset.shuffle(_FILE_ROWS).decode().to_tuple("weights.npy", "label.cls")
    batches = samples.batched(files.batch_size)
    loader = webdataset.WebLoader(batches, batch_size=None, num_workers=num_workers)
    return lambda: sum(len(weights) for weights, _ in loader)


def list_loaders() -> tuple[OtherLoader, ...]:
    """List the other loaders, installed or not."""
    return (
        OtherLoader(
            package="litdata",
            write=write_litdata,
            readers={
                "litdata": litdata_loader,
                "litdata, 2 workers": lambda files, turn: litdata_loader(files, turn, 2),
            },
        ),
        OtherLoader(
            package="webdataset",
            write=write_webdataset,
            readers={
                "webdataset": webdataset_loader,
                "webdataset, 2 workers": lambda files, turn: webdataset_loader(files, turn, 2),
            },
        ),
    )
