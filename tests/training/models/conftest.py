"""Weights that networks are tried on."""

import pytest
import torch

from inrgen.core import rng
from inrgen.core.config import InitConfig
from inrgen.core.params import Params
from inrgen.core.siren import initialise
from inrgen.core.spec import InrSpec


@pytest.fixture(scope="session")
def make_params():
    """Weights of a batch at the size that networks expect, with biases that are not zero."""

    def make(spec: InrSpec, num: int = 3, seed: int = 0, dtype=torch.float64) -> Params:
        keys = rng.keys(seed, "network inputs", torch.arange(num))
        start = initialise(spec, InitConfig(hidden_bias="torch", last_layer="torch"), keys)
        return start.map(lambda t: t / t.square().mean().sqrt().clamp(min=1e-6)).to(dtype=dtype)

    return make


@pytest.fixture(autouse=True)
def one_thread():
    """On tensors this small, threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
