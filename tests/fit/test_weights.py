"""Weights of points count in the loss and in the PSNR as repeated points would."""

import numpy as np
import pytest
import torch

import inrgen
from inrgen.core.spec import InrSpec
from inrgen.fit.config import FitConfig, FitPlan
from inrgen.fit.cpu_engine import CpuEngine
from inrgen.fit.engines import resolve_engine
from inrgen.fit.torch_engine import TorchEngine
from inrgen.fit.views import fit_block
from inrgen.sources.base import BadSignal, Item, Signal
from inrgen.sources.signal_array import make_signal_array

SPEC = InrSpec(
    widths=(2, 6, 1), omega=(4.0,), value_kind="quantity", coord_order="uv", value_range=(-1, 1)
)
POINTS = torch.rand(10, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
VALUES = torch.sin(3 * POINTS[:, :1])
COUNTS = torch.tensor([1.0, 2, 1, 1, 3, 1, 0, 1, 2, 1])


def fitted(values=VALUES, coords=POINTS, weights=None, engine=None, **fit):
    plan = FitPlan(spec=SPEC, fit=FitConfig(num_steps=30, lr=1e-2, **fit), seed=0, views=1)
    signal = Signal(values=values, coords=coords, weights=weights)
    item = Item(item_id="a", split="train")
    return fit_block(plan, engine or TorchEngine(), [item], [signal], first_row=0)


def test_weights_are_repeated_points():
    index = torch.arange(10).repeat_interleave(COUNTS.long())
    once = fitted(weights=5 * COUNTS)  # only shares count
    twice = fitted(VALUES[index], POINTS[index])
    np.testing.assert_allclose(once.flat, twice.flat, rtol=1e-3, atol=1e-6)
    assert once.records[0].psnr_db == pytest.approx(twice.records[0].psnr_db, abs=1e-2)
    assert once.records[0].psnr_db != pytest.approx(fitted().records[0].psnr_db, abs=0.1)


@pytest.mark.parametrize("points", [0, 4])
def test_a_point_of_no_weight_moves_nothing(points):
    other = VALUES.clone()
    other[6] = 100.0
    first, second = (fitted(v, weights=COUNTS, points_per_step=points) for v in (VALUES, other))
    assert first.flat.tobytes() == second.flat.tobytes()
    assert first.records[0].psnr_db == second.records[0].psnr_db
    assert first.records[0].source_sha256 != second.records[0].source_sha256


def test_engines_that_do_not_know_weights_are_never_taken():
    assert resolve_engine("auto", SPEC, FitConfig(), weighted=True) == "torch"
    with pytest.raises(ValueError, match="engine must be torch for signals with weights"):
        resolve_engine("cpu", SPEC, FitConfig(), weighted=True)
    with pytest.raises(ValueError, match=r"SourceFacts\(weighted=True\)"):
        fitted(weights=COUNTS, engine=CpuEngine(threads=1))


@pytest.mark.parametrize("wrong", [-COUNTS, 0 * COUNTS, COUNTS / 0])
def test_wrong_weights_are_a_bad_signal(wrong):
    with pytest.raises(BadSignal, match=r"weights that are negative|a finite weight for each"):
        Signal(values=VALUES, coords=POINTS, weights=wrong)


def test_a_file_of_arrays_may_bring_weights(tmp_path):
    values = np.stack([VALUES, 2 * VALUES, VALUES])
    shares = np.stack([COUNTS, COUNTS, -COUNTS])
    np.savez(tmp_path / "a.npz", values=values, coords=POINTS, weights=shares, splits="train")
    options = {"views": 1, "num_steps": 3, "workers": 0, "hidden": (6,)}
    store = inrgen.build("array", data=str(tmp_path / "a.npz"), out=tmp_path / "a", **options)
    records = store.read_records(["status", "reason", "engine"]).to_pylist()
    assert [(r["status"], r["engine"]) for r in records[:2]] == [("ok", "torch")] * 2
    assert (records[2]["status"], "negative" in records[2]["reason"]) == ("bad_input", True)
    again = inrgen.build(
        values[:2],
        coords=POINTS.numpy(),
        weights=COUNTS.numpy(),
        splits="train",
        out=tmp_path / "b",
        **options,
    )
    assert torch.equal(again.read([0]).flat(), store.read([0]).flat())
    with pytest.raises(
        ValueError, match=r"weights needs numbers of the shape \(3, 10\) or \(10,\)"
    ):
        make_signal_array(values, coords=POINTS.numpy(), weights=shares[:2])
    with pytest.raises(ValueError, match=r"differs in items.data_sha256"):
        inrgen.build(
            values[:2],
            coords=POINTS.numpy(),
            weights=2 * COUNTS.numpy(),
            splits="train",
            out=tmp_path / "b",
            **options,
        )
