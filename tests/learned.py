"""Made-up learned starts: random weights with step sizes at which a few steps stay stable."""

from pathlib import Path
from typing import Any

import torch

from inrgen.core import rng
from inrgen.core.config import InitConfig
from inrgen.core.params import Params
from inrgen.core.siren import initialise
from inrgen.core.spec import InrSpec
from inrgen.fit.starts.start import LearnedStart, save_start

SPEC = InrSpec(widths=(2, 8, 8, 1), omega=(30.0, 30.0), output_offset=0.5)


def made_start(
    spec: InrSpec = SPEC, views: int = 2, inner_steps: int = 3, seed: int = 0, **facts: Any
) -> LearnedStart:
    keys = rng.keys(seed, "start", torch.arange(views))
    steps = rng.uniform(rng.fold(keys, 1), (spec.num_params,), 1e-4, 5e-3)
    return LearnedStart(
        spec=spec,
        params=initialise(spec, InitConfig(last_layer="small"), keys),
        step_sizes=Params.from_flat(spec, steps),
        inner_steps=inner_steps,
        facts={"source": {"name": "digits"}, "seed": seed, "guide": "none", **facts},
    )


def saved_start(path: Path, **options: Any) -> Path:
    """The path, with made_start(**options) in a file there."""
    save_start(path, made_start(**options))
    return path
