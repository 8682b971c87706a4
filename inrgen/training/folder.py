"""Folder of a run: its identity, its checkpoint, its logs and its result."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch

from inrgen.core.atomic import write_whole
from inrgen.training.curves import Logger, epoch_metrics, open_curves
from inrgen.training.model_file import State, read_json, write_json
from inrgen.training.result import EpochLog, TrainResult

RUN, CHECKPOINT, RESULT = "run.json", "checkpoint.pt", "result.json"
EPOCHS = "epochs.csv"
_FORMAT = 1


def claim_folder(folder: Path, identity: dict[str, Any]) -> None:
    """Start a run in the folder, or continue the one that is there.

    Raises ValueError where it holds something else, or a run of another config, data or start.
    """
    path = folder / RUN
    # Through JSON, so that tuples compare equal to the lists that were read.
    wanted = {"inrgen_run": _FORMAT, **json.loads(json.dumps(identity))}
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        # Names with "_" are temporary files of a killed run.
        strangers = sorted(p.name for p in folder.iterdir() if not p.name.startswith("_"))
        if strangers:
            raise ValueError(f"out {folder} is not empty and holds no run, but {strangers[0]}")
        write_json(path, wanted)
        return
    there = read_json(path)
    differing = [
        f"{name} (there {there.get(name)!r}, here {wanted.get(name)!r})"
        for name in dict.fromkeys([*there, *wanted])
        if there.get(name) != wanted.get(name)
    ]
    if differing:
        raise ValueError(f"out {folder} holds another run, which differs in {', '.join(differing)}")


def read_result(folder: Path) -> TrainResult | None:
    """The result of a finished run; None before its end.

    Raises ValueError, naming the file, for a document of another form.
    """
    path = folder / RESULT
    if not path.exists():
        return None
    try:
        found = TrainResult.from_dict(read_json(path))
        # summed by the figure of the confusion, so a cell of another type shows here
        _ = sum(map(sum, found.confusion))
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not the result of a run: {error}") from error
    return found


def write_result(folder: Path, result: TrainResult) -> None:
    """Write the result, which ends the run, and remove its checkpoint."""
    write_json(folder / RESULT, result.to_dict())
    (folder / CHECKPOINT).unlink(missing_ok=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """Everything that the remaining epochs of a run depend on. Fields are keys of the file.

    Attributes:
        module, optimiser: their states.
        best: the classifier's state at the best epoch so far; {} before it.
        history: the log of each epoch, as plain values.
    """

    module: State
    optimiser: dict[str, Any]
    best: State
    best_epoch: int
    history: list[dict[str, Any]]


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Save a checkpoint over the last one."""
    values = {name: getattr(checkpoint, name) for name in Checkpoint.__slots__}
    write_whole(folder / CHECKPOINT, lambda staged: torch.save(values, staged))


def load_checkpoint(folder: Path, device: torch.device) -> Checkpoint | None:
    """The run's checkpoint, or None before the first. Raises ValueError for a damaged one."""
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        # weights_only refuses pickles that could run code.
        values = torch.load(path, map_location=device, weights_only=True)
        return Checkpoint(**values)
    except Exception as error:  # torch raises many kinds for a truncated or altered file
        raise ValueError(
            f"{path} is damaged ({type(error).__name__}); remove it to train from the start"
        ) from error


def count_epochs(folder: Path) -> int:
    """Number of epochs in a run's checkpoint."""
    found = load_checkpoint(folder, torch.device("cpu"))
    return 0 if found is None else len(found.history)


class RunLog:
    """Logs epochs to epochs.csv, one line each, and the same curves to a board.

    A resumed run leaves the logs of an uninterrupted one: the table is rewritten each time, and
    curves after the checkpoint are purged.

    Args:
        done: the history of epochs that were done before.
        logger: the board.
    """

    def __init__(
        self, folder: Path, done: Sequence[EpochLog], logger: Logger = "tensorboard"
    ) -> None:
        self._folder = folder
        self._curves = open_curves(logger, folder, read_json(folder / RUN), len(done))
        if done:
            # The run may have been killed between its last checkpoint and the log of that epoch.
            self.write(done)

    def write(self, history: Sequence[EpochLog]) -> None:
        """Log the last epoch of a history."""
        table = io.StringIO()
        rows = csv.DictWriter(table, [field.name for field in fields(EpochLog)])
        rows.writeheader()
        for log in history:
            rows.writerow({k: "" if v != v else v for k, v in asdict(log).items()})
        text = table.getvalue()
        write_whole(self._folder / EPOCHS, lambda staged: staged.write_text(text))
        self._curves.add(history[-1].epoch, epoch_metrics(history[-1]))

    def close(self) -> None:
        """Close the curves."""
        self._curves.close()
