"""MixUp keeps to its partners, its proportion and its pairing."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from inrgen.core import rng, symmetry
from inrgen.core.config import InitConfig, MatchConfig
from inrgen.core.matching import match, squared_distance
from inrgen.core.mixing import mix, mix_labels, one_hot
from inrgen.core.params import Params
from inrgen.core.siren import evaluate, initialise
from inrgen.core.spec import InrSpec
from inrgen.transforms.base import draw_tensors, rebuild_draw
from inrgen.transforms.exact import Permute
from inrgen.transforms.mix import MixUp, contrastive_pair

SPEC = InrSpec(widths=(2, 8, 8, 1), omega=(30.0, 30.0))


def keys_of(num: int, name: str = "mix") -> torch.Tensor:
    return rng.keys(0, name, torch.arange(num))


def params_of(num: int) -> Params:
    return initialise(SPEC, InitConfig(hidden_bias="torch"), keys_of(num, "weights"))


def test_partners_come_from_the_rows_in_use():
    draw = MixUp().draw(SPEC, keys_of(3000), num_rows=7)
    assert draw.partner.unique().tolist() == list(range(7))
    assert 0.0 <= float(draw.lam.min()) < 0.01
    assert 0.99 < float(draw.lam.max()) < 1.0
    few = MixUp().draw(SPEC, keys_of(3000)[5:9], num_rows=7)
    assert torch.equal(few.partner, draw.partner[5:9])
    with pytest.raises(ValueError, match="num_rows"):
        MixUp().draw(SPEC, keys_of(2), num_rows=0)
    with pytest.raises(ValueError, match="signed matching needs an activation among sine"):
        MixUp().draw(replace(SPEC, activation="gaussian"), keys_of(2), num_rows=7)


@pytest.mark.parametrize("beta", [0.2, 0.5, 1.0])
def test_lam_follows_the_beta_distribution(beta):
    lam = MixUp(beta=beta).draw(SPEC, keys_of(20000), num_rows=2).lam.double()
    assert abs(float(lam.mean()) - 0.5) < 0.01
    assert abs(float(lam.var()) - 1 / (4 * (2 * beta + 1))) < 0.005


@pytest.mark.parametrize("pairing", ["direct", "random", "aligned"])
def test_weights_and_labels_mix_in_one_proportion(pairing):
    params, mixup = params_of(20), MixUp(pairing=pairing)
    draw = mixup.draw(SPEC, keys_of(20), 20)
    partners = params[draw.partner]
    mixed = mixup.apply(params, partners, draw)
    moved = symmetry.apply(partners, draw.permutation)
    if pairing == "aligned":
        moved = match(SPEC, params, moved, MatchConfig(opening="ends")).aligned
    if pairing != "direct":
        assert not torch.equal(moved.flat(), partners.flat())
    assert torch.equal(mixed.flat(), mix(params, moved, draw.lam).flat())
    coords = torch.rand(9, 2, generator=torch.Generator().manual_seed(0))
    assert_close(evaluate(SPEC, moved, coords), evaluate(SPEC, partners, coords), rtol=0, atol=1e-5)
    labels = one_hot(torch.arange(20) % 3, 3)
    soft = mix_labels(labels, labels[draw.partner], draw.lam)
    assert_close(soft.sum(1), torch.ones(20))
    replayed = replay(mixup, draw)
    assert torch.equal(mixup.apply(params, partners, replayed).flat(), mixed.flat())


def test_no_partner_is_taken_farther_by_alignment():
    """Where units stand in order already, a descent from the ends alone may lead away."""
    one, two = (initialise(SPEC, InitConfig(), keys_of(200, name)) for name in ("one", "two"))
    one, two = (replace(p, weights=(0.05 * p.weights[0], *p.weights[1:])) for p in (one, two))
    params, mixup = one, MixUp()
    partners = Params.from_flat(SPEC, one.flat() + 0.5 * two.flat())
    draw = replace(mixup.draw(SPEC, keys_of(200), 200), lam=torch.zeros(200))
    moved = mixup.apply(params, partners, draw)
    before, after = (squared_distance(params, p) for p in (partners, moved))
    assert bool((after <= before).all())
    stayed = (moved.flat() == partners.flat()).all(dim=1)
    found = match(SPEC, params, partners, mixup.matching)
    assert torch.equal(stayed, found.after >= found.before)
    assert 0 < int((found.after > found.before).sum()) < 200


def replay(mixup, draw):
    """Through stored tensors, for a MixUp over twenty rows."""

    class Among:
        def draw(self, spec, keys):
            return mixup.draw(spec, keys, 20)

        def apply(self, params, draw):
            return params

    return rebuild_draw(Among(), SPEC, draw_tensors(draw))


def test_alignment_brings_partners_nearer():
    params = params_of(40)
    partners = params[torch.arange(40).flip(0)]
    halves = MixUp().draw(SPEC, keys_of(40), 40)
    apart = [
        squared_distance(params, MixUp(pairing=p).apply(params, partners, halves)).mean()
        for p in ("aligned", "direct")
    ]
    assert float(apart[0]) < 0.8 * float(apart[1])


def test_a_searched_mixture_is_the_same_in_any_batch():
    many, keys = params_of(80), keys_of(40)
    # A first layer that tells units little apart: descents end in many places.
    many = Params(weights=(0.05 * many.weights[0], *many.weights[1:]), biases=many.biases)
    params, partners = many[torch.arange(40)], many[torch.arange(40, 80)]
    mixup, rows = MixUp(matching=MatchConfig(restarts=2)), torch.tensor([7, 0, 19, 3])

    def mixed(few: torch.Tensor) -> torch.Tensor:
        draw = mixup.draw(SPEC, keys[few], num_rows=1)
        return mixup.apply(params[few], partners[few], draw).flat()

    whole = mixed(torch.arange(40))
    assert torch.equal(mixed(rows), whole[rows])
    # Under other names, restarts lead elsewhere.
    draw = mixup.draw(SPEC, keys.flip(0), num_rows=1)
    named = replace(mixup.draw(SPEC, keys, num_rows=1), names=draw.names)
    assert not torch.equal(mixup.apply(params, partners, named).flat(), whole)


def test_gradients_flow_to_both():
    leaf = params_of(6).flat().requires_grad_()
    params = Params.from_flat(SPEC, leaf)
    draw = MixUp().draw(SPEC, keys_of(6), 6)
    other = params_of(12)[torch.arange(6, 12)].flat().requires_grad_()
    MixUp().apply(params, Params.from_flat(SPEC, other), draw).flat().sum().backward()
    for tensor in (leaf, other):
        assert tensor.grad is not None
        assert bool((tensor.grad != 0).any())


def test_a_contrastive_pair_has_two_draws():
    params, keys = params_of(10), keys_of(10)
    first, second = contrastive_pair(Permute(), SPEC, params, keys)
    assert not torch.equal(first.flat(), second.flat())
    assert torch.equal(contrastive_pair(Permute(), SPEC, params, keys)[1].flat(), second.flat())


def test_settings_are_checked():
    with pytest.raises(ValueError, match="beta"):
        MixUp(beta=2.0)
    with pytest.raises(ValueError, match="beta"):
        MixUp(beta=0.0)
    assert MixUp(matching=MatchConfig(kind="permutation")).matching.kind == "permutation"
