"""One pass over the training rows."""

import time
from dataclasses import dataclass

import torch
from torch import distributed, nn

from inrgen.core import rng
from inrgen.training.config import TrainConfig
from inrgen.training.data import Place
from inrgen.training.feed import TrainFeed
from inrgen.training.step import learning_rate, update


@dataclass(frozen=True, kw_only=True, slots=True)
class Pass:
    """What a pass came to: mean loss and share of right rows over all processes.

    lr: of its last update; wait_s: how long updates waited for data, out of seconds.
    """

    lr: float
    loss: float
    accuracy: float
    rows: int
    seconds: float
    wait_s: float


def train_epoch(
    config: TrainConfig,
    epoch: int,
    feed: TrainFeed,
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    place: Place,
) -> Pass:
    """Update the module with every example of an epoch.

    Seeds torch's generator, which dropout draws from, by the epoch's name: so a run that resumes
    goes on as it would have. Losses stay on the device until the end, so that it never waits.
    """
    torch.manual_seed(rng.hash_name(f"dropout {config.seed} {epoch} {place.rank}"))
    module.train(not config.freeze)  # fixed features are those of a network at rest
    per_epoch = max(1, feed.rows.num_samples // config.batch_size)
    losses: list[torch.Tensor] = []
    rights: list[torch.Tensor] = []
    rows, wait, rate = 0, 0.0, config.lr
    began = asked = time.perf_counter()
    for example in feed.epoch(epoch):
        wait += time.perf_counter() - asked
        rate = learning_rate(config, epoch * per_epoch + len(losses), per_epoch * config.epochs)
        for group in optimiser.param_groups:
            group["lr"] = rate
        loss, right = update(module, optimiser, example, config)
        losses.append(loss.double() * len(example))
        rights.append(right.double())
        rows += len(example)
        asked = time.perf_counter()
    count = torch.tensor(rows, dtype=torch.float64, device=place.device)
    sums = torch.stack([torch.stack(losses).sum(), torch.stack(rights).sum(), count])
    if place.world_size > 1:
        distributed.all_reduce(sums)
    loss_sum, right_sum, total = sums.tolist()
    return Pass(
        lr=rate,
        loss=loss_sum / total,
        accuracy=right_sum / total,
        rows=int(total),
        seconds=time.perf_counter() - began,
        wait_s=wait,
    )
