"""Training runs: all epochs, from the first or from a checkpoint, to the result."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from inrgen.training.config import TrainConfig
from inrgen.training.curves import Logger
from inrgen.training.data import OpenData, TrainData, open_data
from inrgen.training.distributed import DistributedContext, this_process
from inrgen.training.epoch import train_epoch
from inrgen.training.evaluation import evaluate, make_result, read_item_ids
from inrgen.training.feed import TrainFeed, eval_loader
from inrgen.training.folder import (
    Checkpoint,
    RunLog,
    claim_folder,
    load_checkpoint,
    read_result,
    save_checkpoint,
    write_result,
)
from inrgen.training.model_file import save_model
from inrgen.training.models.catalog import to_dict
from inrgen.training.result import EpochLog, TrainResult, find_best_epoch
from inrgen.training.setup import make_classifier, make_identity, make_module, make_optimiser

OnEpoch = Callable[[EpochLog], None]


def run_training(
    config: TrainConfig,
    data: TrainData,
    out: str | Path | None = None,
    device: torch.device | str = "cpu",
    init: str | Path | None = None,
    on_epoch: OnEpoch | None = None,
    logger: Logger = "tensorboard",
) -> TrainResult:
    """Train a network, keep its best validation epoch and test that.

    The same call with the same out resumes after the last whole epoch, and ends as if it had never
    stopped: bit for bit on a CPU with the same number of threads. Where torch.distributed is
    initialised, every process makes this call, takes its share of each batch and returns the same
    result.

    Args:
        out: the run's folder; None keeps nothing.
        init: folder of a finished run whose features and normalisation to start from.
        on_epoch: called once with the log of every epoch, those done before included.
        logger: the board that draws curves, beside epochs.csv in out.

    Raises ValueError where data or out do not fit the config, naming the difference.
    """
    out, init = (None if path is None else Path(path) for path in (out, init))
    process = this_process(device)
    opened = open_data(config, data)
    with _isolated_torch(process.device):
        training = _Training(config, opened, process, init)
        if out is None:
            return training.finish(None, on_epoch, logger)
        if process.rank == 0:
            claim_folder(out, training.identity)
        if process.world_size > 1:
            distributed.barrier()
        # A finished run is not trained again.
        return read_result(out) or training.finish(out, on_epoch, logger)


@contextmanager
def _isolated_torch(device: torch.device) -> Iterator[None]:
    """Restore torch's generators at the end, and flush denormal numbers to zero meanwhile.

    Dropout draws from torch's generators. Denormals slowed some runs on CPUs 3 to 6 times. torch
    cannot be asked whether it flushes them, so a denormal product tells.
    """
    devices = [device] if device.type == "cuda" else []
    flushed = bool((torch.tensor([1e-40]) * 1.0 == 0.0).all())
    with torch.random.fork_rng(devices=devices):
        torch.set_flush_denormal(True)
        try:
            yield
        finally:
            torch.set_flush_denormal(flushed)


class _Training:
    """A run in progress: its parts, its history, and the classifier of its best epoch."""

    def __init__(
        self, config: TrainConfig, data: OpenData, process: DistributedContext, init: Path | None
    ) -> None:
        self.config, self.data, self.process = config, data, process
        self.feed = TrainFeed(config, data, process)
        # Every process evaluates all rows, so that all agree on the best epoch.
        self.eval_loaders = {
            split: eval_loader(stores, split, process.device)
            for split, stores in (("val", data.val), ("test", data.test))
            if stores and config.objective == "classify"
        }
        self.classifier = make_classifier(config, data, process.device, init)
        loaders = {"train": self.feed.rows, **self.eval_loaders}
        self.identity = make_identity(config, loaders, init)
        self.module = make_module(config, self.classifier, process.device)
        self.optimiser = make_optimiser(config, self.module)
        self.history: list[EpochLog] = []
        self.best: dict[str, Tensor] = {}
        self.best_epoch = -1

    def finish(self, out: Path | None, on_epoch: OnEpoch | None, logger: Logger) -> TrainResult:
        """Train the remaining epochs, then test the best network."""
        wrapped = self._wrap_module()
        writes_to = out if self.process.rank == 0 else None
        if out is not None:
            self._resume(out)
        if self.process.world_size > 1:
            # A process without epochs left removes the checkpoint that others resume from.
            distributed.barrier()
        log = None if writes_to is None else RunLog(writes_to, self.history, logger)
        report = on_epoch or (lambda done: None)
        for done in self.history:
            report(done)
        while len(self.history) < self.config.epochs and self._is_finite():
            self._train_epoch(wrapped)
            if writes_to is not None and log is not None:
                self._save(writes_to)
                log.write(self.history)
            report(self.history[-1])
        if log is not None:
            log.close()
        return self._conclude(writes_to)

    def _wrap_module(self) -> nn.Module:
        """The module as updates call it: compiled or distributed."""
        # The checkpoint holds the plain module, so a run may resume with or without compilation.
        wrapped = torch.compile(self.module) if self.config.compile else self.module
        assert isinstance(wrapped, nn.Module), "a compiled module is a module"
        return DistributedDataParallel(wrapped) if self.process.world_size > 1 else wrapped

    def _train_epoch(self, wrapped: nn.Module) -> None:
        done = train_epoch(
            self.config, len(self.history), self.feed, wrapped, self.optimiser, self.process
        )
        self._broadcast_buffers()
        losses = {"val": math.nan, "test": math.nan}
        accuracies = dict(losses)
        for split, loader in self.eval_loaders.items():
            if split == "val" or self.config.test_curve:
                found = evaluate(self.classifier, loader, self.config.precision)
                losses[split], accuracies[split] = found.loss, found.accuracy
        self.history.append(
            EpochLog(
                epoch=len(self.history),
                lr=done.lr,
                train_loss=done.loss,
                train_accuracy=done.accuracy,
                val_loss=losses["val"],
                val_accuracy=accuracies["val"],
                test_loss=losses["test"],
                test_accuracy=accuracies["test"],
                rows=done.rows,
                seconds=done.seconds,
                wait_s=done.wait_s,
            )
        )
        if self._is_finite() and find_best_epoch(tuple(self.history)) == self.history[-1].epoch:
            self.best_epoch = self.history[-1].epoch
            state = self.classifier.state_dict()
            # A copy, because updates change the tensors in place.
            self.best = {name: tensor.detach().clone() for name, tensor in state.items()}

    def _broadcast_buffers(self) -> None:
        """Take the first process's running statistics, which differ after the last update.

        Otherwise the processes would not agree on the best epoch.
        """
        if self.process.world_size > 1:
            for buffer in self.classifier.buffers():
                distributed.broadcast(buffer, 0)

    def _is_finite(self) -> bool:
        return not self.history or self.history[-1].is_finite

    def _save(self, out: Path) -> None:
        save_checkpoint(
            out,
            Checkpoint(
                module=self.module.state_dict(),
                optimiser=self.optimiser.state_dict(),
                best=self.best,
                best_epoch=self.best_epoch,
                history=[log.to_dict() for log in self.history],
            ),
        )

    def _resume(self, out: Path) -> None:
        found = load_checkpoint(out, self.process.device)
        if found is None:
            return
        self.module.load_state_dict(found.module)
        self.optimiser.load_state_dict(found.optimiser)
        self.best, self.best_epoch = found.best, found.best_epoch
        self.history = [EpochLog.from_dict(log) for log in found.history]

    def _conclude(self, out: Path | None) -> TrainResult:
        """Test the best network, and write it with the result."""
        reason, tested, items = "", None, ()
        if not self._is_finite():
            reason = (
                f"The loss is NaN or infinite at epoch {self.history[-1].epoch}; "
                "lower lr or clip_norm, or raise warmup"
            )
        if self.best:
            self.classifier.load_state_dict(self.best)
            if "test" in self.eval_loaders:
                tested = evaluate(self.classifier, self.eval_loaders["test"], self.config.precision)
                items = read_item_ids(self.data.test, self.data.spec.spec_id, tested)
        result = make_result(
            history=tuple(self.history),
            best_epoch=self.best_epoch,
            reason=reason,
            classes=self.data.classes,
            num_params=sum(p.numel() for p in self.classifier.parameters()),
            tested=tested,
            items=items,
        )
        # A run whose first epoch diverged has no network to keep.
        if out is not None and self.best:
            model = to_dict(self.config.model_config)
            alignments = tuple(store.alignment_sha256 for store in self.data.train)
            save_model(out, model, self.data.spec, self.data.classes, alignments, self.best)
        if out is not None:
            write_result(out, result)
        return result
