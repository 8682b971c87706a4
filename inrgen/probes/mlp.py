"""How well weights teach: the test accuracy of a plain MLP on standardised flat weights."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeConfig:
    """A small classifier with strong regularisation, stopped at its best validation epoch.

    Attributes:
        hidden: width of its hidden layers.
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

    def __post_init__(self) -> None:
        for name in ("hidden", "batch", "epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1); got {self.dropout}")
        if not 0 < self.lr < math.inf:
            raise ValueError(f"lr must be a positive number; got {self.lr}")
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"weight_decay must be a number from 0 on; got {self.weight_decay}")


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledRows:
    """Flat weights and their classes."""

    flat: Float[Tensor, "b p"]
    labels: Int[Tensor, " b"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Accuracy:
    """Test accuracy of a probe in %, and its standard error over test rows.

    The error says how far another draw of test rows would move the figure; other rows to learn
    from would move it further.
    """

    percent: float
    standard_error: float


def probe_accuracy(
    train: LabelledRows, val: LabelledRows, test: LabelledRows, config: ProbeConfig
) -> float:
    """Share of test rows classified rightly, at the epoch that was best on val.

    Weights are centred and scaled by the train rows, all by one number: on 7,000 aligned INRs that
    is worth two to three points over a number for each. torch's global generator is left as it was.
    """
    return float(mlp_hits(train, val, test, config, one_scale=True).double().mean())


def mlp_hits(
    train: LabelledRows,
    val: LabelledRows,
    test: LabelledRows,
    config: ProbeConfig,
    one_scale: bool = False,
) -> Bool[Tensor, " b"]:
    """Which test rows the MLP classifies rightly, at the epoch that was best on val.

    one_scale: whether weights that differ little from INR to INR stay small; else each weight is
        divided by its own deviation.
    """
    center, spread = train.flat.mean(dim=0), train.flat.std(dim=0) + 1e-8
    if one_scale:
        spread = spread.square().mean().sqrt()

    def standardised(rows: LabelledRows) -> LabelledRows:
        return LabelledRows(flat=(rows.flat - center) / spread, labels=rows.labels)

    def make() -> nn.Module:
        return nn.Sequential(
            nn.Linear(train.flat.shape[1], config.hidden),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, config.hidden),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, int(train.labels.max()) + 1),
        )

    return trained_hits(make, standardised(train), standardised(val), standardised(test), config)


def trained_hits(
    make: Callable[[], nn.Module],
    train: LabelledRows,
    val: LabelledRows,
    test: LabelledRows,
    config: ProbeConfig,
) -> Bool[Tensor, " b"]:
    """Train what make gives, from flat rows to logits; which test rows it then classifies rightly.

    The answers are those of the epoch that was best on val. torch's global generator is left as
    it was. Raises ValueError where one of the three has no row.
    """
    for name, rows in (("train", train), ("val", val), ("test", test)):
        if not len(rows.flat):
            raise ValueError(f"a probe needs one row at least in {name}; got none")

    def hits(rows: LabelledRows) -> Bool[Tensor, " b"]:
        model.eval()
        with torch.no_grad():
            logits = torch.cat([model(part) for part in rows.flat.split(1024)])
        return logits.argmax(dim=1) == rows.labels

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = make()
        optimiser = torch.optim.AdamW(
            model.parameters(), lr=config.lr, weight_decay=config.weight_decay
        )
        best, found = -1.0, torch.zeros_like(test.labels, dtype=torch.bool)
        for _ in range(config.epochs):
            model.train()
            for rows in torch.randperm(len(train.flat)).split(config.batch):
                loss = nn.functional.cross_entropy(model(train.flat[rows]), train.labels[rows])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            share = float(hits(val).double().mean())
            if share > best:
                best, found = share, hits(test)
    return found
