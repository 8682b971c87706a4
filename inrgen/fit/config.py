"""What a fit does: initialisation, optimiser, schedule, and when it stops."""

import dataclasses
import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from inrgen.core.siren import InitConfig

Schedule = Literal["constant", "cosine"]


@dataclass(frozen=True, kw_only=True, slots=True)
class FitConfig:
    """Adam on the mean squared error of an INR's values (Kingma and Ba, arXiv 1412.6980).

    num_steps: updates at most.
    lr: learning rate of Adam before its schedule.
    beta1, beta2, eps: Adam's knobs, as torch names them.
    weight_decay: decoupled (AdamW, arXiv 1711.05101): each update also takes away
        lr * weight_decay of every parameter.
    schedule: "constant", or "cosine" down to zero after num_steps.
    warmup_steps: the learning rate climbs from lr / warmup_steps to lr over so many updates.
    stop_psnr_db: an INR stops before the update at which the loss of its points has reached this
        PSNR; None never stops early.
    points_per_step: points drawn anew, with replacement, for each update; 0 takes all of them.
    init: how weights start.
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
        """As plain JSON values; from_dict is its inverse."""
        return asdict(self)

    @staticmethod
    def from_dict(facts: dict[str, Any]) -> "FitConfig":
        """Rebuild a config from to_dict's values; ValueError for a missing or foreign key."""
        known = {f.name for f in dataclasses.fields(FitConfig)}
        if set(facts) != known:
            raise ValueError(f"a fit needs exactly the keys {sorted(known)}; got {sorted(facts)}")
        return FitConfig(**{**facts, "init": InitConfig(**facts["init"])})
