"""A block has one record a row for any signals, and its quality is measured from the rows."""

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from inrgen.core.geometry import grid_coords
from inrgen.core.params import Params
from inrgen.core.siren import evaluate
from inrgen.core.spec import InrSpec
from inrgen.fit.config import FitConfig, FitPlan
from inrgen.fit.engine import FitBatch, FitResult
from inrgen.fit.torch_engine import TorchEngine
from inrgen.fit.views import fit_block
from inrgen.sources.base import BadSignal, Item, Signal

SPEC = InrSpec(widths=(2, 6, 5, 1), omega=(30.0, 30.0), output_offset=0.5)


@dataclass(frozen=True)
class SpyEngine:
    """Leaves the initial weights, except for INRs in poison; records batch sizes."""

    poison: frozenset[int] = frozenset()
    seen: list[int] = field(default_factory=list)
    name: str = "spy"
    device: str = "cpu"

    def fit(self, spec: InrSpec, config: FitConfig, batch: FitBatch) -> FitResult:
        self.seen.append(len(batch.start))
        flat = batch.start.flat()
        loss = torch.full((len(flat),), 0.25)
        for at in self.poison:
            flat[at], loss[at] = math.nan, math.nan
        return FitResult(
            params=Params.from_flat(spec, flat),
            final_loss=loss,
            num_steps=torch.full((len(flat),), 7),
        )


def make_items(count: int) -> list[Item]:
    return [Item(item_id=f"train/{n}", split="train", label=n % 3) for n in range(count)]


def make_signal(rows: int, columns: int, seed: int = 0) -> Signal:
    values = torch.rand(rows * columns, 1, generator=torch.Generator().manual_seed(seed))
    return Signal(values=values, grid=(rows, columns))


def make_plan(views: int = 3, **facts) -> FitPlan:
    return FitPlan(spec=SPEC, fit=FitConfig(num_steps=4), seed=1, views=views, **facts)


def test_rows_are_items_times_views_in_order():
    items = make_items(4)
    fitted = fit_block(make_plan(), SpyEngine(), items, [make_signal(4, 4)] * 4, first_row=24)
    assert [r.row for r in fitted.records] == list(range(24, 36))
    assert [(r.item_id, r.view) for r in fitted.records] == [
        (item.item_id, view) for item in items for view in range(3)
    ]
    assert fitted.flat.shape == (12, SPEC.num_params)
    assert len(np.unique(fitted.flat, axis=0)) == 12


def test_an_unreadable_item_keeps_its_rows_as_nan_with_the_reason():
    signals = [make_signal(4, 4), BadSignal("cut short"), make_signal(4, 4)]
    fitted = fit_block(make_plan(), SpyEngine(), make_items(3), signals, first_row=0)
    assert [r.status for r in fitted.records] == ["ok"] * 3 + ["bad_input"] * 3 + ["ok"] * 3
    assert {r.reason for r in fitted.records[3:6]} == {"cut short"}
    assert np.isnan(fitted.flat[3:6]).all()
    assert np.isfinite(fitted.flat[[0, 1, 2, 6, 7, 8]]).all()


class SmallEngine(SpyEngine):
    """An engine whose memory holds a few values at a time; torch's own error tells of more."""

    def fit(self, spec: InrSpec, config: FitConfig, batch: FitBatch) -> FitResult:
        if batch.values.numel() > 20:
            torch.empty(2**60, dtype=torch.uint8)
        return super().fit(spec, config, batch)


def test_what_memory_does_not_hold_costs_its_item_a_record():
    """Items that fit alone are fitted alone, with the rows that they have in company."""
    signals = [make_signal(4, 4), make_signal(4, 4, seed=1), make_signal(6, 6)]
    fitted = fit_block(make_plan(), SmallEngine(), make_items(3), signals, first_row=0)
    assert [r.status for r in fitted.records] == ["ok"] * 6 + ["bad_input"] * 3
    assert "does not hold a fit of 36 points" in fitted.records[6].reason
    assert "lower --max-side, --hidden, --views or --workers" in fitted.records[6].reason
    whole = fit_block(make_plan(), SpyEngine(), make_items(3), signals, first_row=0)
    np.testing.assert_array_equal(fitted.flat[:6], whole.flat[:6])


def test_a_fit_that_turns_non_finite_is_a_nan_row_and_no_other():
    fitted = fit_block(
        make_plan(), SpyEngine(poison=frozenset({4})), make_items(2), [make_signal(4, 4)] * 2, 0
    )
    assert [r.status == "non_finite" for r in fitted.records] == [n == 4 for n in range(6)]
    assert np.isnan(fitted.flat).any(axis=1).tolist() == [n == 4 for n in range(6)]
    assert "non-finite within 7 steps" in fitted.records[4].reason


def test_psnr_is_that_of_the_rows_and_not_of_the_last_loss():
    signal = make_signal(5, 7)
    fitted = fit_block(make_plan(), SpyEngine(), make_items(1), [signal], first_row=0)
    params = Params.from_flat(SPEC, torch.from_numpy(fitted.flat).double())
    coords = grid_coords(SPEC, (5, 7)).double()
    error = evaluate(SPEC, params, coords) - signal.values.double()
    expected = -10 * torch.log10(error.square().mean(dim=(1, 2)))
    measured = torch.tensor([r.psnr_db for r in fitted.records], dtype=torch.float64)
    torch.testing.assert_close(measured, expected)
    assert all(r.final_loss == 0.25 for r in fitted.records)


def test_rows_below_the_wanted_quality_are_marked_and_kept():
    fitted = fit_block(
        make_plan(min_psnr_db=90.0), SpyEngine(), make_items(1), [make_signal(4, 4)], first_row=0
    )
    assert {r.status for r in fitted.records} == {"below_target"}
    assert "under the 90 dB asked for" in fitted.records[0].reason
    assert np.isfinite(fitted.flat).all()


def test_mixed_sizes_are_fitted_together_where_they_are_alike():
    engine = SpyEngine()
    signals = [make_signal(4, 4), make_signal(4, 4), make_signal(3, 5), make_signal(5, 3)]
    fitted = fit_block(make_plan(), engine, make_items(4), signals, first_row=0)
    assert engine.seen == [6, 3, 3]
    assert [r.grid for r in fitted.records[::3]] == [(4, 4), (4, 4), (3, 5), (5, 3)]


@pytest.mark.parametrize(
    ("name", "sizes"), [("spy", [3, 3, 3, 3]), ("gpu", [12])], ids=["processor", "gpu"]
)
def test_slow_fits_are_reported_one_by_one_except_on_a_gpu(name, sizes, monkeypatch):
    monkeypatch.setattr("inrgen.fit.views._FLOP_AT_ONCE", 1)
    monkeypatch.setattr("inrgen.fit.views._INRS_A_THREAD", 0)
    engine, told = SpyEngine(name=name), []
    signals = [make_signal(4, 4)] * 4
    fit_block(make_plan(), engine, make_items(5), [*signals, BadSignal("x")], 0, told.append)
    assert engine.seen == sizes
    assert told == [*sizes, 3]


def test_wide_networks_are_fitted_in_groups_bounded_by_their_weights(monkeypatch):
    monkeypatch.setattr("inrgen.fit.views._WEIGHTS_AT_ONCE", 7 * SPEC.num_params)
    engine = SpyEngine()
    fit_block(make_plan(), engine, make_items(5), [make_signal(4, 4)] * 5, first_row=0)
    assert engine.seen == [6, 6, 3]


def test_loose_points_are_fitted_a_few_at_once_as_they_take_long_to_prepare(monkeypatch):
    monkeypatch.setattr("inrgen.fit.views._INRS_A_THREAD", 6)
    monkeypatch.setattr("torch.get_num_threads", lambda: 1)
    engine = SpyEngine()
    signals = [Signal(values=torch.rand(9, 1), coords=torch.rand(9, 2)) for _ in range(5)]
    fit_block(make_plan(), engine, make_items(5), signals, first_row=0)
    assert engine.seen == [6, 6, 3]


def test_loose_points_bring_their_own_coordinates():
    signals = [
        Signal(values=torch.rand(9, 1), coords=torch.rand(9, 2)),
        Signal(values=torch.rand(9, 1), coords=torch.rand(9, 2)),
    ]
    fitted = fit_block(make_plan(), SpyEngine(), make_items(2), signals, first_row=0)
    params = Params.from_flat(SPEC, torch.from_numpy(fitted.flat[3:4]).double())
    assert signals[1].coords is not None
    error = evaluate(SPEC, params, signals[1].coords.double()) - signals[1].values.double()
    assert fitted.records[3].psnr_db == pytest.approx(
        -10 * math.log10(error.square().mean().item())
    )


def test_values_are_moved_to_the_range_of_the_spec():
    spec = InrSpec(widths=(2, 4, 1), omega=(30.0,), value_range=(-1.0, 1.0))
    plan = FitPlan(spec=spec, fit=FitConfig(), seed=0, views=1)
    signal = make_signal(4, 4)
    fitted = fit_block(plan, SpyEngine(), make_items(1), [signal], first_row=0)
    params = Params.from_flat(spec, torch.from_numpy(fitted.flat).double())
    error = evaluate(spec, params, grid_coords(spec, (4, 4)).double()) - (2 * signal.values - 1)
    expected = 10 * math.log10(4 / error.square().mean().item())
    assert fitted.records[0].psnr_db == pytest.approx(expected)


@pytest.mark.parametrize("alone", [0, 2])
def test_a_row_does_not_depend_on_the_rest_of_its_block(alone):
    items, signals = make_items(3), [make_signal(4, 4, seed) for seed in range(3)]
    engine = TorchEngine()
    together = fit_block(make_plan(), engine, items, signals, first_row=0)
    apart = fit_block(make_plan(), engine, [items[alone]], [signals[alone]], first_row=0)
    assert apart.flat.tobytes() == together.flat[3 * alone : 3 * alone + 3].tobytes()
