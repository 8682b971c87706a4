"""Learning rates, contrastive losses, normalisation and evaluation follow their definitions."""

import math
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from inrgen.core import rng
from inrgen.loaders.stream import StreamLoader
from inrgen.training.classifier import Classifier, measure_moments
from inrgen.training.config import TrainConfig
from inrgen.training.epoch import info_nce, learning_rate
from inrgen.training.evaluation import evaluate
from inrgen.training.models.catalog import make_model, parse_model


def test_the_rate_rises_then_stays_or_falls_to_zero():
    config = TrainConfig(lr=0.1, warmup=4)
    rates = [learning_rate(config, update, 20) for update in range(20)]
    assert_close(rates[:5], [0.02, 0.04, 0.06, 0.08, 0.1])
    assert set(rates[4:]) == {0.1}
    cosine = replace(config, schedule="cosine")
    falling = [learning_rate(cosine, update, 20) for update in range(4, 21)]
    assert falling == sorted(falling, reverse=True)
    assert falling[0] == 0.1
    assert_close(falling[8], 0.05)
    assert_close(falling[16], 0.0)


def literal_info_nce(first: torch.Tensor, second: torch.Tensor, temperature: float) -> float:
    """Equation 1 of SimCLR, row by row."""
    both = torch.cat([first, second])
    num, losses = len(both), []
    for i in range(num):
        alike = [
            math.exp(torch.cosine_similarity(both[i], both[k], dim=0).item() / temperature)
            for k in range(num)
        ]
        own = alike[(i + num // 2) % num]
        losses.append(-math.log(own / (sum(alike) - alike[i])))
    return sum(losses) / num


def test_the_contrastive_loss_is_the_published_one():
    draw = rng.normal(torch.arange(10), (7,))
    first, second = draw[:5], draw[:5] + 0.3 * draw[5:]
    loss, found = info_nce(first, second, 0.5)
    assert_close(loss.item(), literal_info_nce(first, second, 0.5), rtol=1e-4, atol=1e-4)
    same, all_found = info_nce(first, first.clone(), 0.1)
    assert all_found == 5
    assert same < loss
    assert found <= 5


@pytest.fixture(scope="module")
def loader(labelled_store) -> StreamLoader:
    return StreamLoader(labelled_store, split="train", batch_size=13)


def test_moments_are_those_of_all_rows_at_once(loader):
    rows = torch.cat([batch.params.flat() for batch in loader]).double()
    mean, deviation = measure_moments(loader)
    assert_close(mean.flat().double(), rows.mean(dim=0, keepdim=True))
    assert_close(deviation.flat().double(), rows.std(dim=0, keepdim=True, correction=0))


def test_a_classifier_normalises_as_its_network_allows(loader):
    network = make_model(parse_model("mlp"), loader.spec, 3, seed=0)
    classifier = Classifier(network, loader.spec, measure_moments(loader)).eval()
    params = next(iter(loader)).params
    flat = torch.cat([batch.params.flat() for batch in loader])
    normal = (params.flat() - flat.mean(dim=0)) / flat.std(dim=0, correction=0)
    expected = network.head(network.body(normal))
    assert_close(classifier(params), expected, rtol=1e-4, atol=1e-4)


def test_evaluation_follows_the_order_of_rows_with_each_rows_loss(loader):
    network = make_model(parse_model("mlp"), loader.spec, 3, seed=0)
    classifier = Classifier(network, loader.spec, measure_moments(loader))
    found = evaluate(classifier, loader)
    rows = [4 * item + view for item in range(60) if item % 5 < 3 for view in range(4)]
    assert found.rows.tolist() == rows
    for batch in loader:
        logits = classifier(batch.params)
        at = torch.searchsorted(found.rows, batch.rows)
        assert torch.equal(found.predicted[at], logits.argmax(dim=1))
        losses = torch.nn.functional.cross_entropy(logits, batch.labels, reduction="none")
        assert_close(found.losses[at], losses, rtol=1e-4, atol=1e-4)
        assert_close(found.probability[at], logits.softmax(dim=1).max(dim=1).values)
    assert found.accuracy == (found.predicted == found.labels).double().mean()
