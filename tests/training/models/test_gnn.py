"""The factored graph network equals the literal one, over all pairs and along weights alone."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from inrgen.core.spec import InrSpec
from inrgen.training.models.catalog import from_dict, make_model, parse_model, to_dict
from inrgen.training.models.edge_attention import neighbours, reversed_edges
from inrgen.training.models.gnn import Gnn
from pipelines.bench.train_cost import measure_work
from pipelines.bench.train_literal import LiteralGnn

SPECS = [
    InrSpec(widths=(2, 4, 5, 2), omega=(30.0, 20.0)),
    InrSpec(widths=(1, 3, 2, 3, 1), omega=(30.0,) * 3, coord_order="x", coord_center=(0.0,)),
]
EDGES = ["all", "joined"]
SMALL = "gnn,heads=2,node=6,edge=5,attention=8,node_hidden=7,edge_hidden=4,frequencies=3"


def made(spec: InrSpec, edges: str = "all", layers: int = 0) -> Gnn:
    text = f"{SMALL},edges={edges}" + (f",layers={layers}" if layers else "")
    model = make_model(parse_model(text), spec, 3, 0).double().eval()
    assert isinstance(model, Gnn)
    torch.manual_seed(1)
    for weight in model.parameters():
        nn.init.normal_(weight, std=0.7)
    return model


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.architecture)
@pytest.mark.parametrize("edges", EDGES)
def test_factored_and_literal_agree_in_logits_and_gradients(edges, spec, make_params):
    model, params = made(spec, edges, spec.num_hidden + 2), make_params(spec, 3)
    logits = []
    gradients = []
    for network in (model, LiteralGnn(model)):
        model.zero_grad()
        logits.append(network(params))
        logits[-1].square().sum().backward()
        gradients.append({name: w.grad.clone() for name, w in model.named_parameters()})
    assert_close(logits[0], logits[1])
    assert logits[0].std(dim=0).min() > 1e-3
    for name, gradient in gradients[0].items():
        assert_close(gradient, gradients[1][name], msg=lambda text, name=name: f"{name}: {text}")


def test_recomputing_rounds_saves_memory_and_changes_nothing(make_params):
    params = make_params(SPECS[0], 20)
    found, peaks = [], []
    for text in (f"{SMALL},recompute=no", SMALL):
        model = make_model(parse_model(text), SPECS[0], 3, 0).double().train()
        torch.manual_seed(5)  # seeds dropout, which must be the same both times
        work = measure_work(lambda model=model: model(params).square().sum().backward())
        peaks.append(work.peak_bytes)
        found.append([weight.grad for weight in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert peaks[1] < peaks[0] / 1.8


def test_every_edge_leads_back():
    counts = (2, 4, 3, 1)
    units = [torch.tensor([[m * 10 + i for i in range(n)]]) for m, n in enumerate(counts)]
    asked = neighbours([u[..., None] for u in units])
    # Each edge is the pair (querying unit, other unit).
    edges = [
        torch.stack(torch.broadcast_tensors(own[:, :, None], other[:, None, :, 0]), dim=-1)
        for own, other in zip(units, asked, strict=True)
    ]
    for edge, back in zip(edges, reversed_edges(edges), strict=True):
        assert torch.equal(edge, back.flip(-1))


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.architecture)
def test_all_pairs_see_every_weight_after_two_rounds(spec, make_params):
    params = make_params(spec, 3).map(lambda t: t.requires_grad_())
    made(spec, layers=2)(params).sum().backward()
    for tensor in (*params.weights, *params.biases):
        assert (tensor.grad != 0).flatten(1).any(dim=0).all()
    with pytest.raises(ValueError, match="layers must be at least 2 where edges=all; got 1"):
        parse_model(f"{SMALL},layers=1")


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.architecture)
def test_too_few_rounds_along_weights_are_refused(spec, make_params):
    fewest = spec.num_hidden + 2
    params = make_params(spec, 3).map(lambda t: t.requires_grad_())
    text = f"{SMALL},edges=joined,layers="
    model = make_model(parse_model(f"{text}0"), spec, 3, 0).double()
    assert len(model.layers) == fewest
    model.layers = model.layers[:-1]
    model(params).sum().backward()
    assert params.weights[0].grad.count_nonzero() == 0
    assert params.weights[-1].grad.count_nonzero() > 0
    with pytest.raises(ValueError, match=f"layers must be at least {fewest} .* got {fewest - 1}"):
        make_model(parse_model(f"{text}{fewest - 1}"), spec, 3, 0)


def test_a_run_of_an_earlier_version_keeps_its_joined_edges():
    earlier = {**to_dict(parse_model("gnn")), "layers": 0}
    del earlier["edges"]
    assert from_dict(earlier) == parse_model("gnn,edges=joined,layers=0")


def test_the_size_is_that_of_the_published_network():
    spec = InrSpec(widths=(2, 32, 32, 1), omega=(30.0, 30.0))
    for text in ("gnn", "gnn,edges=joined"):
        model = make_model(parse_model(text), spec, 10, 0)
        assert sum(weight.numel() for weight in model.parameters()) == 376_586
