"""Laws of ensembles over views and repeats, and of reduced precision."""

import math
from dataclasses import replace

import pytest
import torch

from inrgen.core.spec import InrSpec
from inrgen.probes import catalog
from inrgen.probes.catalog import ensemble_shares, judged_shares
from inrgen.probes.classifiers import LabelledRows, mlp_scores
from inrgen.probes.config import Learners, ProbeConfig, ProbeTraining
from inrgen.probes.subjects import divide_by_split
from tests.probes.test_probes import start

SPEC = InrSpec(widths=(2, 6, 5, 1), omega=(30.0, 30.0))
QUICK = Learners(mlp=ProbeTraining(hidden=16, epochs=8, batch=8, lr=1e-2), repeats=1)
ITEMS, VIEWS = 48, 3
LABELS = (torch.arange(ITEMS) % 3).repeat_interleave(VIEWS)
ITEM_OF = torch.arange(ITEMS).repeat_interleave(VIEWS)
VIEW_OF = torch.arange(VIEWS).repeat(ITEMS)
SPLITS = ["train"] * 30 + ["val"] * 6 + ["test"] * 12


def told_by_bias(labels):
    """Make INRs whose class is the size of the first biases."""
    params = start(len(labels))
    moved = params.biases[0] + labels.float()[:, None]
    return replace(params, biases=(moved, *params.biases[1:]))


def judge(params, labels=LABELS, learners=QUICK, view_of=VIEW_OF, item_of=ITEM_OF):
    by_item = divide_by_split(SPLITS)
    by_inr = [division.expand(item_of) for division in by_item]
    probes = ("mlp_raw",)
    found = ensemble_shares(SPEC, params, labels, item_of, view_of, by_inr, probes, learners)
    return found["mlp_raw"], by_inr


def test_an_ensemble_of_one_network_is_that_network():
    labels = torch.arange(ITEMS) % 3
    params = told_by_bias(labels)
    found, divisions = judge(params, labels, QUICK, 0 * labels, torch.arange(ITEMS))
    alone = judged_shares(SPEC, params, labels, divisions, ("mlp_raw",), QUICK)["mlp_raw"]
    torch.testing.assert_close(found, alone, equal_nan=True)
    assert found.nanmean() > 0.6


def test_each_view_has_its_own_networks_whose_mean_decides(monkeypatch):
    """Two of three views are sure of class 0, and the third is surer of class 1."""
    seen, params = [], told_by_bias(LABELS)
    log_probabilities = torch.tensor([[-0.1, -2.0, -9.0], [-0.1, -2.0, -9.0], [-9.0, -0.1, -9.0]])

    def note(train, val, test, config):
        seen.append((train.flat, config.seed))
        return log_probabilities[len(seen) - 1].expand(len(test.flat), 3)

    monkeypatch.setattr(catalog, "mlp_scores", note)
    found, (division,) = judge(params)
    flat = params.flat()
    for view in range(VIEWS):
        own = division.train[VIEW_OF[division.train] == view]
        assert torch.equal(seen[view][0], flat[own])
    assert len({seed for _, seed in seen[:VIEWS]}) == VIEWS
    assert (~found.isnan()).nonzero()[:, 0].tolist() == division.test.tolist()
    assert torch.equal(found[division.test], (LABELS[division.test] == 1).double())


def test_failed_views_are_left_out_and_unknown_classes_never_win():
    labels = LABELS.clone()
    labels[-VIEWS:] = 3  # a class that train lacks
    params = told_by_bias(LABELS)
    broken = params.weights[0].clone()
    broken[VIEW_OF == 2] = math.nan
    found, (division,) = judge(replace(params, weights=(broken, *params.weights[1:])), labels)
    without = judge(
        params[VIEW_OF < 2],
        labels[VIEW_OF < 2],
        QUICK,
        *(part[VIEW_OF < 2] for part in (VIEW_OF, ITEM_OF)),
    )[0]
    torch.testing.assert_close(found[VIEW_OF < 2], without, equal_nan=True)
    assert found[-1] == 0.0
    assert found[division.test].nanmean() > 0.5


def test_reduced_precision_learns_the_same_classes():
    flat, labels = told_by_bias(LABELS).flat().float(), LABELS
    rows = LabelledRows(flat=flat, labels=labels)
    whole, reduced = (
        mlp_scores(rows, rows, rows, replace(QUICK.mlp, precision=precision))
        for precision in ("float32", "bfloat16")
    )
    assert whole.dtype == reduced.dtype == torch.float32
    assert (whole.argmax(dim=1) == reduced.argmax(dim=1)).double().mean() > 0.9
    assert not torch.equal(whole, reduced)


def test_probes_without_probabilities_have_no_ensemble():
    with pytest.raises(ValueError, match="ensemble is for mlp_raw"):
        ProbeConfig(store="STORE", ensemble=True, probes=("kernel_raw",))
