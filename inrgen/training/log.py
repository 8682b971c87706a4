"""Where a run's epochs are written as they come: CSV, JSON and TensorBoard."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from inrgen.training.checkpoint import write_whole
from inrgen.training.result import EpochLog

EPOCHS, BOARD = "epochs.csv", "tensorboard"


class RunLog:
    """epochs.csv holds one line an epoch, and tensorboard/ the same curves.

    Both are those of an uninterrupted run: the table is written anew each time, and curves from
    after the checkpoint that a run resumes at are purged.

    Args:
        done: the history of epochs that were done before.
    """

    def __init__(self, folder: Path, done: Sequence[EpochLog]) -> None:
        self._folder = folder
        self._board = SummaryWriter(str(folder / BOARD), purge_step=max(0, len(done) - 1) or None)
        if done:  # the last of them may have been cut off after its checkpoint and before its log
            self.write(done)

    def write(self, history: Sequence[EpochLog]) -> None:
        """Note the last epoch of a history."""
        table = io.StringIO()
        rows = csv.DictWriter(table, [field.name for field in fields(EpochLog)])
        rows.writeheader()
        for log in history:
            rows.writerow({k: "" if v != v else v for k, v in asdict(log).items()})
        text = table.getvalue()
        write_whole(self._folder / EPOCHS, lambda staged: staged.write_text(text))
        last = asdict(history[-1])
        for name in [
            name for name in last if "_loss" in name or "_accuracy" in name or name == "lr"
        ]:
            if math.isfinite(last[name]):
                self._board.add_scalar(name.replace("_", "/", 1), last[name], last["epoch"])
        self._board.flush()

    def close(self) -> None:
        """End the run's log."""
        self._board.close()
