"""Probes by name: each pairs a learner with a view of the weights."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from inrgen.core.activations import ODD
from inrgen.core.config import MatchConfig
from inrgen.core.geometry import grid_coords
from inrgen.core.matching import match
from inrgen.core.params import Params
from inrgen.core.siren import evaluate
from inrgen.core.spec import InrSpec
from inrgen.core.template import iterated_mean
from inrgen.probes.classifiers import LabelledRows, kernel_hits, mlp_scores
from inrgen.probes.config import Learners, ProbeName
from inrgen.probes.subjects import Division
from inrgen.probes.unit_sets import set_scores, unit_features

Learner = Literal["mlp", "set", "kernel"]
View = Literal["raw", "permutation", "signed", "units", "values", "pixels"]
PARTS: dict[ProbeName, tuple[Learner, View]] = {
    "mlp_raw": ("mlp", "raw"),
    "mlp_permutation": ("mlp", "permutation"),
    "mlp_signed": ("mlp", "signed"),
    "mlp_pixels": ("mlp", "pixels"),
    "set_raw": ("set", "raw"),
    "kernel_raw": ("kernel", "raw"),
    "kernel_permutation": ("kernel", "permutation"),
    "kernel_signed": ("kernel", "signed"),
    "kernel_set": ("kernel", "units"),
    "kernel_values": ("kernel", "values"),
}
HEADS: dict[ProbeName, str] = {
    "mlp_raw": "MLP raw",
    "mlp_permutation": "MLP permuted",
    "mlp_signed": "MLP signed",
    "mlp_pixels": "MLP pixels",
    "set_raw": "set model",
    "kernel_raw": "kernel raw",
    "kernel_permutation": "kernel permuted",
    "kernel_signed": "kernel signed",
    "kernel_set": "kernel set",
    "kernel_values": "kernel values",
}
# Points of the values probe's grid, about: 12 a side in three dimensions, 42 in two.
_NUM_VALUES = 1728


@dataclass(frozen=True, kw_only=True, slots=True)
class Accuracy:
    """Test accuracy of a probe, or a difference of two.

    Attributes:
        percent: accuracy in %.
        standard_error: standard error over test rows, in %. It says how far another draw of test
            rows would move the figure; other training rows would move it further.
    """

    percent: float
    standard_error: float


def check_probes(spec: InrSpec, probes: Sequence[ProbeName]) -> None:
    """Raise ValueError for a probe that aligns by symmetries that the networks lack."""
    signed = [name for name in probes if PARTS[name][1] == "signed"]
    if signed and spec.activation not in ODD:
        raise ValueError(
            f"probes needs none that align with signs, such as {signed[0]}, for networks with "
            f"{spec.activation}: they need one of {', '.join(ODD)}"
        )


def judged_shares(
    spec: InrSpec,
    params: Params,
    labels: Int[Tensor, " b"],
    divisions: Sequence[Division],
    probes: Sequence[ProbeName],
    learners: Learners,
    pixels: Float[Tensor, "b n"] | None = None,
) -> dict[ProbeName, Float[Tensor, " b"]]:
    """Share of each probe's trainings that classify an INR correctly; NaN where none judges it.

    INRs that are not finite are left out. A division that then has an empty part is skipped.

    Args:
        params: b INRs.
        labels: class numbers; (b,).
        divisions: parts to learn from and to judge; their test parts must not overlap.
        probes: probes to train.
        learners: how they train.
        pixels: values of the signal of each INR, which mlp_pixels needs.
    """
    check_probes(spec, probes)
    flat = params.flat()
    good = flat.isfinite().all(dim=1)
    shares: dict[ProbeName, Float[Tensor, " b"]] = {
        name: torch.full((len(labels),), math.nan, dtype=torch.float64) for name in probes
    }
    values = _values(spec, params) if "kernel_values" in probes else flat
    for whole in divisions:
        division = whole.keep(good)
        if not division.is_whole:
            continue
        views: dict[View, Float[Tensor, "b f"]] = {"raw": flat, "values": values}
        if pixels is not None:
            views["pixels"] = pixels
        for name in probes:
            learner, view = PARTS[name]
            # A template is fitted once per division, for all probes that share the view.
            if view not in views:
                views[view] = _fitted_view(spec, params, division.train, view, learners.seed)
            train, val, test = (
                LabelledRows(flat=views[view][at], labels=labels[at])
                for at in (division.train, division.val, division.test)
            )
            shares[name][division.test] = _learn(spec, learner, train, val, test, learners)
    return shares


def _values(spec: InrSpec, params: Params) -> Float[Tensor, "b n"]:
    """Values of the INRs' functions on a coarse grid, clipped to the range of their targets."""
    resolution = round(_NUM_VALUES ** (1 / spec.d_in))
    at = grid_coords(spec, (resolution,) * spec.d_in)
    # One INR at a time: the activations of thousands on the grid would take gigabytes.
    values = torch.cat([evaluate(spec, params[[i]], at) for i in range(len(params))])
    return values.clamp(*spec.value_range).flatten(1)


def _fitted_view(
    spec: InrSpec, params: Params, train: Int[Tensor, " t"], view: View, seed: int
) -> Float[Tensor, "b f"]:
    """Features of all INRs in a view that is fitted to the training INRs."""
    if view == "units":
        return unit_features(spec, params[train].flat(), params.flat(), seed)
    assert view in ("permutation", "signed"), "the other views need no training INRs"
    # Test INRs must not shape the template that they are aligned to.
    search = MatchConfig(kind=view)
    template = iterated_mean(spec, params[train], config=search)
    return match(spec, template, params, search).aligned.flat()


def _learn(
    spec: InrSpec,
    learner: Learner,
    train: LabelledRows,
    val: LabelledRows,
    test: LabelledRows,
    learners: Learners,
) -> Float[Tensor, " j"]:
    """Share of trainings that classify each test row correctly."""
    if learner == "kernel":
        return kernel_hits(train, val, test).double()
    scores = _scores(spec, learner, train, val, test, learners)
    return (scores.argmax(dim=2) == test.labels).double().mean(dim=0)


def _scores(
    spec: InrSpec,
    learner: Learner,
    train: LabelledRows,
    val: LabelledRows,
    test: LabelledRows,
    learners: Learners,
) -> Float[Tensor, "r j c"]:
    """Log-probabilities of the classes of each test row, from r trainings."""
    # Every recipe gets the same config and seeds, so that recipes differ by their weights alone.
    config = learners.mlp if learner == "mlp" else learners.set_model
    turns = []
    for turn in range(learners.repeats):
        now = replace(config, seed=config.seed + learners.seed + turn)
        if learner == "mlp":
            turns.append(mlp_scores(train, val, test, now))
        else:
            turns.append(set_scores(spec, train, val, test, now))
    return torch.stack(turns)


def ensemble_shares(
    spec: InrSpec,
    params: Params,
    labels: Int[Tensor, " b"],
    item_of: Int[Tensor, " b"],
    view_of: Int[Tensor, " b"],
    divisions: Sequence[Division],
    probes: Sequence[ProbeName],
    learners: Learners,
    pixels: Float[Tensor, "b n"] | None = None,
) -> dict[ProbeName, Float[Tensor, " b"]]:
    """Verdict on each judged INR's item by all networks together: 1 if right, 0 if wrong, else NaN.

    Each view has networks of its own, because views of learned starts have other weights. Their
    mean log-probability decides. Arguments are those of judged_shares, and:

    Args:
        item_of, view_of: the item and the view of each INR; (b,).
    """
    check_probes(spec, probes)
    flat, num_classes = params.flat(), int(labels.max()) + 1
    good = flat.isfinite().all(dim=1)
    shares: dict[ProbeName, Float[Tensor, " b"]] = {
        name: torch.full((len(labels),), math.nan, dtype=torch.float64) for name in probes
    }
    for whole, name in product(divisions, probes):
        learner, view = PARTS[name]
        rows = flat if view == "raw" else pixels
        assert rows is not None, "ensembles read raw weights or pixels"
        total = flat.new_zeros(int(item_of.max()) + 1, num_classes)
        judged = torch.zeros(len(total), dtype=torch.bool)
        for number in view_of.unique().tolist():
            division = whole.keep(good & (view_of == number))
            if not division.is_whole:
                continue
            train, val, test = (
                LabelledRows(flat=rows[at], labels=labels[at])
                for at in (division.train, division.val, division.test)
            )
            own = replace(learners, seed=learners.seed + learners.repeats * number)
            scores = _scores(spec, learner, train, val, test, own).mean(dim=0)
            # A class that train lacks must never win.
            missing = num_classes - scores.shape[1]
            scores = nn.functional.pad(scores, (0, missing), value=-math.inf)
            total.index_add_(0, item_of[division.test], scores)
            judged[item_of[division.test]] = True
        right = total.argmax(dim=1)[item_of] == labels
        at = whole.test[judged[item_of[whole.test]]]
        shares[name][at] = right[at].double()
    return shares


def accuracy(shares: Float[Tensor, " b"]) -> Accuracy:
    """Mean of the known shares in %, with its standard error; NaN where none is known."""
    known = shares[~shares.isnan()]
    if not len(known):
        return Accuracy(percent=math.nan, standard_error=math.nan)
    return Accuracy(
        percent=100.0 * float(known.mean()),
        standard_error=100.0 * float(known.std(correction=0)) / math.sqrt(len(known)),
    )


def differences(
    shares: Mapping[ProbeName, Float[Tensor, " b"]], first: Mapping[ProbeName, Float[Tensor, " b"]]
) -> dict[ProbeName, Accuracy]:
    """Gain of each probe over the first recipe in points, INR by INR.

    Both recipes are judged on the same items, so the difficulty of an item cancels. The standard
    error is smaller than that of either accuracy.
    """
    return {name: accuracy(shares[name] - first[name]) for name in shares}


def accuracy_text(found: Accuracy, sign: str = "") -> str:
    """Accuracy with its standard error; sign is "+" for differences."""
    return f"{found.percent:{sign}.1f} ±{found.standard_error:.1f}"
