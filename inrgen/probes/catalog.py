"""Probes by name: what each sees of an INR, and what learns from it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inrgen.core.grid import grid_coords
from inrgen.core.matching import MatchConfig, match
from inrgen.core.params import Params
from inrgen.core.siren import evaluate
from inrgen.core.spec import InrSpec
from inrgen.core.template import iterated_mean
from inrgen.probes.divisions import Division
from inrgen.probes.mlp import Accuracy, LabelledRows, ProbeConfig, mlp_hits
from inrgen.probes.unit_kernel import kernel_hits, unit_features
from inrgen.probes.unit_sets import set_hits

ProbeName = Literal[
    "mlp_raw",
    "mlp_permutation",
    "mlp_signed",
    "set_raw",
    "kernel_raw",
    "kernel_permutation",
    "kernel_signed",
    "kernel_set",
    "kernel_values",
]
Seen = Literal["raw", "permutation", "signed", "units", "values"]
PROBES: dict[ProbeName, tuple[Literal["mlp", "set", "kernel"], Seen]] = {
    "mlp_raw": ("mlp", "raw"),
    "mlp_permutation": ("mlp", "permutation"),
    "mlp_signed": ("mlp", "signed"),
    "set_raw": ("set", "raw"),
    "kernel_raw": ("kernel", "raw"),
    "kernel_permutation": ("kernel", "permutation"),
    "kernel_signed": ("kernel", "signed"),
    "kernel_set": ("kernel", "units"),
    "kernel_values": ("kernel", "values"),
}
TRAINED: tuple[ProbeName, ...] = ("mlp_raw", "mlp_permutation", "mlp_signed", "set_raw")
# Points of a regular grid at which functions are compared by their values.
_NUM_VALUES = 1728


@dataclass(frozen=True, kw_only=True, slots=True)
class Learners:
    """How probes learn.

    mlp: how the plain MLP is trained.
    set_model: how the network that sees neither order nor signs is trained.
    repeats: trainings of each of these, with one seed after the other.
    seed: names all randomness.
    """

    mlp: ProbeConfig = field(default_factory=ProbeConfig)
    set_model: ProbeConfig = field(
        default_factory=lambda: ProbeConfig(hidden=64, dropout=0.2, lr=2e-3, batch=64, epochs=16)
    )
    repeats: int = 2
    seed: int = 0


def judged_shares(
    spec: InrSpec,
    params: Params,
    labels: Int[Tensor, " b"],
    divisions: Sequence[Division],
    probes: Sequence[ProbeName],
    learners: Learners,
) -> dict[ProbeName, Float[Tensor, " b"]]:
    """The share of a probe's trainings that classify each INR rightly; NaN where none judges it.

    INRs that are not finite are left out. A division of which then a part is empty judges nothing.
    """
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
        seen: dict[Seen, Float[Tensor, "b f"]] = {"raw": flat, "values": values}
        for name in probes:
            learner, what = PROBES[name]
            if what not in seen:
                seen[what] = _fitted_view(spec, params, division.train, what, learners.seed)
            train, val, test = (
                LabelledRows(flat=seen[what][at], labels=labels[at])
                for at in (division.train, division.val, division.test)
            )
            shares[name][division.test] = _learn(spec, learner, train, val, test, learners)
    return shares


def _values(spec: InrSpec, params: Params) -> Float[Tensor, "b n"]:
    """What the INRs' functions hold on a coarse grid, within the range of their targets."""
    resolution = round(_NUM_VALUES ** (1 / spec.d_in))
    at = grid_coords(spec, (resolution,) * spec.d_in)
    values = torch.cat([evaluate(spec, params[[i]], at) for i in range(len(params))])
    return values.clamp(*spec.value_range).flatten(1)


def _fitted_view(
    spec: InrSpec, params: Params, train: Int[Tensor, " t"], what: Seen, seed: int
) -> Float[Tensor, "b f"]:
    """All INRs as a probe sees them that is told by the training ones how to look."""
    if what == "units":
        return unit_features(spec, params[train].flat(), params.flat(), seed)
    assert what in ("permutation", "signed"), "the others need no training INRs"
    search = MatchConfig(kind=what)
    template = iterated_mean(spec, params[train], config=search)
    return match(spec, template, params, search).aligned.flat()


def _learn(
    spec: InrSpec,
    learner: Literal["mlp", "set", "kernel"],
    train: LabelledRows,
    val: LabelledRows,
    test: LabelledRows,
    learners: Learners,
) -> Float[Tensor, " j"]:
    """The share of trainings that classify each test row rightly."""
    if learner == "kernel":
        return kernel_hits(train, val, test).double()
    # One config and one seed for all recipes, so that they differ by their weights alone.
    config = learners.mlp if learner == "mlp" else learners.set_model
    turns = []
    for turn in range(learners.repeats):
        now = replace(config, seed=config.seed + learners.seed + turn)
        if learner == "mlp":
            turns.append(mlp_hits(train, val, test, now))
        else:
            turns.append(set_hits(spec, train, val, test, now))
    return torch.stack(turns).double().mean(dim=0)


def accuracy(shares: Float[Tensor, " b"]) -> Accuracy:
    """The mean of shares that are known, in %, and its standard error over INRs; NaN of none."""
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
    """By how many points each probe does better than on the first recipe, INR for INR.

    The same items are judged on both, so what is hard about an item cancels, and the standard error
    is smaller than that of either accuracy.
    """
    return {name: accuracy(shares[name] - first[name]) for name in shares}
