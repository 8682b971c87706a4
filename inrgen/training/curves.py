"""Curves of a run for TensorBoard or Weights & Biases."""

import math
import uuid
from pathlib import Path
from typing import Any, Literal, Protocol

from inrgen.training.result import EpochLog

Logger = Literal["tensorboard", "wandb", "none"]
BOARD, _WANDB = "tensorboard", "wandb.json"


class Curves(Protocol):
    """A place that takes the metrics of each epoch."""

    def add(self, epoch: int, metrics: dict[str, float]) -> None:
        """Add the metrics of an epoch."""
        ...

    def close(self) -> None:
        """Write what is still in memory."""
        ...


def open_curves(logger: Logger, folder: Path, config: dict[str, Any], num_done: int) -> Curves:
    """Open the curves of a run, or go on with them after num_done epochs.

    Raises ValueError for wandb where it is not installed, or refuses to begin.
    """
    if logger == "wandb":
        return _WandbCurves(folder, config)
    return _TensorBoardCurves(folder, num_done) if logger == "tensorboard" else _NoCurves()


def epoch_metrics(log: EpochLog) -> dict[str, float]:
    """The finite metrics of an epoch, named by group, such as val/loss and train/accuracy."""
    values = log.to_dict()
    curves = [k for k in values if "_loss" in k or "_accuracy" in k or k == "lr"]
    # to_dict gives None for NaN, and neither board can draw infinity.
    return {
        name.replace("_", "/", 1): values[name]
        for name in curves
        if values[name] is not None and math.isfinite(values[name])
    }


class _NoCurves:
    def add(self, epoch: int, metrics: dict[str, float]) -> None:
        """Do nothing: epochs.csv has every metric."""

    def close(self) -> None:
        """Do nothing."""


class _TensorBoardCurves:
    def __init__(self, folder: Path, num_done: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # Curves after the checkpoint belong to epochs that are trained again.
        self._board = SummaryWriter(str(folder / BOARD), purge_step=max(0, num_done - 1) or None)

    def add(self, epoch: int, metrics: dict[str, float]) -> None:
        for name, value in metrics.items():
            self._board.add_scalar(name, value, epoch)
        self._board.flush()

    def close(self) -> None:
        self._board.close()


class _WandbCurves:
    """Curves of Weights & Biases, which its own variables direct (WANDB_PROJECT, WANDB_MODE).

    wandb.json holds the run's id, so that a resumed run goes on with the same curves.
    """

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        try:
            import wandb
            from wandb.errors import Error as WandbError
        except ModuleNotFoundError as error:
            raise ValueError("logger wandb needs wandb: pip install 'inrgen[wandb]'") from error
        # The command line's help imports this file, and must not wait for torch.
        from inrgen.training.model_file import read_json, write_json

        path = folder / _WANDB
        if not path.exists():
            write_json(path, {"id": uuid.uuid4().hex[:8]})
        try:
            self._run = wandb.init(
                name=folder.absolute().name,
                dir=folder,
                id=read_json(path)["id"],
                resume="allow",
                config=config,
            )
        except WandbError as error:
            # such as no login, or no answer
            said = str(error).rstrip(".")
            raise ValueError(
                f"logger wandb failed: {said}; WANDB_MODE=offline needs no account"
            ) from error

    def add(self, epoch: int, metrics: dict[str, float]) -> None:
        self._run.log(metrics, step=epoch)

    def close(self) -> None:
        self._run.finish()
