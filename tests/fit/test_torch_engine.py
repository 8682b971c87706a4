"""The reference engine updates weights as torch's own optimiser does."""

import subprocess
import sys
from typing import get_args

import pytest
import torch

from inrgen.core import rng
from inrgen.core.activations import ActivationName
from inrgen.core.encoding import gaussian_encoding, octave_encoding
from inrgen.core.geometry import grid_coords
from inrgen.core.metrics import psnr_db
from inrgen.core.params import Params
from inrgen.core.siren import evaluate, initialise
from inrgen.core.spec import InrSpec
from inrgen.fit.config import FitConfig
from inrgen.fit.engine import FitBatch
from inrgen.fit.torch_engine import TorchEngine
from inrgen.sources.catalog import open_source
from inrgen.sources.config import SourceConfig


def batch_for(spec: InrSpec, num: int) -> FitBatch:
    keys = rng.keys(0, "test", torch.arange(num))
    coords = grid_coords(spec, (8, 8))
    return FitBatch(
        coords=coords[None],
        values=rng.uniform(keys, (len(coords), spec.d_out)),
        signal_of=torch.arange(num),
        keys=keys,
        start=initialise(spec, FitConfig().init, keys),
    )


@pytest.mark.parametrize("activation", get_args(ActivationName))
def test_updates_are_those_of_adamw(activation: ActivationName):
    spec = InrSpec(widths=(2, 16, 16, 1), omega=(30.0, 20.0), activation=activation)
    if activation == "relu":
        spec = spec.with_encoding(octave_encoding(2, 4))
    config = FitConfig(num_steps=5, weight_decay=0.2, stop_psnr_db=None)
    batch = batch_for(spec, 1)
    theta = batch.start.flat().requires_grad_()
    optimiser = torch.optim.AdamW([theta], lr=config.lr, weight_decay=config.weight_decay)
    for _ in range(config.num_steps):
        optimiser.zero_grad()
        values = evaluate(spec, Params.from_flat(spec, theta), batch.coords[0])
        (values - batch.values).square().mean().backward()
        optimiser.step()
    found = TorchEngine().fit(spec, config, batch).params.flat()
    torch.testing.assert_close(found, theta.detach(), rtol=1e-5, atol=1e-6)


def test_fourier_features_let_a_relu_network_fit_a_digit():
    spec = InrSpec(widths=(2, 16, 16, 1), omega=(1.0, 1.0), activation="relu", output_offset=0.5)
    source = open_source(SourceConfig(name="digits", limit=1, split="test"))
    values, coords = source.load(0).values[None], grid_coords(spec, source.load(0).grid)
    keys, found = rng.keys(0, "digit", torch.arange(1)), []
    for each in (spec, spec.with_encoding(gaussian_encoding(2, 8, 1.0))):
        fit = FitConfig(num_steps=120, lr=5e-3, stop_psnr_db=None)
        batch = FitBatch(
            coords=coords[None],
            values=values,
            signal_of=torch.zeros(1, dtype=torch.int64),
            keys=keys,
            start=initialise(each, fit.init, keys),
        )
        params = TorchEngine().fit(each, fit, batch).params
        found.append(float(psnr_db(evaluate(each, params, coords), values, 1.0)))
    plain, encoded = found
    assert encoded > plain + 6.0


def test_a_fit_leaves_torchs_number_of_threads_alone():
    before = torch.get_num_threads()
    spec = InrSpec(widths=(2, 8, 1), omega=(30.0,))
    TorchEngine().fit(spec, FitConfig(num_steps=1), batch_for(spec, 2))
    assert torch.get_num_threads() == before


def test_it_needs_no_compiler():
    code = (
        "import sys; sys.modules['numba'] = None\n"
        "from inrgen.fit.engines import make_engine\n"
        "print(make_engine('torch').name)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "torch"
