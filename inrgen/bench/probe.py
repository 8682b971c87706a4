"""How well weights teach: the test accuracy of a plain MLP on standardised flat weights."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeConfig:
    """A small classifier with strong regularisation, stopped at its best validation epoch.

    Attributes:
        hidden: width of both hidden layers.
        dropout: share of hidden units dropped in training.
        lr: learning rate of AdamW.
        weight_decay: of AdamW, as torch has it.
        batch: rows of an update.
        epochs: passes over the training rows.
        seed: names all randomness of the training.
    """

    hidden: int = 512
    dropout: float = 0.5
    lr: float = 1e-3
    weight_decay: float = 0.05
    batch: int = 128
    epochs: int = 8
    seed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledRows:
    """Flat weights and their classes."""

    flat: Float[Tensor, "b p"]
    labels: Int[Tensor, " b"]


def probe_accuracy(
    train: LabelledRows, val: LabelledRows, test: LabelledRows, config: ProbeConfig
) -> float:
    """Share of test rows classified rightly, at the epoch that was best on val.

    Weights are standardised by the train rows. torch's global generator is left as it was.
    """
    center, spread = train.flat.mean(dim=0), train.flat.std(dim=0) + 1e-8

    def inputs(rows: LabelledRows) -> Tensor:
        return (rows.flat - center) / spread

    def accuracy(rows: LabelledRows) -> float:
        model.eval()
        with torch.no_grad():
            return float((model(inputs(rows)).argmax(dim=1) == rows.labels).double().mean())

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = nn.Sequential(
            nn.Linear(train.flat.shape[1], config.hidden),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, config.hidden),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, int(train.labels.max()) + 1),
        )
        optimiser = torch.optim.AdamW(
            model.parameters(), lr=config.lr, weight_decay=config.weight_decay
        )
        x, best = inputs(train), (-1.0, 0.0)
        for _ in range(config.epochs):
            model.train()
            for rows in torch.randperm(len(x)).split(config.batch):
                loss = nn.functional.cross_entropy(model(x[rows]), train.labels[rows])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            best = max(best, (accuracy(val), accuracy(test)))
    return best[1]
