"""Weights to test networks on."""

import pytest
import torch

from inrgen.core import rng
from inrgen.core.config import InitConfig
from inrgen.core.params import Params
from inrgen.core.siren import initialise
from inrgen.core.spec import InrSpec


@pytest.fixture(scope="session")
def make_params():
    """A batch of weights at the scale that networks expect, with biases other than zero."""

    def make(spec: InrSpec, num: int = 3, seed: int = 0, dtype=torch.float64) -> Params:
        keys = rng.keys(seed, "network inputs", torch.arange(num))
        start = initialise(spec, InitConfig(hidden_bias="torch", last_layer="torch"), keys)
        return start.map(lambda t: t / t.square().mean().sqrt().clamp(min=1e-6)).to(dtype=dtype)

    return make


@pytest.fixture(autouse=True)
def one_thread():
    """Use one thread: on tensors this small, more wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
