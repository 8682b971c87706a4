"""Laws of every network family, for any spec."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from inrgen.core import rng, symmetry
from inrgen.core.encoding import octave_encoding
from inrgen.core.spec import InrSpec
from inrgen.training.models.base import WeightSpaceNetwork
from inrgen.training.models.catalog import from_dict, make_model, parse_model, to_dict

SPECS = [
    InrSpec(widths=(2, 6, 5, 1), omega=(30.0, 20.0)),
    InrSpec(widths=(2, 7, 3), omega=(30.0,)),
    InrSpec(
        widths=(3, 4, 5, 6, 2), omega=(30.0,) * 3, coord_order="xyz", coord_center=(0.0, 0.0, 0.0)
    ),
]
GNN = "gnn,heads=2,node=6,edge=5,attention=8,node_hidden=7,edge_hidden=4,features=8"
SIGNED = "signed,channels=8,products=3,features=9"
EVERY = [
    "mlp,hidden=16",
    "dws,layers=1",
    "dws,layers=1,batch_norm=yes,heads=2",
    GNN,
    f"{GNN},edges=joined,layers=0",
    SIGNED,
    f"{SIGNED},points=3",
    "values,points=3,features=9",
]
# Families whose logits do not depend on the signs of hidden units.
SIGNLESS = ("signed", "values")
UNORDERED = [text for text in EVERY if not text.startswith("mlp")]
NUM = 4


def made(text: str, spec: InrSpec, seed: int = 0) -> WeightSpaceNetwork:
    return make_model(parse_model(text), spec, 5, seed).double().eval()


def reordered(spec: InrSpec, params):
    return symmetry.permute(params, symmetry.random_permutations(spec, torch.arange(len(params))))


def turned(spec: InrSpec, params):
    keys = rng.keys(3, "signs", torch.arange(len(params)))
    shapes = enumerate(spec.widths[1:-1])
    signs = [2 * rng.integers(rng.fold(keys, l), (h,), 0, 2) - 1 for l, h in shapes]
    return symmetry.negate(params, signs)


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.architecture)
@pytest.mark.parametrize("text", EVERY)
def test_a_network_respects_the_symmetries_of_its_family(text, spec, make_params):
    model, params = made(text, spec), make_params(spec, NUM)
    logits = model(params)
    assert logits.shape == (NUM, 5)
    assert logits.std(dim=0).min() > 1e-4, "INRs differ"
    moved = reordered(spec, params)
    if text in UNORDERED:
        assert_close(model(moved), logits, rtol=0, atol=1e-10)
    both = model(turned(spec, moved))
    if text.startswith(SIGNLESS):
        assert_close(both, logits, rtol=0, atol=1e-10)
    else:
        assert (both - logits).abs().max() > 1e-3


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.architecture)
@pytest.mark.parametrize("text", EVERY)
def test_no_weight_of_an_inr_is_overlooked(text, spec, make_params):
    params = make_params(spec, NUM).map(lambda t: t.requires_grad_())
    made(text, spec)(params).square().sum().backward()
    for tensor in (*params.weights, *params.biases):
        assert tensor.grad is not None
        assert (tensor.grad != 0).flatten(1).any(dim=0).all()


@pytest.mark.parametrize("text", EVERY)
def test_logits_are_the_head_of_num_features_features(text, make_params):
    model, params = made(text, SPECS[0]), make_params(SPECS[0], NUM)
    features = model.encode(params)
    assert features.shape == (NUM, model.num_features)
    assert_close(model(params), model.head(features))


@pytest.mark.parametrize("text", UNORDERED)
def test_the_order_of_hidden_units_does_not_show_in_float32(text, make_params):
    spec = InrSpec(widths=(2, 32, 32, 1), omega=(30.0, 30.0))
    model, params = made(text, spec).float(), make_params(spec, NUM, dtype=torch.float32)
    assert_close(model(reordered(spec, params)), model(params), rtol=0, atol=1e-5)
    if text.startswith(SIGNLESS):
        assert_close(model(turned(spec, params)), model(params), rtol=0, atol=1e-5)


# Values are less exact in float32, because weights of this size make phases of hundreds of radians.
@pytest.mark.parametrize("text", [text for text in EVERY if "points" not in text])
def test_float32_gives_the_logits_and_gradients_of_float64(text, make_params):
    spec, found = InrSpec(widths=(2, 32, 32, 1), omega=(30.0, 30.0)), []
    for dtype in (torch.float64, torch.float32):
        model = made(text, spec).to(dtype)
        logits = model(make_params(spec, NUM, dtype=dtype))
        nn.functional.cross_entropy(logits, torch.arange(NUM)).backward()
        slopes = torch.cat([weight.grad.flatten() for weight in model.parameters()])
        found.append((logits.detach().float(), slopes.float()))
    (exact, slope), (logits, near) = found
    assert_close(logits, exact, rtol=1e-5, atol=1e-5)
    assert (near - slope).norm() < 1e-3 * slope.norm()


@pytest.mark.parametrize("text", EVERY)
def test_an_inr_is_classified_alone(text, make_params):
    spec = SPECS[0]
    model, params = made(text, spec), make_params(spec, NUM)
    alone = torch.cat([model(params[i : i + 1]) for i in range(NUM)])
    assert_close(alone, model(params))


@pytest.mark.parametrize("spec", SPECS[:2], ids=lambda s: s.architecture)
@pytest.mark.parametrize("text", EVERY)
def test_every_weight_learns_and_zeros_do_no_harm(text, spec, make_params):
    model = made(text, spec).train()
    zeros = model(make_params(spec, NUM).map(torch.zeros_like))
    assert zeros.isfinite().all()
    loss = nn.functional.cross_entropy(model(make_params(spec, 32)), torch.arange(32) % 5)
    loss.backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        assert weight.grad.abs().max() > 0, name


@pytest.mark.parametrize("text", EVERY)
def test_weights_depend_on_the_seed_alone(text):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = made(text, SPECS[0], seed=7).state_dict()
    assert torch.equal(torch.get_rng_state(), before), "the global generator is left alone"
    torch.rand(3)
    again, other = made(text, SPECS[0], seed=7).state_dict(), made(text, SPECS[0], seed=8)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["head.weight"], other.state_dict()["head.weight"])


@pytest.mark.parametrize("text", EVERY)
def test_half_precision_stays_finite_and_near(text, make_params):
    spec = SPECS[0]
    model, params = made(text, spec).float(), make_params(spec, NUM, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(params)
    assert_close(logits.float(), model(params), rtol=0.1, atol=0.1)


@pytest.mark.parametrize("text", EVERY)
def test_configs_survive_json_and_are_read_as_typed(text):
    config = parse_model(text)
    assert from_dict(to_dict(config)) == config
    assert to_dict(config)["name"] == text.split(",")[0]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("cnn", "model must be one of dws, .*got 'cnn'"),
        ("mlp,width=3", "mlp: field must be one of hidden, layers, dropout; got 'width'"),
        ("mlp,hidden=3,hidden=4", "must give hidden once"),
        ("mlp,hidden=wide", "model mlp: hidden needs a whole number; got 'wide'"),
        ("mlp,dropout=1.5", r"dropout must be in \[0, 1\); got 1.5"),
        ("dws,batch_norm=1", "batch_norm needs true or false; got '1'"),
        ("dws,channels=12", "channels must be a multiple of heads=8; got 12"),
    ],
)
def test_wrong_models_are_named(text, complaint):
    with pytest.raises(ValueError, match=complaint):
        parse_model(text)


@pytest.mark.parametrize("text", ["mlp,hidden=8", "dws,layers=1", GNN, SIGNED, "values,points=2"])
def test_families_read_networks_on_fourier_features(text, make_params):
    spec = SPECS[1].with_encoding(octave_encoding(2, 2))
    model, params = made(text, spec), make_params(spec, NUM)
    logits = model(params)
    assert logits.shape == (NUM, 5)
    if not text.startswith("mlp"):
        assert_close(model(reordered(spec, params)), logits, rtol=0, atol=1e-10)


def test_the_signed_family_needs_an_odd_activation():
    spec = InrSpec(widths=(2, 4, 1), omega=(1.0,), activation="relu")
    with pytest.raises(ValueError, match=r"odd activation, sine, tanh, finer, .*got relu"):
        make_model(parse_model("signed"), spec, 3, 0)


def test_one_class_is_no_choice():
    with pytest.raises(ValueError, match="num_classes must be at least 2; got 1"):
        make_model(parse_model("mlp"), SPECS[0], 1, 0)
