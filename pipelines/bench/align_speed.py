"""Speed of matching: all pairs in one call, and pair by pair as published code does."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from inrgen.core import rng
from inrgen.core.config import InitConfig, Kind, MatchConfig, thorough
from inrgen.core.matching import match
from inrgen.core.params import Params
from inrgen.core.siren import initialise
from inrgen.core.spec import InrSpec
from inrgen.transforms.mix import MixUp
from pipelines.bench.fitted import FittedViews

KINDS: tuple[Kind, ...] = ("permutation", "signed", "phase")
# Pairs that the pair-by-pair methods are timed on.
_FEW = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeedRow:
    """Time of one method to match pairs.

    Attributes:
        job: the networks by their widths.
        method: a kind alone is one descent from the identity; "opened" is one descent from the
            ends, as in MixUp; "align" adds restarts, as `inrgen align` does.
        pairs: pairs matched.
        ms_a_pair: wall time per pair.
        cpu_ms_a_pair: processor time of all threads per pair, which other processes disturb less.
        speedup: ratio of the published code's wall time to this one.
    """

    job: str
    method: str
    pairs: int
    ms_a_pair: float
    cpu_ms_a_pair: float
    speedup: float


@dataclass(frozen=True, kw_only=True, slots=True)
class _Spent:
    """Least wall time and least processor time over some repeats."""

    wall_s: float
    cpu_s: float


def _fastest(repeats: int, work: Callable[[], object]) -> _Spent:
    work()  # the first call compiles
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return _Spent(wall_s=min(walls), cpu_s=min(cpus))


def pairs_of(views: FittedViews) -> tuple[Params, Params]:
    """Split views into the first and the second of each image."""
    rows = torch.arange(0, len(views.params), 2)
    return views.params[rows], views.params[rows + 1]


def _sample(views: FittedViews, width: int) -> tuple[InrSpec, Params, Params]:
    """Choose pairs: fitted views at 32 units per layer, random weights at other widths."""
    if width == 32:
        return views.spec, *pairs_of(views)
    spec = InrSpec(widths=(2, width, width, 1), omega=(30.0, 30.0))
    num = max(4, len(views) // 2 * 32 * 32 // width**2)
    # Matching cost does not depend on what weights mean, so no wide networks are fitted.
    both = (rng.keys(seed, "bench", torch.arange(num)) for seed in (0, 1))
    one, two = (initialise(spec, InitConfig(hidden_bias="torch"), keys) for keys in both)
    return spec, one, two


def measure_speed(views: FittedViews, width: int, batch: int, repeats: int) -> list[SpeedRow]:
    """Time pair-by-pair matching, ours in one call, and alignment with MixUp of a batch."""
    spec, one, two = _sample(views, width)
    few = slice(0, min(len(one), _FEW))
    # scipy solves in float64; its contender gets such weights, so that no conversion is timed.
    wide = [p.to(dtype=torch.float64) for p in (one[few], two[few])]
    trials: list[tuple[str, int, Callable[[], object]]] = [
        ("published style", len(wide[0]), lambda: match_as_published(one[few], two[few])),
        ("scipy, one by one", len(wide[0]), lambda: match_one_by_one(*wide)),
    ]
    searches = [(kind, MatchConfig(kind=kind)) for kind in KINDS]
    searches += [("signed, opened", MixUp().matching), ("signed, align", thorough("signed"))]
    for name, search in searches:
        trials.append((name, len(one), lambda search=search: match(spec, one, two, search)))
    if width == 32:
        mixup, keys = MixUp(), rng.keys(0, "bench", torch.arange(batch))
        mixed = one[torch.arange(batch) % len(one)]
        draw = mixup.draw(spec, keys, len(two))
        partners = two[draw.partner]
        trials.append(("signed + MixUp", batch, lambda: mixup.apply(mixed, partners, draw)))
    spent = [(name, num, _fastest(repeats, work)) for name, num, work in trials]
    base_s = spent[0][2].wall_s / spent[0][1]
    return [
        SpeedRow(
            job=spec.architecture,
            method=name,
            pairs=num,
            ms_a_pair=1e3 * s.wall_s / num,
            cpu_ms_a_pair=1e3 * s.cpu_s / num,
            speedup=base_s * num / s.wall_s,
        )
        for name, num, s in spent
    ]


def match_as_published(one: Params, two: Params) -> list[dict[int, torch.Tensor]]:
    """Match pair by pair with Git Re-Basin's algorithm 1, written as public torch code is.

    Each INR is a dictionary of tensors. A sweep visits the layers in random order. For each it
    sums the products of all tensors that the layer's permutation acts on, and permutes those of
    the second INR anew. scipy solves the sum in numpy; products with one-hot matrices tell whether
    the solution is better.
    """
    found = []
    for row in range(len(one)):
        a, b = (_by_name(p, row) for p in (one, two))
        num_hidden = len(one.weights) - 1
        perm = {l: torch.arange(len(a[f"{l}.bias"])) for l in range(num_hidden)}
        progress = True
        while progress:
            progress = False
            for l in torch.randperm(num_hidden).tolist():
                gain = _gain(a, b, perm, l)
                _, best = linear_sum_assignment(gain.detach().numpy(), maximize=True)
                units, chosen = torch.eye(len(best)), torch.tensor(best)
                old = (gain * units[perm[l]]).sum()
                new = (gain * units[chosen]).sum()
                perm[l] = chosen
                progress = progress or bool(new > old + 1e-6)
        found.append(perm)
    return found


def _by_name(params: Params, row: int) -> dict[str, torch.Tensor]:
    """Name the tensors of one INR as a state dict does."""
    named = {f"{l}.weight": w[row] for l, w in enumerate(params.weights)}
    return named | {f"{l}.bias": b[row] for l, b in enumerate(params.biases)}


def _gain(
    a: dict[str, torch.Tensor],
    b: dict[str, torch.Tensor],
    perm: dict[int, torch.Tensor],
    layer: int,
) -> torch.Tensor:
    """Inner products of the units of one layer, with the other layers of b permuted."""
    num = len(perm[layer])
    total = torch.zeros(num, num)
    for name, axis in ((f"{layer}.weight", 0), (f"{layer}.bias", 0), (f"{layer + 1}.weight", 1)):
        moved = b[name]
        held = layer - 1 if axis == 0 else layer + 1
        if moved.ndim == 2 and held in perm:
            moved = torch.index_select(moved, 1 - axis, perm[held])
        left, right = (torch.movedim(w, axis, 0).reshape(num, -1) for w in (a[name], moved))
        total = total + left @ right.T
    return total


def match_one_by_one(one: Params, two: Params) -> list[list[np.ndarray]]:
    """Match pair by pair with scipy's solver used well: numpy throughout, layers in order."""
    found = []
    for row in range(len(one)):
        w1, w2 = ([w[row].numpy() for w in p.weights] for p in (one, two))
        b1, b2 = ([b[row].numpy() for b in p.biases] for p in (one, two))
        last = len(w1) - 2
        perm = [np.arange(len(b)) for b in b1[:-1]]
        progress = True
        while progress:
            progress = False
            for l in range(last + 1):
                incoming = w2[l] if l == 0 else w2[l][:, perm[l - 1]]
                outgoing = w2[l + 1] if l == last else w2[l + 1][perm[l + 1]]
                gain = w1[l] @ incoming.T + np.outer(b1[l], b2[l]) + w1[l + 1].T @ outgoing
                _, best = linear_sum_assignment(gain, maximize=True)
                units = np.arange(len(best))
                better = gain[units, best].sum() > gain[units, perm[l]].sum() + 1e-12
                progress = progress or bool(better)
                perm[l] = best
        found.append(perm)
    return found
