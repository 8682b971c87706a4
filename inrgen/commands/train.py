"""Train a network on the INRs of a store."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import tyro

from inrgen.core.arguments import LocalPath, OptionalLocalPath, StoreArgument
from inrgen.training.config import TrainConfig
from inrgen.training.curves import Logger
from inrgen.training.result import EpochLog, TrainResult


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainCommand:
    """Train a network that reads weights on the INRs of a store, and test its best epoch.

    The same command, run again, resumes after the last whole epoch. On several GPUs:
    torchrun --nproc-per-node N --local-ranks-filter 0 --no-python inrgen train ...

    Attributes:
        store: the store to learn from.
        out: the run's folder: model, epochs.csv, result.json, TensorBoard and figures.
        val: the store of validation rows; by default the same.
        test: the store of test rows; by default the same.
        init: a finished run whose features to start from, as after contrastive training.
        device: cpu, cuda, cuda:N, or auto for a GPU if there is one.
        threads: CPU threads of this process; by default torch decides.
        logger: board for the curves of epochs.csv. wandb needs pip install 'inrgen[wandb]'; its
            own variables direct it, such as WANDB_PROJECT and WANDB_MODE=offline.
        training: config of the training.
    """

    HEADINGS: ClassVar[Mapping[str, str]] = {
        "network": "init",
        "data": "val test",
        "training": "training",
        "run": "device threads logger",
    }

    store: tyro.conf.Positional[StoreArgument]
    out: LocalPath
    val: StoreArgument | None = None
    test: StoreArgument | None = None
    init: OptionalLocalPath = None
    device: str = "auto"
    threads: int | None = None
    logger: Logger = "tensorboard"
    training: tyro.conf.OmitArgPrefixes[TrainConfig] = field(default_factory=TrainConfig)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainSummary:
    """The result of a run, its folder and its figures."""

    out: Path
    result: TrainResult
    figures: tuple[Path, ...]

    @property
    def failed(self) -> bool:
        """Tell whether training stopped early."""
        return self.result.status != "ok"

    @property
    def fault(self) -> str:
        return f"training stopped: {self.result.reason}" if self.failed else ""

    def text(self) -> str:
        """The result in a few lines."""
        result = self.result
        done = f"{len(result.history)} epochs of {result.train_rows:,} rows, {result.seconds:.0f} s"
        lines = [f"{self.out}: {result.num_params:,} parameters, {done}"]
        if result.best_epoch >= 0:
            lines.append(_describe_best(result))
        if result.labels:
            # An accuracy means little without that of a constant answer.
            most = max(map(result.labels.count, set(result.labels))) / len(result.labels)
            lines.append(
                f"test accuracy {100 * result.test_accuracy:.2f} % of {len(result.labels):,} INRs; "
                f"always the most frequent class: {100 * most:.2f} %"
            )
        return "\n".join([*lines, *(f"figure: {path}" for path in self.figures)])

    def document(self) -> dict[str, Any]:
        """The result as plain values."""
        return {"out": self.out, "figures": list(self.figures), **self.result.to_dict()}


def _describe_best(result: TrainResult) -> str:
    log = result.history[result.best_epoch]
    if log.val_accuracy != log.val_accuracy:
        return (
            f"kept the last epoch: {100 * log.train_accuracy:.2f} % of pairs found, "
            f"loss {log.train_loss:.4f}"
        )
    return f"best epoch {log.epoch + 1}: validation accuracy {100 * log.val_accuracy:.2f} %"


def draw_run(result: TrainResult, out: Path) -> tuple[Path, ...]:
    """Draw the loss curves and, where rows were tested, the confusion matrix."""
    from inrgen.figures.style import save_figure
    from inrgen.figures.training import confusion_figure, loss_figure

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
    """Train, test and draw. Raises ValueError for options that do not fit together."""
    import torch

    from inrgen.executors.progress import show_progress
    from inrgen.training.data import TrainData
    from inrgen.training.distributed import choose_device, is_first, join_torchrun
    from inrgen.training.folder import count_epochs
    from inrgen.training.loop import run_training

    config = command.training
    if command.threads is not None:
        if command.threads < 1:
            raise ValueError(f"threads must be at least 1; got {command.threads}")
        torch.set_num_threads(command.threads)
    data = TrainData(
        train=command.store, val=command.val or command.store, test=command.test or command.store
    )
    # Epochs of an earlier session count as done in the progress bar.
    before = count_epochs(command.out)
    with (
        join_torchrun(command.device),
        show_progress("train", config.epochs, before, "epochs") as progress,
    ):

        def advance(done: EpochLog) -> None:
            if done.epoch >= before:
                progress.advance(1)

        device = choose_device(command.device)
        result = run_training(
            config, data, command.out, device, command.init, advance, command.logger
        )
        # Asked here, because the process group is gone after the block.
        draws = is_first()
    figures = draw_run(result, command.out) if draws else ()
    return TrainSummary(out=command.out, result=result, figures=figures)
