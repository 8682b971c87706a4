"""A network of a user's own trains, is loaded again once it is named, and is refused otherwise."""

import sys

import pytest
import torch

from inrgen.core import own_code
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.training.models.catalog import from_dict, make_model, parse_model, to_dict
from inrgen.training.models.own import has_features

SPEC = InrSpec(widths=(2, 4, 1), omega=(30.0,))
OWN = """
import torch

class Net(torch.nn.Module):
    normalisation = "none"

    def __init__(self, spec, num_classes, hidden: int = 8):
        super().__init__()
        self.body = torch.nn.Linear(spec.num_params, hidden)
        self.last = torch.nn.Linear(hidden, num_classes)

    def forward(self, params):
        return self.last(self.body(params.flat()).relu())

def nothing(spec, num_classes):
    return 3
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_nets.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(own_code, "_given", set())
    yield
    sys.modules.pop("own_nets", None)


@pytest.mark.usefixtures("own")
def test_an_own_network_is_built_from_text_and_from_its_record(monkeypatch):
    config = parse_model("own_nets:Net,hidden=16")
    network = make_model(config, SPEC, 3, seed=1)
    assert (network.normalisation, network.inner.body.out_features) == ("none", 16)
    params = Params.from_flat(SPEC, torch.randn(5, SPEC.num_params))
    assert network(params).shape == (5, 3)
    assert not has_features(network)
    assert has_features(make_model(parse_model("mlp"), SPEC, 3, seed=1))
    again = make_model(from_dict(to_dict(config)), SPEC, 3, seed=1)
    assert torch.equal(again(params), network(params))
    monkeypatch.setattr(own_code, "_given", set())
    with pytest.raises(ValueError, match="code of your own, which files do not run"):
        make_model(from_dict(to_dict(config)), SPEC, 3, seed=1)


@pytest.mark.usefixtures("own")
def test_what_is_no_network_is_refused():
    for text, message in [
        ("own_nets:Net,hiden=3", "did you mean hidden"),
        ("own_nets:Net,hidden=x", "needs a whole number"),
        ("own_nets:nothing", "must make an nn.Module; got int"),
        ("mpl:hidden=3", "did you mean mlp"),
    ]:
        with pytest.raises(ValueError, match=message):
            make_model(parse_model(text), SPEC, 3, seed=0)
