"""Classifiers on flat rows: a plain MLP trained by steps, and kernel ridge regression."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from inrgen.probes.config import ProbeTraining

# Candidates that val chooses from: kernel widths in median squared distances, and ridges.
_WIDTHS = (0.3, 1.0, 4.0)
_RIDGES = (1e-2, 1e-1, 1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledRows:
    """Feature rows and their classes.

    Attributes:
        flat: features, such as flat weights; (b, p).
        labels: class numbers from 0 on; (b,).
    """

    flat: Float[Tensor, "b p"]
    labels: Int[Tensor, " b"]


def mlp_hits(
    train: LabelledRows,
    val: LabelledRows,
    test: LabelledRows,
    config: ProbeTraining,
    one_scale: bool = False,
) -> Bool[Tensor, " b"]:
    """Test rows that the MLP classifies correctly; see mlp_scores."""
    return mlp_scores(train, val, test, config, one_scale).argmax(dim=1) == test.labels


def mlp_scores(
    train: LabelledRows,
    val: LabelledRows,
    test: LabelledRows,
    config: ProbeTraining,
    one_scale: bool = False,
) -> Float[Tensor, "b c"]:
    """Log-probabilities that the MLP gives the classes of test rows, at its best epoch on val.

    Args:
        one_scale: divide all centred weights by one number, so that weights that differ little
            between INRs stay small; else divide each by its own standard deviation. On 7,000
            aligned INRs one number gains two to three points.
    """
    # A weight that is the same in all INRs, such as a bias left at zero, has no deviation.
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
            # A class that train lacks is never predicted, so its test rows count as errors.
            nn.Linear(config.hidden, int(train.labels.max()) + 1),
        )

    return trained_scores(make, standardised(train), standardised(val), standardised(test), config)


def trained_scores(
    make: Callable[[], nn.Module],
    train: LabelledRows,
    val: LabelledRows,
    test: LabelledRows,
    config: ProbeTraining,
) -> Float[Tensor, "b c"]:
    """Train a network; return its log-probabilities of test rows at its best val epoch.

    torch's global generator is left unchanged. Raises ValueError where a part has no row.

    Args:
        make: builds the network, from flat rows to logits.
    """
    for name, rows in (("train", train), ("val", val), ("test", test)):
        if not len(rows.flat):
            raise ValueError(f"a probe needs at least one row in {name}; got none")

    def logits(rows: Float[Tensor, "b p"]) -> Float[Tensor, "b c"]:
        reduced = config.precision == "bfloat16"
        with torch.autocast(rows.device.type, torch.bfloat16, enabled=reduced):
            out = model(rows)
        return out.float() if reduced else out

    def scores(rows: LabelledRows) -> Float[Tensor, "b c"]:
        model.eval()
        with torch.no_grad():
            return torch.cat([logits(part) for part in rows.flat.split(1024)]).log_softmax(dim=1)

    # Without devices=[], fork_rng would initialise CUDA on every GPU.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = make()
        optimiser = torch.optim.AdamW(
            model.parameters(), lr=config.lr, weight_decay=config.weight_decay
        )
        total = config.epochs * -(-len(train.flat) // config.batch)
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, total)
        best, found = -1.0, torch.empty(0)
        for _ in range(config.epochs):
            model.train()
            for rows in torch.randperm(len(train.flat)).split(config.batch):
                loss = mixed_loss(logits, train.flat[rows], train.labels[rows], config.mixup)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                if config.schedule == "cosine":
                    falling.step()
            share = float((scores(val).argmax(dim=1) == val.labels).double().mean())
            # Strictly greater keeps the earliest of equally good epochs.
            if share > best:
                best, found = share, scores(test)
    return found


def mixed_loss(
    model: Callable[[Tensor], Tensor],
    flat: Float[Tensor, "b p"],
    labels: Int[Tensor, " b"],
    mixup: float,
) -> Float[Tensor, ""]:
    """Cross entropy of a batch, of rows mixed in pairs where mixup is not 0 (arXiv 1710.09412)."""
    if not mixup:
        return nn.functional.cross_entropy(model(flat), labels)
    share = torch.distributions.Beta(mixup, mixup).sample((len(flat),)).to(flat)
    partner = torch.randperm(len(flat))
    logits = model(torch.lerp(flat[partner], flat, share[:, None]))
    own, other = (
        nn.functional.cross_entropy(logits, goal, reduction="none")
        for goal in (labels, labels[partner])
    )
    return torch.lerp(other, own, share).mean()


def kernel_hits(train: LabelledRows, val: LabelledRows, test: LabelledRows) -> Bool[Tensor, " b"]:
    """Test rows that kernel ridge regression on one-hot classes classifies correctly.

    The kernel is Gaussian, on standardised rows; val chooses width and ridge. The solution is
    exact and draws nothing at random, so that a few hundred rows give one answer. Small networks
    trained on so few differ from seed to seed.
    """
    center, spread = train.flat.mean(dim=0), train.flat.std(dim=0, correction=0) + 1e-8
    rows, choose, judge = ((part.flat - center) / spread for part in (train, val, test))
    goal = nn.functional.one_hot(train.labels).to(rows.dtype) * 2 - 1
    distances = [torch.cdist(rows, part).square() for part in (rows, choose, judge)]
    # Identical rows have a median distance of zero.
    median, eye = distances[0].median().clamp(min=1e-8), torch.eye(len(rows), dtype=rows.dtype)
    best, found = -1.0, torch.zeros_like(test.labels, dtype=torch.bool)
    for width in _WIDTHS:
        gram, near_val, near_test = (torch.exp(-part / (width * median)) for part in distances)
        for ridge in _RIDGES:
            answer = torch.linalg.solve(gram + ridge * eye, goal)
            chosen = (near_val.mT @ answer).argmax(dim=1) == val.labels
            share = float(chosen.double().mean())
            if share > best:
                best, found = share, (near_test.mT @ answer).argmax(dim=1) == test.labels
    return found
