"""Train a network on the INRs of a store."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from torch import distributed

from inrgen.core.arguments import LocalPath, OptionalLocalPath, StoreArgument
from inrgen.executors.progress import show_progress
from inrgen.figures.style import save_figure
from inrgen.figures.training import confusion_figure, loss_figure
from inrgen.training.checkpoint import epochs_done
from inrgen.training.config import TrainConfig
from inrgen.training.data import TrainData
from inrgen.training.device import choose_device
from inrgen.training.loop import train as train_network
from inrgen.training.result import EpochLog, TrainResult


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainCommand:
    """Train a network that reads weights, on the INRs of a store, and test its best epoch.

    Run again it goes on after the last whole epoch. On several GPUs: torchrun --nproc-per-node N
    --local-ranks-filter 0 --no-python inrgen train ...

    Attributes:
        store: the store to learn from.
        out: the run's folder: model, epochs.csv, result.json, TensorBoard and figures.
        val: the store of validation rows; by default the same.
        test: the store of test rows; by default the same.
        init: a finished run whose features to start from, as after contrastive training.
        device: cpu or cuda; auto takes a GPU where there is one.
        threads: threads of this process on the CPU; by default torch's own choice.
        training: how the network is trained.
    """

    store: tyro.conf.Positional[StoreArgument]
    out: LocalPath
    val: StoreArgument | None = None
    test: StoreArgument | None = None
    init: OptionalLocalPath = None
    device: str = "auto"
    threads: int | None = None
    training: Annotated[TrainConfig, tyro.conf.arg(name="")] = field(default_factory=TrainConfig)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainSummary:
    """The run's result, and where it is kept."""

    out: Path
    result: TrainResult
    figures: tuple[Path, ...]

    @property
    def failed(self) -> bool:
        return self.result.status != "ok"

    def text(self) -> str:
        """What came of it, in a few lines."""
        result = self.result
        lines = [f"stopped: {result.reason}"] if self.failed else []
        done = f"{len(result.history)} epochs of {result.train_rows:,} rows, {result.seconds:.0f} s"
        lines.append(f"{self.out}: {result.num_params:,} parameters, {done}")
        if result.best_epoch >= 0:
            lines.append(_best(result))
        if result.labels:
            most = max(map(result.labels.count, set(result.labels))) / len(result.labels)
            lines.append(
                f"test accuracy {100 * result.test_accuracy:.2f} % of {len(result.labels):,} INRs; "
                f"always the commonest class: {100 * most:.2f} %"
            )
        return "\n".join([*lines, *(f"figure: {path}" for path in self.figures)])

    def document(self) -> dict[str, Any]:
        """The same as plain values."""
        return {"out": self.out, "figures": list(self.figures), **self.result.to_dict()}


def _best(result: TrainResult) -> str:
    log = result.history[result.best_epoch]
    if log.val_accuracy != log.val_accuracy:
        return (
            f"kept the last epoch: {100 * log.train_accuracy:.2f} % of pairs found, "
            f"loss {log.train_loss:.4f}"
        )
    return f"best epoch {log.epoch + 1}: validation accuracy {100 * log.val_accuracy:.2f} %"


@contextmanager
def _processes(device: str) -> Iterator[None]:
    """Be one of the processes that torchrun started, if it did."""
    if not distributed.is_torchelastic_launched() or distributed.is_initialized():
        yield
        return
    on_gpus = device != "cpu" and torch.cuda.is_available()
    distributed.init_process_group("nccl" if on_gpus else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def draw_run(result: TrainResult, out: Path) -> tuple[Path, ...]:
    """Write the run's curves and, where something was tested, its confusion matrix."""
    losses = {
        split: [getattr(log, f"{split}_loss") for log in result.history]
        for split in ("train", "val", "test")
    }
    heading = "Loss over epochs; training rows as they were changed and mixed"
    paths = [save_figure(loss_figure(losses, result.best_epoch, heading), out / "losses.png")]
    if result.confusion:
        heading = f"Test rows, {100 * result.test_accuracy:.1f} % right"
        picture = confusion_figure(result.confusion, result.classes, heading)
        paths.append(save_figure(picture, out / "confusion.png"))
    return tuple(paths)


def train(command: TrainCommand) -> TrainSummary:
    """Train, test, draw. Raises ValueError for what does not fit together."""
    config = command.training
    if command.threads is not None:
        if command.threads < 1:
            raise ValueError(f"threads must be at least 1; got {command.threads}")
        torch.set_num_threads(command.threads)
    data = TrainData(
        train=command.store, val=command.val or command.store, test=command.test or command.store
    )
    before = epochs_done(command.out)
    with (
        _processes(command.device),
        show_progress("train", config.epochs, before, "epochs") as progress,
    ):

        def advance(done: EpochLog) -> None:
            if done.epoch >= before:
                progress.advance(1)

        device = choose_device(command.device)
        result = train_network(config, data, command.out, device, command.init, advance)
        first = not distributed.is_initialized() or distributed.get_rank() == 0
    figures = draw_run(result, command.out) if first else ()
    return TrainSummary(out=command.out, result=result, figures=figures)
