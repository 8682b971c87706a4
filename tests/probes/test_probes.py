"""Probes: divisions, invariances, and accuracies with their errors."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from inrgen.core import rng, symmetry
from inrgen.core.config import InitConfig, Split
from inrgen.core.params import Params
from inrgen.core.siren import initialise
from inrgen.core.spec import InrSpec
from inrgen.probes.catalog import accuracy, check_probes, differences, judged_shares
from inrgen.probes.classifiers import LabelledRows, kernel_hits, mixed_loss, mlp_hits
from inrgen.probes.config import PROBES, Learners, ProbeName, ProbeTraining
from inrgen.probes.subjects import Division, divide_by_folds, divide_by_split
from inrgen.probes.unit_sets import unit_features

SPEC = InrSpec(widths=(2, 6, 5, 1), omega=(30.0, 30.0))
QUICK = ProbeTraining(hidden=8, epochs=1, batch=32)
LABELS = torch.arange(96) % 3


def start(num, seed=0):
    keys = rng.keys(seed, "probed", torch.arange(num))
    return initialise(SPEC, InitConfig(first_layer="siren", last_layer="siren"), keys)


def told_by_size(labels):
    """Make INRs whose class is the size of a layer's weights."""
    params = start(len(labels))
    size = 1.0 + 2.0 * labels.float()
    weights = (params.weights[0], params.weights[1] * size[:, None, None], params.weights[2])
    return replace(params, weights=weights)


def shuffled(params, seed=5):
    keys = rng.keys(seed, "shuffled", torch.arange(len(params)))
    signs = tuple(
        rng.integers(rng.fold(keys, layer), (width,), 0, 2) * 2 - 1
        for layer, width in enumerate(SPEC.widths[1:-1])
    )
    moved = symmetry.permute(params, symmetry.random_permutations(SPEC, keys))
    return symmetry.negate(moved, signs)


def folds(num=4, seed=0):
    return divide_by_folds(
        LABELS, rng.hash_items(f"item {at}" for at in range(len(LABELS))), num, seed
    )


def test_folds_judge_every_inr_once_by_others_with_classes_even():
    divisions = folds()
    judged = torch.cat([division.test for division in divisions])
    assert judged.sort().values.tolist() == list(range(len(LABELS)))
    for division in divisions:
        parts = (division.train, division.val, division.test)
        assert torch.cat(parts).sort().values.tolist() == list(range(len(LABELS)))
        for part, size in zip(parts, (20, 4, 8), strict=True):
            assert LABELS[part].bincount().tolist() == [size] * 3
    assert not torch.equal(folds(seed=1)[0].test, divisions[0].test)


def test_a_fold_depends_on_names_and_not_on_the_order_of_items():
    hashes = rng.hash_items(f"item {at}" for at in range(len(LABELS)))
    turned = divide_by_folds(LABELS.flip(0), hashes.flip(0), 4, 0)
    for there, here in zip(folds(), turned, strict=True):
        back = len(LABELS) - 1 - here.test
        assert back.sort().values.tolist() == there.test.tolist()


def test_splits_make_the_division_they_say():
    (division,) = divide_by_split(["train", "test", "train", "val"])
    assert [part.tolist() for part in (division.train, division.val, division.test)] == [
        [0, 2],
        [3],
        [1],
    ]


def test_the_kernel_probe_learns_a_curved_border_and_no_noise():
    points = rng.uniform(rng.keys(0, "ring", torch.arange(240)), (2,), -1.0, 1.0)
    ring = (points.norm(dim=1) > 0.7).long()
    parts = torch.arange(240).split(80)

    def share(labels):
        train, val, test = (LabelledRows(flat=points[at], labels=labels[at]) for at in parts)
        return float(kernel_hits(train, val, test).double().mean())

    assert share(ring) > 0.85
    assert share(torch.arange(240) // 2 % 2) < 0.65


def test_unit_features_see_neither_order_nor_sign_and_repeat():
    params = told_by_size(LABELS[:12])
    flat, moved = params.flat(), shuffled(params).flat()
    seen = unit_features(SPEC, flat, flat, 0)
    torch.testing.assert_close(unit_features(SPEC, flat, moved, 0), seen, rtol=1e-4, atol=1e-5)
    assert torch.equal(unit_features(SPEC, flat, flat, 0), seen)
    assert not torch.equal(unit_features(SPEC, flat, flat, 1), seen)
    assert torch.cdist(seen, seen).fill_diagonal_(1.0).min() > 1e-4


def judge(params, probes, divisions, labels=LABELS):
    learners = Learners(mlp=QUICK, set_model=QUICK, repeats=2)
    pixels = labels[:, None].float()
    return judged_shares(SPEC, params, labels, divisions, probes, learners, pixels)


def test_probes_that_align_with_signs_are_refused_where_signs_do_not_cancel():
    for name in ("relu", "gaussian"):
        with pytest.raises(ValueError, match=f"such as mlp_signed, for networks with {name}"):
            check_probes(replace(SPEC, activation=name), ("mlp_raw", "mlp_signed"))
        check_probes(replace(SPEC, activation=name), ("mlp_raw", "mlp_permutation"))
    check_probes(replace(SPEC, activation="finer"), ("mlp_signed",))


def test_what_symmetries_hide_is_seen_by_those_that_see_neither_order_nor_sign():
    moved = shuffled(told_by_size(LABELS))
    found = judge(moved, ("kernel_raw", "kernel_set", "kernel_values"), folds())
    assert accuracy(found["kernel_set"]).percent > 80
    assert accuracy(found["kernel_raw"]).percent < 60
    plain = judge(told_by_size(LABELS), ("kernel_values",), folds())
    assert torch.equal(plain["kernel_values"], found["kernel_values"])


def test_every_probe_judges_the_test_inrs_and_no_others():
    parts: dict[Split, int] = {"train": 60, "val": 12, "test": 24}
    (division,) = divide_by_split([split for split, num in parts.items() for _ in range(num)])
    shares = judge(told_by_size(LABELS), PROBES, (division,))
    for share in shares.values():
        assert (~share.isnan()).nonzero()[:, 0].tolist() == division.test.tolist()


def test_rows_and_labels_are_mixed_by_the_same_shares():
    """One-hot rows turn into the labels that the loss must count."""
    torch.manual_seed(0)
    labels, seen = torch.arange(40) % 3, []

    def model(rows):
        seen.append(rows)
        return 2.0 * rows

    loss = mixed_loss(model, nn.functional.one_hot(labels).double(), labels, 0.4)
    torch.testing.assert_close(loss, nn.functional.cross_entropy(2.0 * seen[0], seen[0]))
    assert ((seen[0] > 0.05) & (seen[0] < 0.95)).any(), "some row is mixed"


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_cosine_lets_the_learning_rate_fall_to_nothing(monkeypatch, schedule):
    rates, step = [], torch.optim.AdamW.step

    def note(self, *args, **kwargs):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", note)
    rows = LabelledRows(flat=torch.randn(96, 4), labels=LABELS)
    mlp_hits(rows, rows, rows, replace(QUICK, epochs=5, schedule=schedule))
    assert len(rates) == 15
    assert rates[0] == QUICK.lr
    assert (rates[-1] < 0.02 * QUICK.lr) == (schedule == "cosine")
    assert sorted(rates, reverse=True) == rates


def test_failed_fits_are_neither_learned_from_nor_judged():
    params = told_by_size(LABELS)
    bad = torch.tensor([3, 50, 90])
    weights = params.weights[0].clone()
    weights[bad] = math.nan
    broken = Params(weights=(weights, *params.weights[1:]), biases=params.biases)
    shares = judge(broken, ("kernel_raw", "kernel_signed", "kernel_set"), folds())
    for share in shares.values():
        assert share.isnan().nonzero()[:, 0].tolist() == bad.tolist()
    empty = Division(train=bad, val=torch.tensor([0]), test=torch.tensor([1]))
    none = judge(broken, ("kernel_raw",), (empty,))["kernel_raw"]
    assert math.isnan(accuracy(none).percent)


def test_means_errors_and_paired_differences_are_those_of_shares():
    first: dict[ProbeName, Tensor] = {
        "mlp_raw": torch.tensor([1.0, 0.5, 0.0, 0.0, math.nan]).double()
    }
    found = accuracy(first["mlp_raw"])
    spread = float(first["mlp_raw"][:4].std(correction=0))
    assert found.percent == 37.5
    assert found.standard_error == pytest.approx(100 * spread / 2)
    other: dict[ProbeName, Tensor] = {
        "mlp_raw": torch.tensor([1.0, 1.0, 0.5, math.nan, 0.0]).double()
    }
    gain = differences(other, first)["mlp_raw"]
    assert gain.percent == pytest.approx(100 / 3)
    assert gain.standard_error == pytest.approx(100 * math.sqrt(2 / 9 / 4) / math.sqrt(3))
