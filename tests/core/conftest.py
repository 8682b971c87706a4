"""Random specs, weights and points for the laws of core."""

import pytest
import torch
from hypothesis import strategies as st

from inrgen.core import rng
from inrgen.core.config import InitConfig
from inrgen.core.encoding import gaussian_encoding
from inrgen.core.params import Params
from inrgen.core.siren import initialise
from inrgen.core.spec import InrSpec


@st.composite
def specs(draw, activation="sine", d_in=None, encoded=False) -> InrSpec:
    dims = draw(st.integers(1, 3)) if d_in is None else d_in
    hidden = draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
    # Below omega 3, 1,000 half periods make a bias past 1,000, where rounding hides the law.
    omega = draw(st.lists(st.floats(3.0, 60.0), min_size=len(hidden), max_size=len(hidden)))
    order = draw(st.sampled_from({1: ["x"], 2: ["xy", "ij"], 3: ["xyz"]}[dims]))
    center = draw(st.lists(st.floats(-0.5, 0.5), min_size=dims, max_size=dims))
    spec = InrSpec(
        widths=(dims, *hidden, draw(st.integers(1, 3))),
        omega=tuple(omega),
        activation=activation,
        output_offset=draw(st.sampled_from([0.0, 0.5])),
        coord_order=order,
        coord_center=tuple(center),
    )
    if not (encoded and draw(st.booleans())):
        return spec
    number, seed = draw(st.integers(1, 5)), draw(st.integers(0, 9))
    return spec.with_encoding(gaussian_encoding(dims, number, 2.0, seed))


@pytest.fixture(scope="session")
def any_spec():
    """Strategy of specs; any_spec(activation=..., d_in=..., encoded=...)."""
    return specs


@pytest.fixture(scope="session")
def make_params():
    """Function that makes a batch of weights with non-zero biases."""

    def make(spec: InrSpec, num: int = 3, seed: int = 0, dtype=torch.float64) -> Params:
        keys = rng.keys(seed, "test weights", torch.arange(num))
        init = InitConfig(first_layer="siren", hidden_bias="torch")
        return initialise(spec, init, keys).to(dtype=dtype)

    return make


@pytest.fixture(scope="session")
def make_coords():
    """Function that makes points in and around the range of coordinates."""

    def make(spec: InrSpec, num: int = 17, dtype=torch.float64) -> torch.Tensor:
        keys = rng.keys(1, "test points", torch.arange(num))
        return rng.uniform(keys, (spec.d_in,), -1.2, 1.2, dtype)

    return make
