"""Epochs from the first, or from where a run was cut off, to the result."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from inrgen.training import folder
from inrgen.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint, save_model
from inrgen.training.config import TrainConfig
from inrgen.training.data import OpenData, Place, TrainData, eval_loader, open_data
from inrgen.training.epoch import train_epoch
from inrgen.training.feed import TrainFeed
from inrgen.training.log import RunLog
from inrgen.training.models.catalog import to_dict
from inrgen.training.result import EpochLog, TrainResult, log_from_dict, log_to_dict
from inrgen.training.setup import identity, make_classifier, make_module, make_optimiser
from inrgen.training.step import evaluate
from inrgen.training.verdict import best_of, conclude, is_sound, item_ids

OnEpoch = Callable[[EpochLog], None]


def train(
    config: TrainConfig,
    data: TrainData,
    out: Path | None = None,
    device: torch.device | str = "cpu",
    init: Path | None = None,
    on_epoch: OnEpoch | None = None,
) -> TrainResult:
    """Train a network, keep its best validation epoch and test that.

    Run again with the same out it goes on after the last whole epoch, and ends as if it had never
    stopped: bit for bit on a CPU with as many threads. Where torch.distributed is initialised,
    every process calls this, takes its share of each batch and returns the same result.

    Args:
        out: the run's folder; None keeps nothing.
        init: the folder of a finished run whose features and normalisation to start from.
        on_epoch: told of every epoch that is done, once, also of those done before.

    Raises ValueError where data or out do not fit the config, naming what differs.
    """
    place = _here(device)
    opened = open_data(config, data)
    with _own_randomness(place):
        run = _Run(config, opened, place, init)
        if out is None:
            return run.to_the_end(None, on_epoch)
        if place.rank == 0:
            folder.claim(out, run.identity)
        if place.world_size > 1:
            distributed.barrier()
        return folder.finished(out) or run.to_the_end(out, on_epoch)


def _nobody(done: EpochLog) -> None:
    """Where nobody wants to be told of epochs."""


def _here(device: torch.device | str) -> Place:
    """This process among those of torch.distributed, where that was initialised."""
    if not distributed.is_initialized():
        return Place(device=torch.device(device))
    rank, world_size = distributed.get_rank(), distributed.get_world_size()
    return Place(device=torch.device(device), rank=rank, world_size=world_size)


@contextmanager
def _own_randomness(place: Place) -> Iterator[None]:
    """Leave torch's generators as they were, and let numbers near zero be zero meanwhile.

    Dropout draws from torch's own generator. Denormal numbers slowed some runs on CPUs 3 to 6
    times; whether they were flushed before, one of them tells.
    """
    devices = [place.device] if place.device.type == "cuda" else []
    flushed = bool((torch.tensor([1e-40]) * 1.0 == 0.0).all())
    with torch.random.fork_rng(devices=devices):
        torch.set_flush_denormal(True)
        try:
            yield
        finally:
            torch.set_flush_denormal(flushed)


class _Run:
    """A run's parts, and how far it has come: history, and the classifier of the best epoch."""

    def __init__(
        self, config: TrainConfig, data: OpenData, place: Place, init: Path | None
    ) -> None:
        self.config, self.data, self.place = config, data, place
        self.feed = TrainFeed(config, data, place)
        # every process evaluates all rows, so that all know the same of them
        self.watched = {
            split: eval_loader(stores, split, Place(device=place.device))
            for split, stores in (("val", data.val), ("test", data.test))
            if stores and config.objective == "classify"
        }
        self.classifier = make_classifier(config, data, place, init)
        self.identity = identity(config, {"train": self.feed.rows, **self.watched}, init)
        self.module = make_module(config, self.classifier, place)
        self.optimiser = make_optimiser(config, self.module)
        self.history: list[EpochLog] = []
        self.best: dict[str, Tensor] = {}
        self.best_epoch = -1

    def to_the_end(self, out: Path | None, on_epoch: OnEpoch | None) -> TrainResult:
        """All epochs that are left, then the verdict."""
        moving = self._moving()
        keeps = out if self.place.rank == 0 else None
        if out is not None:
            self._resume(out)
        if self.place.world_size > 1:
            distributed.barrier()  # whoever has no epochs left removes what others resume from
        log = None if keeps is None else RunLog(keeps, self.history)
        told = on_epoch or _nobody
        for done in self.history:
            told(done)
        while len(self.history) < self.config.epochs and self._sound():
            self._epoch(moving)
            if keeps is not None and log is not None:
                self._save(keeps)
                log.write(self.history)
            told(self.history[-1])
        if log is not None:
            log.close()
        return self._end(keeps)

    def _moving(self) -> nn.Module:
        """The module as updates call it."""
        moving = torch.compile(self.module) if self.config.compile else self.module
        assert isinstance(moving, nn.Module), "a compiled module is a module"
        return DistributedDataParallel(moving) if self.place.world_size > 1 else moving

    def _epoch(self, moving: nn.Module) -> None:
        done = train_epoch(
            self.config, len(self.history), self.feed, moving, self.optimiser, self.place
        )
        self._share_statistics()
        curves: dict[str, tuple[float, float]] = {}
        for split, loader in self.watched.items():
            if split == "val" or self.config.test_curve:
                found = evaluate(self.classifier, loader, self.config.precision)
                curves[split] = (found.loss, found.accuracy)
        val, test = (curves.get(split, (math.nan, math.nan)) for split in ("val", "test"))
        self.history.append(
            EpochLog(
                epoch=len(self.history),
                lr=done.lr,
                train_loss=done.loss,
                train_accuracy=done.accuracy,
                val_loss=val[0],
                val_accuracy=val[1],
                test_loss=test[0],
                test_accuracy=test[1],
                rows=done.rows,
                seconds=done.seconds,
                wait_s=done.wait_s,
            )
        )
        if self._sound() and best_of(tuple(self.history)) == self.history[-1].epoch:
            self.best_epoch = self.history[-1].epoch
            state = self.classifier.state_dict()
            self.best = {name: tensor.detach().clone() for name, tensor in state.items()}

    def _share_statistics(self) -> None:
        """Take the first process's running statistics: each has had its own rows since an update.

        Else they would not agree on which epoch is the best.
        """
        if self.place.world_size > 1:
            for buffer in self.classifier.buffers():
                distributed.broadcast(buffer, 0)

    def _sound(self) -> bool:
        return not self.history or is_sound(self.history[-1])

    def _save(self, out: Path) -> None:
        save_checkpoint(
            out,
            Checkpoint(
                module=self.module.state_dict(),
                optimiser=self.optimiser.state_dict(),
                best=self.best,
                best_epoch=self.best_epoch,
                history=[log_to_dict(log) for log in self.history],
            ),
        )

    def _resume(self, out: Path) -> None:
        found = load_checkpoint(out, self.place.device)
        if found is None:
            return
        self.module.load_state_dict(found.module)
        self.optimiser.load_state_dict(found.optimiser)
        self.best, self.best_epoch = found.best, found.best_epoch
        self.history = [log_from_dict(log) for log in found.history]

    def _end(self, out: Path | None) -> TrainResult:
        """Test the best network, and keep it."""
        reason, tested, items = "", None, ()
        if not self._sound():
            reason = (
                f"the loss of epoch {self.history[-1].epoch} is no number; "
                "try a smaller lr, clip_norm or warmup"
            )
        if self.best:
            self.classifier.load_state_dict(self.best)
            if "test" in self.watched:
                tested = evaluate(self.classifier, self.watched["test"], self.config.precision)
                items = item_ids(self.data.test, self.data.spec.spec_id, tested)
        result = conclude(
            history=tuple(self.history),
            best_epoch=self.best_epoch,
            reason=reason,
            classes=self.data.classes,
            num_params=sum(p.numel() for p in self.classifier.parameters()),
            tested=tested,
            items=items,
        )
        if out is not None and self.best:
            model = to_dict(self.config.model_config)
            save_model(out, model, self.data.spec, self.data.classes, self.best)
        if out is not None:
            folder.finish(out, result)
        return result
