"""The fused engine: its arithmetic, its workspace and its compiled code on disk."""

import os
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inrgen.core import rng
from inrgen.core.encoding import octave_encoding
from inrgen.core.geometry import grid_coords
from inrgen.core.siren import initialise
from inrgen.core.spec import InrSpec
from inrgen.fit.config import FitConfig
from inrgen.fit.cpu_engine import CpuEngine
from inrgen.fit.cpu_layout import Tile, lay_out, places
from inrgen.fit.engine import FitBatch

SPEC = InrSpec(widths=(2, 32, 32, 1), omega=(30.0, 30.0))


def batch_for(num: int) -> FitBatch:
    keys = rng.keys(0, "test", torch.arange(num))
    coords = grid_coords(SPEC, (12, 11))
    return FitBatch(
        coords=coords[None],
        values=rng.uniform(keys, (len(coords), 1)),
        signal_of=torch.arange(num),
        keys=keys,
        start=initialise(SPEC, FitConfig().init, keys),
    )


@pytest.mark.parametrize("turns", [0.3, 2.0, 40.0, 1e4])
def test_sines_are_right_to_float32(turns):
    """With a last weight of one, an INR's loss on zeros is the square of a sine."""
    spec = InrSpec(widths=(1, 1, 1), omega=(1.0,), coord_order="x", coord_center=(0.0,))
    keys = rng.keys(0, "sine", torch.arange(200))
    angle = rng.uniform(keys, (1, 1), -turns, turns) * 2.0 * torch.pi
    start = initialise(spec, FitConfig().init, keys)
    start = replace(
        start,
        weights=(angle, torch.ones_like(angle)),
        biases=(torch.zeros(200, 1), torch.zeros(200, 1)),
    )
    one = torch.ones(1, 1, 1)
    batch = FitBatch(
        coords=one,
        values=0.0 * one,
        signal_of=torch.zeros(200, dtype=torch.int64),
        keys=keys,
        start=start,
    )
    loss = CpuEngine(threads=1).fit(spec, FitConfig(num_steps=0), batch).final_loss
    expected = torch.sin(angle[:, 0, 0].double()).square()
    # An angle of so many turns is itself rounded to float32, by half a unit in its last place.
    rounding = 2.0 * torch.pi * turns * 2.0**-23
    assert float((loss.double() - expected).abs().max()) < 2.0 * rounding + 1e-6


@pytest.mark.parametrize("threads", [1, 2, 5, None])
def test_threads_do_not_show_in_the_result(threads):
    config, batch = FitConfig(num_steps=7, points_per_step=50), batch_for(11)
    alone = CpuEngine(threads=1).fit(SPEC, config, batch)
    shared = CpuEngine(threads=threads).fit(SPEC, config, batch)
    assert torch.equal(alone.params.flat(), shared.params.flat())


def test_calls_side_by_side_do_not_disturb_each_other():
    config, batch = FitConfig(num_steps=20), batch_for(6)
    expected = CpuEngine(threads=1).fit(SPEC, config, batch).params.flat()
    found: list[torch.Tensor] = []

    def fit() -> None:
        found.append(CpuEngine(threads=2).fit(SPEC, config, batch).params.flat())

    calls = [threading.Thread(target=fit) for _ in range(3)]
    for call in calls:
        call.start()
    for call in calls:
        call.join()
    assert len(found) == 3
    assert all(torch.equal(one, expected) for one in found)


def test_the_callers_treatment_of_denormals_is_restored():
    CpuEngine(threads=1).fit(SPEC, FitConfig(num_steps=1), batch_for(2))
    assert float(np.float32(1e-40) * np.float32(0.5)) > 0


def test_other_networks_are_refused():
    for spec in (replace(SPEC, activation="tanh"), SPEC.with_encoding(octave_encoding(2, 2))):
        with pytest.raises(ValueError, match=f"SIRENs only; got {spec.kind}"):
            CpuEngine().fit(spec, FitConfig(), batch_for(1))


@settings(max_examples=50, deadline=None)
@given(
    hidden=st.lists(st.integers(1, 70), min_size=1, max_size=4),
    d_in=st.integers(1, 3),
    d_out=st.integers(1, 20),
    num_points=st.integers(1, 3000),
    tile=st.sampled_from([Tile(lanes=16, rows=8), Tile(lanes=8, rows=4), Tile(lanes=4, rows=4)]),
)
def test_a_workspace_keeps_everything_apart(hidden, d_in, d_out, num_points, tile):
    spec = InrSpec(
        widths=(d_in, *hidden, d_out),
        omega=(30.0,) * len(hidden),
        coord_order={1: "x", 2: "xy", 3: "xyz"}[d_in],
        coord_center=(0.0,) * d_in,
    )
    layout = lay_out(spec, tile, num_points)
    at = places(spec, layout)
    assert len(np.unique(at)) == spec.num_params
    assert 0 <= at.min() <= at.max() < layout.num_state
    spans = [(0, 4 * layout.num_state), (layout.coords, layout.num_rows * layout.input_width)]
    spans.append((layout.values, layout.num_rows * d_out))
    spans.append((layout.residual, layout.tile_points * d_out))
    for h in layout.hidden:
        spans.append((h.scaled, (h.num_rows + 1) * h.width))
        spans.append((h.turned, h.width * h.num_rows))
        spans += [(start, layout.tile_points * h.width) for start in (h.sine, h.slope)]
    spans.sort()
    for (start, size), (following, _) in zip(spans, [*spans[1:], (layout.size, 0)], strict=True):
        assert start % 16 == 0
        assert start + size <= following
    assert layout.tile_points % tile.rows == layout.num_rows % tile.rows == 0


_PROGRAM = """
import sys
import torch
from inrgen.core import rng
from inrgen.core.geometry import grid_coords
from inrgen.core.siren import initialise
from inrgen.core.spec import InrSpec
from inrgen.fit.config import FitConfig
from inrgen.fit.cpu_engine import CpuEngine
from inrgen.kernels.cpu_fit import fit_rows
from inrgen.fit.engine import FitBatch

spec = InrSpec(widths=(2, int(sys.argv[1]), 1), omega=(30.0,))
keys = rng.keys(0, "test", torch.arange(2))
coords = grid_coords(spec, (5, 5))[None]
batch = FitBatch(coords=coords, values=torch.zeros(2, 25, 1), signal_of=torch.arange(2),
                 keys=keys, start=initialise(spec, FitConfig().init, keys))
result = CpuEngine(threads=1).fit(spec, FitConfig(num_steps=3), batch)
hits, misses = fit_rows.stats.cache_hits, fit_rows.stats.cache_misses
print(sum(hits.values()), sum(misses.values()), result.params.flat().double().sum().item())
"""


@pytest.mark.slow
def test_a_second_start_compiles_nothing_whatever_the_network(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}

    def start(width: int) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(width)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )

    racing = [start(8), start(8)]
    first = [process.communicate(timeout=300)[0].split() for process in racing]
    assert first[0][2] == first[1][2]
    assert start(19).communicate(timeout=300)[0].split()[:2] == ["1", "0"]
