"""What is done to a sample depends on its name, not on the batch that it comes in."""

from dataclasses import dataclass

import pytest
import torch

from inrgen.core import rng
from inrgen.core.params import Params
from inrgen.loaders.stream import StreamLoader
from inrgen.transforms.exact import Permute
from inrgen.transforms.mix import MixUp


@dataclass(frozen=True)
class Shift:
    """Adds one random number to every parameter of an INR."""

    def draw(self, spec, keys):
        return rng.uniform(keys)

    def apply(self, params, draw):
        return params.map(lambda t: t + draw.reshape(-1, *[1] * (t.ndim - 1)))


BLEND = MixUp(pairing="direct")


def by_row(batches):
    """Each row's parameters, and soft labels if there are any."""
    return {
        row: (flat, None if batch.soft_labels is None else batch.soft_labels[at])
        for batch in batches
        for at, (row, flat) in enumerate(zip(batch.rows.tolist(), batch.params.flat(), strict=True))
    }


def same(one, other):
    assert one.keys() == other.keys()
    for row, (flat, soft) in one.items():
        assert flat.equal(other[row][0])
        assert soft is None or soft.equal(other[row][1])


ARGUMENTS = {
    "shift": {"transforms": Shift()},
    "chain": {"transforms": [Permute(), Shift(), Shift()]},
    "mixup": {"mixup": BLEND},
    "aligned": {"transforms": Permute(), "mixup": MixUp(beta=0.5)},
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_changes_do_not_depend_on_batches_ranks_or_resumption(path, name):
    def load(**more):
        return StreamLoader(path, split="all", **ARGUMENTS[name], **more)

    expected = by_row(load(batch_size=100))
    same(expected, by_row(load(batch_size=17)))
    ranks = [batch for rank in (0, 1) for batch in load(batch_size=64, rank=rank, world_size=2)]
    same(expected, by_row(ranks))
    first = load(batch_size=80)
    begun = [batch for batch, _ in zip(first, range(5), strict=False)]
    second = load(batch_size=33)
    second.load_state_dict(first.state_after(begun[-1]))
    same(expected, by_row([*begun, *second]))


@pytest.mark.parametrize("name", ARGUMENTS)
def test_changes_differ_every_epoch_and_with_the_seed(path, name):
    loader = StreamLoader(path, split="all", **ARGUMENTS[name])
    passes = [by_row(loader), by_row(loader)]
    passes.append(by_row(StreamLoader(path, split="all", seed=1, **ARGUMENTS[name])))
    for one, other in ((0, 1), (0, 2)):
        differing = [not passes[one][row][0].equal(passes[other][row][0]) for row in passes[0]]
        assert sum(differing) > 0.99 * len(differing)


def test_a_change_is_the_one_that_its_name_draws(sample, path):
    loader = StreamLoader(path, split="all", transforms=[Shift()], seed=5)
    loader.set_epoch(3)
    for batch in loader:
        keys = rng.fold(rng.keys(5, "transform", batch.items, batch.views, 3), 0)
        plain = torch.from_numpy(sample.flat)[batch.rows]
        torch.testing.assert_close(batch.params.flat(), plain + rng.uniform(keys)[:, None])


def test_equal_transforms_draw_apart(sample, path):
    batch = next(iter(StreamLoader(path, transforms=[Shift(), Shift()])))
    added = (batch.params.flat() - torch.from_numpy(sample.flat)[batch.rows])[:, 1]
    keys = rng.keys(0, "transform", batch.items, batch.views, 0)
    one, two = (rng.uniform(rng.fold(keys, place)) for place in (0, 1))
    torch.testing.assert_close(added, one + two, rtol=0, atol=1e-5)
    assert not one.eq(two).any()


def test_mixing_takes_labels_in_the_proportion_of_weights(sample, path):
    flat = torch.from_numpy(sample.flat).double()
    labels = torch.tensor([record.label for record in sample.records])
    partners = []
    for batch in StreamLoader(path, split="all", mixup=BLEND, seed=2):
        torch.testing.assert_close(batch.soft_labels.sum(1), torch.ones(len(batch)))
        keys = rng.keys(2, "mixup", batch.items, batch.views, 0)
        share = BLEND.draw(sample.spec, keys, 1).lam.double()
        # Parameter 0 of a row is its number, so the mixture reveals the partner.
        mixed = batch.params.flat()[:, 0].double()
        clear = share < 0.9
        number = (mixed - share * batch.rows) / (1 - share)
        partner = number[clear].round().long()
        assert (number[clear] - partner).abs().max() < 0.1
        other = flat[partner]
        expected = share[clear, None] * flat[batch.rows[clear]] + (1 - share[clear, None]) * other
        torch.testing.assert_close(
            batch.params.flat()[clear].double(), expected, rtol=1e-4, atol=1e-3
        )
        soft = torch.zeros(len(partner), 3)
        soft[torch.arange(len(partner)), labels[batch.rows[clear]]] += share[clear].float()
        soft[torch.arange(len(partner)), labels[partner]] += 1 - share[clear].float()
        torch.testing.assert_close(batch.soft_labels[clear], soft)
        partners += partner.tolist()
    assert set(partners) <= set(sample.served)
    # Drawn with replacement, so about 1 - 1/e of the rows are partners.
    assert len(set(partners)) > len(sample.served) / 2


def test_normalising_by_what_was_served(sample, path):
    flat = torch.from_numpy(sample.flat[sample.served])
    mean, deviation = (
        Params.from_flat(sample.spec, f(flat, dim=0, keepdim=True)) for f in (torch.mean, torch.std)
    )
    loader = StreamLoader(path, split="all", normalise_by=(mean, deviation))
    found = torch.cat([batch.params.flat() for batch in loader])
    torch.testing.assert_close(found.mean(0), torch.zeros(found.shape[1]), rtol=0, atol=1e-4)
    torch.testing.assert_close(found.std(0), torch.ones(found.shape[1]), rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match="deviation above 0 for every parameter"):
        StreamLoader(path, normalise_by=(mean, mean.map(torch.zeros_like)))
    with pytest.raises(ValueError, match="needs a mean of one INR of 2-3-1"):
        StreamLoader(path, normalise_by=(Params.cat([mean, mean]), deviation))


def test_pairs_are_not_mixed(path):
    with pytest.raises(ValueError, match="no meaning for views='pairs'"):
        StreamLoader(path, views="pairs", mixup=BLEND)


def test_a_change_that_loses_a_number_is_named(path):
    def spoil(params):
        return params.map(lambda t: t / 0.0)

    with pytest.raises(ValueError, match="spoil made weights that are not finite"):
        next(iter(StreamLoader(path, transforms=spoil)))
