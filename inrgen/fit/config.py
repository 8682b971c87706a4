"""Fit settings: initialisation, optimiser, schedule, stopping, and the scalars they give."""

import dataclasses
import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float

from inrgen.core.config import InitConfig
from inrgen.core.spec import InrSpec

Schedule = Literal["constant", "cosine"]


@dataclass(frozen=True, kw_only=True, slots=True)
class FitConfig:
    """Adam on the mean squared error of an INR's values (Kingma and Ba, arXiv 1412.6980).

    num_steps: maximum number of updates.
    lr: learning rate of Adam before its schedule.
    beta1, beta2, eps: Adam's parameters, named as in torch.
    weight_decay: decoupled weight decay (AdamW, arXiv 1711.05101): each update also subtracts
        lr * weight_decay of every parameter.
    schedule: "constant", or "cosine" down to zero after num_steps.
    warmup_steps: the learning rate rises from lr / warmup_steps to lr over so many updates.
    stop_psnr_db: an INR stops before the update at which the loss of its points has reached this
        PSNR; None never stops early.
    points_per_step: points drawn anew, with replacement, for each update; 0 takes all of them.
    curvature: steps by curvature (inrgen/fit/curvature.py) instead of Adam's or learned step sizes.
    init: initial weights.
    """

    num_steps: int = 1000
    lr: float = 5e-4
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0
    schedule: Schedule = "constant"
    warmup_steps: int = 0
    stop_psnr_db: float | None = 40.0
    points_per_step: int = 0
    curvature: bool = False
    init: InitConfig = field(default_factory=InitConfig)

    def __post_init__(self) -> None:
        for name in ("num_steps", "warmup_steps", "points_per_step"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative; got {getattr(self, name)}")
        if not 0 < self.lr < math.inf:
            raise ValueError(f"lr must be positive and finite; got {self.lr}")
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1); got {getattr(self, name)}")
        # "not eps > 0" refuses NaN, which "eps <= 0" would accept.
        if not self.eps > 0:
            raise ValueError(f"eps must be positive; got {self.eps}")
        if not self.weight_decay >= 0:
            raise ValueError(f"weight_decay must not be negative; got {self.weight_decay}")
        if self.stop_psnr_db is not None and not math.isfinite(self.stop_psnr_db):
            raise ValueError(
                f"stop_psnr_db must be finite, or None for no stop; got {self.stop_psnr_db}"
            )
        if self.schedule not in get_args(Schedule):
            raise ValueError(f"schedule must be one of {get_args(Schedule)}; got {self.schedule!r}")

    def to_dict(self) -> dict[str, Any]:
        """The config as plain JSON values; from_dict is its inverse."""
        facts = asdict(self) | {"init": self.init.to_dict()}
        # Fits without it keep the facts, and so the identity, of before it existed.
        return facts if self.curvature else {k: v for k, v in facts.items() if k != "curvature"}

    @staticmethod
    def from_dict(facts: dict[str, Any]) -> "FitConfig":
        """Rebuild a config from to_dict's values; ValueError for a missing or foreign key."""
        known = {f.name for f in dataclasses.fields(FitConfig)} - {"curvature"}
        # An unknown key comes from a later version; to ignore it would change the fit.
        if set(facts) - {"curvature"} != known:
            raise ValueError(f"a fit needs exactly the keys {sorted(known)}; got {sorted(facts)}")
        return FitConfig(**{**facts, "init": InitConfig(**facts["init"])})


@dataclass(frozen=True, kw_only=True, slots=True)
class FitPlan:
    """Settings of the fits of all items alike: networks, fit, seed and number of views.

    Rows whose PSNR is below min_psnr_db are marked below_target; None marks none.
    """

    spec: InrSpec
    fit: FitConfig
    seed: int
    views: int
    min_psnr_db: float | None = None


def learning_rates(config: FitConfig) -> Float[np.ndarray, " t"]:
    """The learning rate of each update: warm-up times schedule times lr."""
    step = np.arange(config.num_steps, dtype=np.float64)
    rate = np.full_like(step, config.lr)
    if config.schedule == "cosine":
        # max: without updates there is nothing to divide by
        rate *= 0.5 * (1.0 + np.cos(np.pi * step / max(config.num_steps, 1)))
    if config.warmup_steps:
        # step + 1, so that the first update already moves
        rate *= np.minimum(1.0, (step + 1.0) / config.warmup_steps)
    return rate


def update_scalars(config: FitConfig) -> Float[np.ndarray, "t 3"]:
    """Size, epsilon and decay of each update, with Adam's bias corrections folded in.

    With c = sqrt(1 - beta2^k) for the k-th update, lr * mhat / (sqrt(vhat) + eps) equals
    size * m / (sqrt(v) + epsilon) where size = lr c / (1 - beta1^k) and epsilon = eps c (Kingma
    and Ba, arXiv 1412.6980, end of section 2). An update first multiplies a parameter by decay.
    """
    rate = learning_rates(config)
    count = np.arange(1, config.num_steps + 1, dtype=np.float64)
    correction = np.sqrt(1.0 - config.beta2**count)
    size = rate * correction / (1.0 - config.beta1**count)
    return np.stack([size, config.eps * correction, 1.0 - rate * config.weight_decay], axis=1)


def stop_loss(config: FitConfig, value_width: float) -> float:
    """The mean squared error at which a fit has reached its target; -1 when it has no target."""
    if config.stop_psnr_db is None:
        return -1.0
    return value_width**2 * 10.0 ** (-config.stop_psnr_db / 10.0)
