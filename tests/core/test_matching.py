"""Matching is the published weight matching, and its signed and phased variants."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch.testing import assert_close

from inrgen.core import matching, rng, symmetry
from inrgen.core.config import MatchConfig, thorough
from inrgen.core.descent import descend
from inrgen.core.matching import match, squared_distance
from inrgen.core.params import Params
from inrgen.core.siren import evaluate
from inrgen.core.spec import InrSpec
from pipelines.bench.fitted import fit_views

SPEC = InrSpec(widths=(2, 16, 12, 1), omega=(30.0, 20.0), output_offset=0.5)
DEEP = InrSpec(
    widths=(3, 8, 11, 6, 2),
    omega=(30.0, 20.0, 25.0),
    coord_order="xyz",
    coord_center=(0.0, 0.0, 0.0),
)
SHALLOW = InrSpec(widths=(1, 9, 2), omega=(30.0,), coord_order="x", coord_center=(0.0,))


def literal_weight_matching(ones, twos, orders):
    """Git Re-Basin's algorithm 1 for one pair, without batches or skipped layers."""
    (w1, b1), (w2, b2) = ones, twos
    num_hidden = len(w1) - 1
    perm = [np.arange(len(b)) for b in b1[:-1]]
    for layers in orders:
        progress = False
        for l in layers:
            incoming = w2[l] if l == 0 else w2[l][:, perm[l - 1]]
            outgoing = w2[l + 1] if l == num_hidden - 1 else w2[l + 1][perm[l + 1]]
            gain = w1[l] @ incoming.T + np.outer(b1[l], b2[l]) + w1[l + 1].T @ outgoing
            _, best = linear_sum_assignment(gain, maximize=True)
            units = np.arange(len(best))
            progress |= gain[units, best].sum() > gain[units, perm[l]].sum() + 1e-12
            perm[l] = best
        if not progress:
            break
    return perm


def of_row(params: Params, row: int):
    return [w[row].numpy() for w in params.weights], [b[row].numpy() for b in params.biases]


def choices_of(element: symmetry.Symmetry, row: int) -> list[np.ndarray]:
    """Permutation, sign and phase of each hidden layer of one INR, (3, h) a layer."""
    layers = zip(element.permutations, element.signs, element.phases, strict=True)
    return [np.stack([part[row].numpy() for part in layer]) for layer in layers]


class LiteralDescent:
    """The descent of one pair with signs and phases: no batches, no skipping, scipy's solver."""

    def __init__(self, spec, one, two, kind, choices):
        self.spec, self.kind, self.choices = spec, kind, choices
        (self.w1, self.b1), (self.w2, self.b2) = one, two

    def run(self, sweeps, ends):
        for layer in reversed(range(self.spec.num_hidden)) if ends is not None else ():
            self.improve(layer, ends)
        for layers in sweeps:
            if not any([self.improve(layer, None) for layer in layers]):
                return

    def ways(self, layer, ends):
        """Gain, sign and phase of each way to match two units, (h, h) each."""
        last, bias = self.spec.num_hidden - 1, self.b2[layer]
        w_in, w_out = self.w2[layer], self.w2[layer + 1]
        if layer == last and ends is not None:
            bias, w_out = ends[0], ends[1:]
        if layer > 0:
            order, sign, phase = self.choices[layer - 1]
            w_in = w_in[:, order] * (sign * (1 - 2 * (phase % 2)))
        if layer < last:
            order, sign, _ = self.choices[layer + 1]
            w_out = w_out[order] * sign[:, None]
        incoming = self.w1[layer] @ w_in.T * (ends is None or layer == 0)
        outgoing = self.w1[layer + 1].T @ w_out
        mine, other = self.b1[layer][:, None], bias[None]
        if self.kind != "phase":
            gain, still = incoming + mine * other + outgoing, np.zeros_like(incoming, dtype=int)
            return [(s * gain, still + s, still) for s in (1, -1)[: 1 + (self.kind == "signed")]]
        step, found = np.pi / self.spec.omega[layer], []
        for sign in (1, -1):
            for odd in (0, 1):
                phase = odd + 2 * np.round(((mine - sign * other) / step - odd) / 2)
                new = sign * other + phase * step
                gain = sign * incoming + (mine - new / 2) * new + sign * (1 - 2 * odd) * outgoing
                found.append((gain, np.full(gain.shape, sign), phase.astype(int)))
        return found

    def improve(self, layer, ends):
        gains, signs, phases = (
            np.stack(part) for part in zip(*self.ways(layer, ends), strict=True)
        )
        gain, old = gains.max(axis=0), self.choices[layer]
        units, order = linear_sum_assignment(gain, maximize=True)
        before, after = gain[units, old[0]].sum(), gain[units, order].sum()
        order = order if after > before + 1e-12 * abs(before) else old[0]
        way = gains[:, units, order].argmax(axis=0)
        new = np.stack([order, signs[way, units, order], phases[way, units, order]])
        if self.kind == "permutation":
            new[1:] = old[1:]
        self.choices[layer] = new
        return not np.array_equal(new, old)


def vague(params: Params) -> Params:
    """INRs whose ends barely distinguish units, like fitted ones: descents end in many places."""
    weights = (0.05 * params.weights[0], *params.weights[1:])
    return Params(weights=weights, biases=tuple(0.2 * bias for bias in params.biases))


def random_element(spec: InrSpec, num: int, signs: bool = True, phases: bool = False):
    keys = rng.keys(7, "element", torch.arange(num))
    still = symmetry.identity(spec, num)
    element = replace(still, permutations=symmetry.random_permutations(spec, keys))
    hidden = list(enumerate(spec.widths[1:-1]))
    if signs:
        flips = tuple(2 * rng.integers(rng.fold(keys, 20 + l), (h,), 0, 2) - 1 for l, h in hidden)
        element = replace(element, signs=flips)
    if phases:
        turns = tuple(rng.integers(rng.fold(keys, 40 + l), (h,), -3, 4) for l, h in hidden)
        element = replace(element, phases=turns)
    return element


@pytest.mark.parametrize("spec", [SPEC, DEEP, SHALLOW], ids=lambda s: s.architecture)
def test_permutations_are_those_of_the_published_algorithm(spec, make_params):
    a, b = make_params(spec, 150, seed=1), make_params(spec, 150, seed=2)
    layers = range(spec.num_hidden)
    orders = [tuple(np.random.default_rng(s).permutation(layers).tolist()) for s in range(100)]
    for order in (tuple(orders), (tuple(layers),), (tuple(reversed(layers)),)):
        found = match(spec, a, b, MatchConfig(kind="permutation", order=order)).symmetry
        swept = [order[s % len(order)] for s in range(100)]
        for row in range(150):
            expected = literal_weight_matching(of_row(a, row), of_row(b, row), swept)
            for mine, theirs in zip(found.permutations, expected, strict=True):
                assert mine[row].tolist() == theirs.tolist()


@pytest.mark.parametrize("kind", ["permutation", "signed", "phase"])
@pytest.mark.parametrize("spec", [SPEC, DEEP, SHALLOW], ids=lambda s: s.architecture)
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("opened", [False, True])
def test_the_descent_is_the_literal_one(kind, spec, shared, opened, make_params):
    a, b = make_params(spec, 1 if shared else 60, seed=1), make_params(spec, 60, seed=2)
    sweeps = [tuple(range(spec.num_hidden))] * 100
    start = random_element(spec, 60, signs=kind != "permutation", phases=kind == "phase")
    keys = rng.keys(3, "ends", torch.arange(60))
    ends = rng.normal(keys, (1 + spec.widths[-1], spec.widths[-2])).double() if opened else None
    found = descend(spec, a, b, kind, sweeps, start, ends)
    for row in range(60):
        pair = of_row(a, 0 if shared else row), of_row(b, row)
        literal = LiteralDescent(spec, *pair, kind, choices_of(start, row))
        literal.run(sweeps, None if ends is None else ends[row].numpy())
        for mine, theirs in zip(choices_of(found, row), literal.choices, strict=True):
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("kind", ["permutation", "signed", "phase"])
def test_a_match_keeps_the_function_and_comes_nearer(kind, make_params, make_coords):
    a, b, coords = make_params(SPEC, 50, 1), make_params(SPEC, 50, 2), make_coords(SPEC)
    kept = b.flat().clone()
    found = match(SPEC, a, b, MatchConfig(kind=kind))
    assert_close(evaluate(SPEC, found.aligned, coords), evaluate(SPEC, b, coords))
    assert_close(found.before, squared_distance(a, b))
    assert_close(found.after, squared_distance(a, symmetry.apply(b, found.symmetry)))
    assert bool((found.after < found.before).all())
    assert torch.equal(b.flat(), kept)
    # The descent has ended, so another sweep brings no pair nearer.
    again = match(SPEC, a, b, MatchConfig(kind=kind, max_sweeps=1), start=found.symmetry)
    assert_close(again.after, found.after)


@pytest.mark.parametrize("kind", ["permutation", "signed"])
def test_an_opening_settles_layers_from_the_last_by_what_is_settled(kind, make_params):
    one, two = make_params(DEEP, 40, 1), make_params(DEEP, 40, 2)
    still, keys = symmetry.identity(DEEP, 40), rng.keys(3, "ends", torch.arange(40))
    ends = rng.normal(keys, (3, 6)).double()
    found = descend(DEEP, one, two, kind, [], still, ends)
    order, sign = still.permutations[2], still.signs[2]
    for layer in (2, 1, 0):
        bias, out = two.biases[layer], two.weights[layer + 1]
        if layer == 2:
            bias, out = ends[:, 0], ends[:, 1:]
        else:
            out = torch.take_along_dim(out, order[:, :, None], 1) * sign[:, :, None]
        gain = one.biases[layer][:, :, None] * bias[:, None] + one.weights[layer + 1].mT @ out
        if layer == 0:
            gain = gain + one.weights[0] @ two.weights[0].mT
        size = gain.abs() if kind == "signed" else gain
        order = torch.stack(
            [torch.from_numpy(linear_sum_assignment(g.numpy(), maximize=True)[1]) for g in size]
        )
        matched = gain.gather(2, order[:, :, None])[:, :, 0]
        sign = torch.where(matched < 0, -1, 1) if kind == "signed" else torch.ones_like(order)
        assert torch.equal(found.permutations[layer], order)
        assert torch.equal(found.signs[layer], sign)


def test_a_richer_search_comes_nearer(make_params):
    a, b = make_params(SPEC, 100, 1), make_params(SPEC, 100, 2)
    order = ((1, 0), (0, 1))
    after = [
        float(match(SPEC, a, b, MatchConfig(kind=kind, order=order)).after.mean())
        for kind in ("permutation", "signed", "phase")
    ]
    assert after[0] > after[1] > after[2]


@pytest.mark.parametrize("opening", ["identity", "ends", "both"])
@pytest.mark.parametrize("kind", ["permutation", "signed", "phase"])
def test_restarts_take_no_pair_farther_and_some_nearer(opening, kind, make_params):
    a, b = vague(make_params(SPEC, 100, 1)), vague(make_params(SPEC, 100, 2))
    config = MatchConfig(kind=kind, opening=opening)
    once, more = (match(SPEC, a, b, replace(config, restarts=num)).after for num in (0, 3))
    assert bool((more <= once).all())
    assert float((more < once).double().mean()) > 0.3


@pytest.mark.parametrize("opening", ["identity", "ends", "both"])
@pytest.mark.parametrize("shared", [False, True])
def test_named_pairs_are_matched_alike_in_any_batch(opening, shared, make_params, monkeypatch):
    a, b = vague(make_params(SPEC, 1 if shared else 40, 1)), vague(make_params(SPEC, 40, 2))
    config = MatchConfig(restarts=2, opening=opening)
    names = rng.keys(5, "names", torch.arange(40))
    whole = match(SPEC, a, b, config, names=names)
    monkeypatch.setattr(matching, "PART_NUMBERS", 7 * SPEC.num_params + 1)
    rows = torch.tensor([9, 3, 39, 0, 21, 20, 22, 5, 11, 13, 17])
    one = a if shared else a[rows]
    some = match(SPEC, one, b[rows], config, names=names[rows])
    assert torch.equal(some.aligned.flat(), whole.aligned.flat()[rows])
    # Restarts are drawn by name, so other names lead some pairs elsewhere.
    assert not torch.equal(match(SPEC, a, b, config).aligned.flat(), whole.aligned.flat())
    with pytest.raises(ValueError, match="names needs 40 entries; got 11"):
        match(SPEC, a, b, config, names=names[rows])


@pytest.mark.parametrize("noise", [0.3, 0.5])
@pytest.mark.parametrize("kind", ["permutation", "signed", "phase"])
def test_no_pair_ends_farther_than_it_began(kind, noise, make_params):
    """Also if units are in order, as after a shared start, where ends alone lead away."""
    a, strange = vague(make_params(SPEC, 100, 1)), vague(make_params(SPEC, 100, 2))
    b = Params.from_flat(SPEC, a.flat() + noise * strange.flat())
    away = match(SPEC, a, b, MatchConfig(kind=kind, opening="ends"))
    assert bool((away.after > away.before).any())
    for config in (MatchConfig(kind=kind), MatchConfig(kind=kind, opening="both"), thorough(kind)):
        found = match(SPEC, a, b, config)
        assert bool((found.after <= found.before).all())
        again = match(SPEC, a, found.aligned, config)
        assert bool((again.after <= found.after).all())
    both, ends = (match(SPEC, a, b, MatchConfig(kind=kind, opening=o)) for o in ("both", "ends"))
    once = match(SPEC, a, b, MatchConfig(kind=kind))
    assert torch.equal(both.after, torch.minimum(once.after, ends.after))


def test_a_thorough_search_comes_nearer_than_a_single_descent(make_params):
    a, b = vague(make_params(SPEC, 100, 1)), vague(make_params(SPEC, 100, 2))
    for kind in ("permutation", "signed", "phase"):
        once, best = (match(SPEC, a, b, c).after for c in (MatchConfig(kind=kind), thorough(kind)))
        assert float(best.mean()) < 0.99 * float(once.mean())


def test_a_thorough_search_of_fitted_pairs_beats_most_published_descents():
    views = fit_views(None, "train", 60, 2, num_steps=60)
    pairs = views.params[0::2], views.params[1::2]
    for kind in ("permutation", "signed"):
        best = match(views.spec, *pairs, thorough(kind)).after
        in_order, reverse = (
            match(views.spec, *pairs, MatchConfig(kind=kind, order=(order,))).after
            for order in ((0, 1), (1, 0))
        )
        assert bool((best <= in_order).all())
        # No promise is made for other orders of the layers, only for most pairs.
        assert float(best.mean()) < 0.99 * float(reverse.mean())
        assert float((best < reverse).double().mean()) > 0.6
        assert float((best / reverse).max()) < 1.1


@pytest.mark.parametrize("kind", ["permutation", "signed", "phase"])
def test_a_moved_copy_is_brought_home(kind, make_params):
    a = make_params(SPEC, 20)
    moved = symmetry.apply(
        a, random_element(SPEC, 20, signs=kind != "permutation", phases=kind == "phase")
    )
    found = match(SPEC, a, moved, MatchConfig(kind=kind))
    # A first layer of three numbers a unit identifies most units, but no descent is certain.
    assert float((found.after < 1e-20).double().mean()) > 0.9


def test_bad_rows_keep_the_identity_and_harm_nobody(make_params):
    a, b = make_params(SPEC, 6, 1), make_params(SPEC, 6, 2)
    bad = b.flat().clone()
    bad[1, 5], bad[3], bad[4, 0] = torch.nan, torch.inf, 1e300
    spoilt = Params.from_flat(SPEC, bad)
    for kind in ("permutation", "signed", "phase"):
        config = MatchConfig(kind=kind)
        found, clean = match(SPEC, a, spoilt, config), match(SPEC, a, b, config)
        still = symmetry.identity(SPEC, 1)
        for row in (1, 3):
            assert torch.equal(found.symmetry.permutations[0][row], still.permutations[0][0])
            assert bool(found.after[row].isnan() | found.after[row].isinf())
        for row in (0, 2, 5):
            assert torch.equal(found.aligned.flat()[row], clean.aligned.flat()[row])
    doubled = b.map(lambda t: torch.zeros_like(t))
    assert bool(match(SPEC, doubled, doubled).after.eq(0).all())


def test_batches_and_templates_agree_with_pairs(make_params):
    a, b = make_params(SPEC, 40, 1), make_params(SPEC, 40, 2)
    together = match(SPEC, a, b)
    alone = [match(SPEC, a[i : i + 1], b[i : i + 1]).aligned.flat() for i in range(40)]
    assert torch.equal(torch.cat(alone), together.aligned.flat())
    template = match(SPEC, a[:1], b).aligned.flat()
    repeated = match(SPEC, a[[0] * 40], b).aligned.flat()
    assert torch.equal(template, repeated)
    assert len(match(SPEC, a[:1], b[:0]).aligned) == 0


@pytest.mark.parametrize("shared", [False, True])
def test_parts_of_a_batch_change_nothing(shared, make_params, monkeypatch):
    a, b = make_params(SPEC, 1 if shared else 40, 1), make_params(SPEC, 40, 2)
    config, start = MatchConfig(restarts=1), random_element(SPEC, 40)
    whole = match(SPEC, a, b, config, start)
    sizes = []

    def counted(spec, reference, params, *rest):
        sizes.append(len(params))
        return descend(spec, reference, params, *rest)

    # Intermediate results exist for one part at a time.
    monkeypatch.setattr(matching, "descend", counted)
    monkeypatch.setattr(matching, "PART_NUMBERS", 13 * SPEC.num_params + 1)
    parts = match(SPEC, a, b, config, start)
    assert sizes == [13, 13, 13, 13, 13, 13, 1, 1]
    assert torch.equal(parts.aligned.flat(), whole.aligned.flat())
    assert_close(parts.after, whole.after)
    assert_close(parts.before, whole.before)
    for x, y in zip(parts.symmetry.signs, whole.symmetry.signs, strict=True):
        assert torch.equal(x, y)
    leaf = b.flat().requires_grad_()
    traced = match(SPEC, a, Params.from_flat(SPEC, leaf), config, start).aligned.flat()
    traced.sum().backward()
    assert torch.equal(traced.detach(), whole.aligned.flat())
    assert leaf.grad is not None
    assert bool((leaf.grad != 0).all())


def test_other_activations_are_matched_as_far_as_they_allow(make_params):
    relu, tanh = replace(SPEC, activation="relu"), replace(SPEC, activation="tanh")
    a, b = make_params(SPEC, 3, 1), make_params(SPEC, 3, 2)
    match(relu, a, b, MatchConfig(kind="permutation"))
    match(tanh, a, b, MatchConfig(kind="signed"))
    with pytest.raises(ValueError, match=r"signed matching .* relu; give match permutation"):
        match(relu, a, b, MatchConfig(kind="signed"))
    with pytest.raises(ValueError, match="phases"):
        match(tanh, a, b, MatchConfig(kind="phase"))


def test_errors_name_what_is_wrong(make_params):
    a = make_params(SPEC, 3)
    with pytest.raises(ValueError, match="reference needs 1 or 3 INRs; got 2"):
        match(SPEC, a[:2], a)
    with pytest.raises(ValueError, match="order needs each of 2 hidden layers"):
        match(SPEC, a, a, MatchConfig(order=((0,),)))
    with pytest.raises(ValueError, match="max_sweeps"):
        MatchConfig(max_sweeps=0)
