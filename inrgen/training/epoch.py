"""A pass over the training rows: learning rate, losses and updates."""

import math
import time
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, distributed, nn
from torch.nn import functional

from inrgen.core import rng
from inrgen.core.params import Params
from inrgen.training.config import TrainConfig
from inrgen.training.distributed import DistributedContext
from inrgen.training.feed import TrainBatch, TrainFeed


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochMetrics:
    """Metrics of one pass over the training rows, over all processes.

    Attributes:
        lr: learning rate of the last update.
        loss: mean over rows.
        accuracy: share of rows that were right.
        seconds, wait_s: duration, and the part of it in which updates waited for data.
    """

    lr: float
    loss: float
    accuracy: float
    rows: int
    seconds: float
    wait_s: float


def learning_rate(config: TrainConfig, update: int, num_updates: int) -> float:
    """The rate of an update, counted from 0: it rises linearly, then stays or falls.

    A cosine ends in 0 right after the last update (SGDR, arXiv 1608.03983, without restarts).
    """
    if update < config.warmup:
        return config.lr * (update + 1) / (config.warmup + 1)
    if config.schedule == "constant":
        return config.lr
    done = (update - config.warmup) / max(num_updates - config.warmup, 1)
    return config.lr * 0.5 * (1.0 + math.cos(math.pi * done))


def info_nce(
    first: Float[Tensor, "b d"], second: Float[Tensor, "b d"], temperature: float
) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
    """Contrastive loss of b pairs, and the number of first versions that find their second.

    Normalised temperature-scaled cross-entropy over 2 b rows, each with 2 b - 1 candidates
    (SimCLR, arXiv 2002.05709, equation 1).
    """
    num = len(first)
    both = functional.normalize(torch.cat([first, second]).float(), dim=1)
    similarity = both @ both.T / temperature
    similarity = similarity.masked_fill(
        # A row is no candidate for itself.
        torch.eye(2 * num, dtype=torch.bool, device=both.device),
        float("-inf"),
    )
    # Row i and row i + num are a pair.
    other = torch.arange(2 * num, device=both.device).roll(num)
    found = (similarity.argmax(dim=1) == other)[:num].sum()
    return functional.cross_entropy(similarity, other), found


def batch_loss(
    module: nn.Module, batch: TrainBatch, config: TrainConfig
) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
    """The mean loss of a batch, and the number of rows that were right.

    Contrastive candidates are the rows of this batch, so of one process where several train.
    """
    device = batch.params.device.type
    with torch.autocast(device, torch.bfloat16, enabled=config.precision == "bfloat16"):
        if batch.second is not None:
            out = module(Params.cat([batch.params, batch.second]))
        else:
            out = module(batch.params)
    if batch.second is not None:
        first, second = out.float().chunk(2)
        return info_nce(first, second, config.temperature)
    assert batch.labels is not None, "a batch has labels or second versions"
    logits = out.float()
    loss = functional.cross_entropy(logits, batch.labels, label_smoothing=config.label_smoothing)
    return loss, (logits.argmax(dim=1) == batch.labels.argmax(dim=1)).sum()


def update(
    module: nn.Module, optimiser: torch.optim.Optimizer, batch: TrainBatch, config: TrainConfig
) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
    """Take one step. Returns the mean loss before it, and the number of rows that were right."""
    loss, right = batch_loss(module, batch, config)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    if config.clip_norm:
        nn.utils.clip_grad_norm_(module.parameters(), config.clip_norm)
    optimiser.step()
    return loss.detach(), right


def train_epoch(
    config: TrainConfig,
    epoch: int,
    feed: TrainFeed,
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    process: DistributedContext,
) -> EpochMetrics:
    """Update the module with every batch of an epoch.

    Dropout draws from torch's own generator, which is seeded here with the epoch's name, so a
    resumed run continues as it would have. Losses stay on the device until the end, so that the
    device never waits.
    """
    torch.manual_seed(rng.hash_name(f"dropout {config.seed} {epoch} {process.rank}"))
    # Fixed features are those of a network in evaluation.
    module.train(not config.freeze)
    # The feed drops a short last batch.
    per_epoch = max(1, feed.rows.num_samples // config.batch_size)
    losses: list[Tensor] = []
    rights: list[Tensor] = []
    rows, wait, rate = 0, 0.0, config.lr
    began = asked = time.perf_counter()
    for batch in feed.epoch(epoch):
        wait += time.perf_counter() - asked
        rate = learning_rate(config, epoch * per_epoch + len(losses), per_epoch * config.epochs)
        for group in optimiser.param_groups:
            group["lr"] = rate
        loss, right = update(module, optimiser, batch, config)
        losses.append(loss.double() * len(batch))
        rights.append(right.double())
        rows += len(batch)
        asked = time.perf_counter()
    # Sums and not means are reduced, because processes may have different numbers of rows.
    count = torch.tensor(rows, dtype=torch.float64, device=process.device)
    sums = torch.stack([torch.stack(losses).sum(), torch.stack(rights).sum(), count])
    if process.world_size > 1:
        distributed.all_reduce(sums)
    loss_sum, right_sum, total = sums.tolist()
    return EpochMetrics(
        lr=rate,
        loss=loss_sum / total,
        accuracy=right_sum / total,
        rows=int(total),
        seconds=time.perf_counter() - began,
        wait_s=wait,
    )
