"""Waves, slices, frames, vector fields and points are drawn with the values that the INR has."""

import numpy as np
import pytest
import torch
from matplotlib.quiver import Quiver
from PIL import Image

from inrgen.core.geometry import grid_coords
from inrgen.core.params import Params
from inrgen.core.siren import evaluate
from inrgen.core.spec import InrSpec
from inrgen.figures.fields import planes_figure, waves_figure
from inrgen.figures.render import render_store
from inrgen.figures.signals import sections, store_sections
from inrgen.fit.config import FitConfig, FitPlan
from inrgen.fit.torch_engine import TorchEngine
from inrgen.fit.views import fit_block
from inrgen.sources.base import Signal
from inrgen.sources.signal_array import make_signal_array
from inrgen.store.create import create_store
from inrgen.store.layout import Layout
from inrgen.store.reader import open_store
from inrgen.store.writer import StoreWriter, stage_block

RNG = np.random.default_rng(0)
FIELD = RNG.uniform(-1, 1, (2, 4, 5, 2)).astype(np.float32)
SIGNALS = {
    "wave": {"values": RNG.uniform(-1, 1, (2, 9, 2)), "axes": "ntc"},
    "field": {"values": FIELD, "axes": "nyxc"},
    "volume": {"values": RNG.uniform(-1, 1, (2, 7, 4, 3)), "axes": "nzyx"},
    "film": {"values": RNG.integers(0, 255, (2, 6, 4, 3, 3), dtype=np.uint8), "axes": "ntyxc"},
    "film of volumes": {"values": RNG.uniform(0, 1, (2, 3, 4, 3, 2)), "axes": "ntzyx"},
    "points": {"values": RNG.uniform(0, 1, (2, 30, 1)), "coords": RNG.uniform(-1, 1, (30, 2))},
    "points on a line": {"values": RNG.uniform(0, 1, (2, 30, 1)), "coords": np.ones((30, 1))},
}


@pytest.fixture(params=SIGNALS, scope="module")
def made(request, tmp_path_factory):
    """A source, a store of a few steps on it, and the number of sections of an INR."""
    source = make_signal_array(**SIGNALS[request.param], splits="train")
    facts, path = source.facts, tmp_path_factory.mktemp("s") / "store"
    spec = InrSpec(
        widths=(facts.d_in, 8, facts.d_out),
        omega=(5.0,),
        coord_order=facts.coord_order,
        coord_center=(0.0,) * facts.d_in,
        value_range=facts.value_range,
        value_kind=facts.value_kind,
    )
    plan = FitPlan(spec=spec, fit=FitConfig(num_steps=3), seed=0, views=1)
    signals = [source.load(index) for index in range(2)]
    fitted = fit_block(plan, TorchEngine(), source.items, signals, first_row=0)
    identity = {"source": {"name": "array"}, "recipe": "none"}
    create_store(path, [(spec, Layout(rows=2, views=1))], identity=identity, about={})
    with StoreWriter(path) as writer:
        writer.commit(stage_block(path, spec.spec_id, 0, fitted.flat, fitted.records))
    return (
        source,
        open_store(path),
        {"volume": 5, "film": 5, "film of volumes": 3}.get(request.param, 1),
    )


def test_sections_hold_the_values_of_inr_and_signal(made):
    source, store, num = made
    spec, signal, params = store.spec, source.load(1), store.read([1])
    (parts,) = store_sections(store, source, [1])
    assert len(parts) == num
    grid = signal.grid
    if not grid:
        (part,) = parts
        assert part.samples is not None
        psnr = store.read_records(["psnr_db"])["psnr_db"].to_pylist()[1]
        error = np.square(part.samples.values - part.samples.inr).mean()
        assert 10 * np.log10(spec.value_width**2 / error) == pytest.approx(psnr, abs=1e-3)
        return
    whole = evaluate(spec, params, grid_coords(spec, grid))[0].reshape(*grid, -1).numpy()
    truth = signal.values.reshape(*grid, -1).numpy()
    for place, part in zip(
        np.linspace(0, grid[0] - 1, num).round().astype(int), parts, strict=True
    ):
        at = {1: (), 2: ()}.get(spec.d_in, (place, *(side // 2 for side in grid[1:-2])))
        assert part.inr == pytest.approx(whole[at], abs=1e-6)
        assert part.signal == pytest.approx(truth[at], abs=0)
        assert (f"= {(2 * place - grid[0] + 1) / (max(grid) - 1):.2f}" in part.title) == bool(at)


def test_figures_draw_these_values(made, tmp_path):
    source, store, _ = made
    spec = store.spec
    # Files take a second each to draw: one with originals, and one without.
    if spec.value_kind == "quantity" and spec.d_in < 3:
        original = source if spec.d_in == 1 else None
        picture, _ = render_store(store, original, [0], tmp_path)
        with Image.open(picture) as image:
            assert np.asarray(image.convert("L")).std() > 1
    inrs = store_sections(store, source, [0, 1])
    if spec.d_in == 1:
        figure = waves_figure(spec, [parts[0] for parts in inrs])
        part, lines = inrs[1][0], figure.axes[1].lines
        inr = next(line for line in reversed(lines) if str(line.get_label()).startswith("INR"))
        assert inr.get_ydata() == pytest.approx(part.inr[:, -1])
        if part.signal is not None:
            error = part.inr[:, -1] - part.signal[:, -1]
            assert lines[-1].get_ydata() == pytest.approx(error)
        return
    figure = planes_figure(spec, inrs)
    cells = [axes for axes in figure.axes if axes.get_ylabel() == "INR"]
    drawn, part = cells[0].images[0].get_array(), inrs[0][0]
    assert drawn is not None
    if spec.d_out == 1:
        assert np.asarray(drawn) == pytest.approx(part.inr[..., 0])
    arrows = [one for one in cells[0].collections if isinstance(one, Quiver)]
    assert len(arrows) == (spec.d_out == spec.d_in and spec.value_kind == "quantity")
    for one in arrows:  # x is the first output and the horizontal direction
        assert one.U == pytest.approx(part.inr[..., 0].ravel())
        assert one.V == pytest.approx(part.inr[..., 1].ravel())


def test_an_original_of_another_grid_is_left_out():
    spec = InrSpec(widths=(2, 4, 1), omega=(5.0,), coord_order="uv", value_kind="quantity")
    params = torch.zeros(1, spec.num_params)
    other = Signal(values=torch.zeros(6, 1), grid=(2, 3))
    (part,) = sections(spec, Params.from_flat(spec, params), (3, 2), other)
    assert part.signal is None
    assert part.samples is None
    for draw in (waves_figure, planes_figure):
        with pytest.raises(ValueError, match="at least one INR"):
            draw(spec, [])
