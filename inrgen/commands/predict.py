"""Classify the INRs of a store with a trained network."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from inrgen.core.arguments import LocalPath, StoreArgument
from inrgen.core.config import Split
from inrgen.core.own_code import import_own
from inrgen.core.summary import Summary


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictConfig:
    """Classify the INRs of a store with a trained network, and write a table of predictions.

    Attributes:
        run: the folder that train wrote.
        store: a store of the same networks.
        out: the table to write, .parquet or .csv; an existing one is replaced.
        split: train, val, test or all.
        device: cpu, cuda, cuda:N, or auto for a GPU if there is one.
        model: MODULE:CLASS of a run of your own network. Its code runs only if you name it here.
    """

    run: Annotated[tyro.conf.Positional[LocalPath], tyro.conf.arg(metavar="RUN")]
    store: tyro.conf.Positional[StoreArgument]
    out: LocalPath
    split: Annotated[Split | Literal["all"], tyro.conf.arg()] = "all"
    device: str = "auto"
    model: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictSummary(Summary):
    """The number of INRs classified, and the share that is right; None where labels differ.

    Attributes:
        note: a sentence if the store is aligned otherwise than the training rows; else "".
    """

    out: Path
    rows: int
    accuracy: float | None
    note: str

    def text(self) -> str:
        """The summary in two lines, and a note if rows are aligned otherwise than in training."""
        right = (
            "accuracy unknown, because they have no labels that the run learned"
            if self.accuracy is None
            else f"accuracy {100 * self.accuracy:.2f} %"
        )
        lines = [f"classified {self.rows:,} INRs: {right}", f"predictions: {self.out}"]
        return "\n".join([*lines, f"note: {self.note}"] if self.note else lines)


def predict(config: PredictConfig) -> PredictSummary:
    """Classify and write. Raises ValueError for a store of networks that the run cannot read."""
    from inrgen.exchange.table_file import check_table_path, write_table
    from inrgen.store.files.location import is_local_store
    from inrgen.store.reader import open_store
    from inrgen.training import run
    from inrgen.training.distributed import choose_device
    from inrgen.training.model_file import load_model

    check_table_path(config.out)
    if is_local_store(config.run):
        raise ValueError(f"RUN comes first, then STORE; got the store {config.run} as RUN")
    device = choose_device(config.device)
    if config.model:
        import_own(config.model, "model")
    model, store = load_model(config.run, device), open_store(config.store)
    found = run.predict(model, store, config.split, device)
    write_table(found.columns, config.out)
    return PredictSummary(
        out=config.out,
        rows=len(found.columns["row"]),
        accuracy=found.accuracy,
        note=found.note,
    )
