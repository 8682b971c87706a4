"""Classify the INRs of a store with a trained network."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from inrgen.core.arguments import LocalPath, StoreArgument
from inrgen.core.config import Split
from inrgen.exchange.table_file import check_table_path, write_table
from inrgen.store.reader import open_store
from inrgen.training.checkpoint import load_model
from inrgen.training.device import choose_device
from inrgen.training.predict import predict as predict_rows


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictConfig:
    """Classify the INRs of a store with a trained network, and write a table of the answers.

    Attributes:
        run: the folder that train wrote.
        store: a store of the same networks.
        out: the table to write, .parquet or .csv; one that is there is replaced.
        split: train, val, test or all.
        device: cpu or cuda; auto takes a GPU where there is one.
    """

    run: tyro.conf.Positional[LocalPath]
    store: tyro.conf.Positional[StoreArgument]
    out: LocalPath
    split: Annotated[Split | Literal["all"], tyro.conf.arg()] = "all"
    device: str = "auto"


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictSummary:
    """How many INRs were classified, and how many rightly, where that can be said."""

    out: Path
    rows: int
    accuracy: float | None

    @property
    def failed(self) -> bool:
        return False

    def text(self) -> str:
        """The same in a line or two."""
        right = (
            "they have no labels that the run learned, so none is right or wrong"
            if self.accuracy is None
            else f"{100 * self.accuracy:.2f} % of them as labelled"
        )
        return f"classified {self.rows:,} INRs: {right}\npredictions: {self.out}"

    def document(self) -> dict[str, Any]:
        """The same as plain values."""
        return asdict(self)


def predict(config: PredictConfig) -> PredictSummary:
    """Classify and write. Raises ValueError for a store of other networks, naming what differs."""
    check_table_path(config.out)
    device = choose_device(config.device)
    found = predict_rows(
        load_model(config.run, device), open_store(config.store), config.split, device
    )
    write_table(found.columns, config.out)
    return PredictSummary(out=config.out, rows=len(found.columns["row"]), accuracy=found.accuracy)
