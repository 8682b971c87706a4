"""The scalars of every update, worked out before a fit starts."""

import numpy as np
from jaxtyping import Float

from inrgen.fit.config import FitConfig


def learning_rates(config: FitConfig) -> Float[np.ndarray, " t"]:
    """The learning rate of each update: warm-up times schedule times lr."""
    step = np.arange(config.num_steps, dtype=np.float64)
    rate = np.full_like(step, config.lr)
    if config.schedule == "cosine":
        rate *= 0.5 * (1.0 + np.cos(np.pi * step / max(config.num_steps, 1)))
    if config.warmup_steps:
        rate *= np.minimum(1.0, (step + 1.0) / config.warmup_steps)
    return rate


def update_scalars(config: FitConfig) -> Float[np.ndarray, "t 3"]:
    """Size, epsilon and decay of each update, with Adam's bias corrections folded in.

    With c = sqrt(1 - beta2^k) for the k-th update, lr * mhat / (sqrt(vhat) + eps) is the same as
    size * m / (sqrt(v) + epsilon) where size = lr c / (1 - beta1^k) and epsilon = eps c (Kingma
    and Ba, arXiv 1412.6980, end of section 2). Decay is what a parameter is multiplied by first.
    """
    rate = learning_rates(config)
    count = np.arange(1, config.num_steps + 1, dtype=np.float64)
    correction = np.sqrt(1.0 - config.beta2**count)
    size = rate * correction / (1.0 - config.beta1**count)
    return np.stack([size, config.eps * correction, 1.0 - rate * config.weight_decay], axis=1)


def stop_loss(config: FitConfig, value_width: float) -> float:
    """The mean squared error at which a fit has reached its target; -1 where there is none."""
    if config.stop_psnr_db is None:
        return -1.0
    return value_width**2 * 10.0 ** (-config.stop_psnr_db / 10.0)
