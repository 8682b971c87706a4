"""One update and one evaluation."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from inrgen.core.params import Params
from inrgen.loaders.stream import StreamLoader
from inrgen.training.config import TrainConfig
from inrgen.training.feed import Example


def learning_rate(config: TrainConfig, update: int, num_updates: int) -> float:
    """The rate of an update, counted from 0: it rises evenly over warmup, then stays or falls.

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
    """How well each row finds its other version among all others, and how many do at once.

    Normalised temperature-scaled cross-entropy over 2 b rows, each with 2 b - 1 to choose from
    (SimCLR, arXiv 2002.05709, equation 1). The count is of the first versions.
    """
    num = len(first)
    both = functional.normalize(torch.cat([first, second]).float(), dim=1)
    alike = both @ both.T / temperature
    alike = alike.masked_fill(
        torch.eye(2 * num, dtype=torch.bool, device=both.device), float("-inf")
    )
    other = torch.arange(2 * num, device=both.device).roll(num)
    found = (alike.argmax(dim=1) == other)[:num].sum()
    return functional.cross_entropy(alike, other), found


def example_loss(
    module: nn.Module, example: Example, config: TrainConfig
) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
    """The mean loss of an example's rows, and how many of them were right.

    Pairs are told apart within the example, so among those of one process where several train.
    """
    device = example.params.device.type
    with torch.autocast(device, torch.bfloat16, enabled=config.precision == "bfloat16"):
        if example.second is not None:
            out = module(Params.cat([example.params, example.second]))
        else:
            out = module(example.params)
    if example.second is not None:
        first, second = out.float().chunk(2)
        return info_nce(first, second, config.temperature)
    assert example.labels is not None, "an example has labels or another version"
    logits = out.float()
    loss = functional.cross_entropy(logits, example.labels, label_smoothing=config.label_smoothing)
    return loss, (logits.argmax(dim=1) == example.labels.argmax(dim=1)).sum()


def update(
    module: nn.Module, optimiser: torch.optim.Optimizer, example: Example, config: TrainConfig
) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
    """Take one step; the mean loss before it, and how many rows were right."""
    loss, right = example_loss(module, example, config)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    if config.clip_norm:
        nn.utils.clip_grad_norm_(module.parameters(), config.clip_norm)
    optimiser.step()
    return loss.detach(), right


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """What a network says of rows, in the order of stores and rows; all are (b,).

    losses: cross-entropy of each row; NaN where its label is no class of the network's.
    """

    rows: Int[Tensor, " b"]
    stores: Int[Tensor, " b"]
    labels: Int[Tensor, " b"]
    predicted: Int[Tensor, " b"]
    probability: Float[Tensor, " b"]
    losses: Float[Tensor, " b"]

    @property
    def loss(self) -> float:
        """The mean over rows."""
        return float(self.losses.double().mean())

    @property
    def accuracy(self) -> float:
        """The share of rows that are right."""
        return float((self.predicted == self.labels).double().mean())


def evaluate(module: nn.Module, loader: StreamLoader, precision: str = "float32") -> Answers:
    """Classify every row that a loader serves, with the module as it is when not in training."""
    parts = []
    module.eval()
    loader.set_epoch(0)
    with torch.no_grad():
        for batch in loader:
            device = batch.params.device.type
            with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
                logits = module(batch.params).float()
            shares = logits.log_softmax(dim=1)
            top, predicted = shares.max(dim=1)
            known = (batch.labels >= 0) & (batch.labels < shares.shape[1])
            own = shares.gather(1, (batch.labels * known)[:, None])[:, 0]
            losses = torch.where(known, -own, torch.nan)
            found = (batch.rows, batch.stores, batch.labels, predicted, top.exp(), losses)
            parts.append(tuple(part.cpu() for part in found))
    return sort_answers([torch.cat(column) for column in zip(*parts, strict=True)])


def sort_answers(columns: list[Tensor]) -> Answers:
    """Answers from their columns, in the order of stores and rows."""
    names = list(Answers.__slots__)
    found = dict(zip(names, columns, strict=True))
    order = torch.argsort(found["rows"], stable=True)
    order = order[torch.argsort(found["stores"][order], stable=True)]
    return Answers(**{name: column[order] for name, column in found.items()})
