"""A chain as text says what it does, and a noted chain is the same one."""

import json

import pytest

from inrgen.jobs.chain_text import chain_of, keeps_function, links_from, parse_chain
from inrgen.transforms.exact import SirenBias
from inrgen.transforms.geometric import Reflect, Rotate
from inrgen.transforms.noisy import GaussianNoise


def test_a_chain_is_read():
    links = parse_chain("rotation:bound_deg=20:around=z, gaussian-noise:scale=0.1:chance=0.5")
    assert chain_of(links).transforms == (
        Rotate(bound_deg=20.0, around="z"),
        GaussianNoise(scale=0.1),
    )
    assert chain_of(links).probabilities == (1.0, 0.5)
    (bias,) = parse_chain("siren-bias:max_phase=2:wrap=true")
    assert bias.transform == SirenBias(max_phase=2, wrap=True)
    assert parse_chain("reflection:axes=0/1")[0].transform == Reflect(axes=(0, 1))
    assert parse_chain("siren-bias", published=True)[0].transform == SirenBias(published=True)


@pytest.mark.parametrize(
    "text", ["rotation,scale:values=keep", "reflection:axes=1", "dropout:rescale=false:chance=0.2"]
)
def test_what_is_noted_is_the_same_chain(text):
    links = parse_chain(text)
    assert links_from(json.loads(json.dumps([link.to_dict() for link in links]))) == links


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "name must be one of"),
        ("rotate", "name must be one of translate, rotation"),
        ("rotation:bound=3", "rotation has no 'bound'; it takes bound_deg"),
        ("gaussian-noise:std=0.1", "gaussian-noise has no 'std'; it takes scale"),
        ("gaussian-noise:std=0.1:scale=much", "gaussian-noise has no 'std'"),
        ("rotation:30", "needs field=value after ':'; got '30'"),
        ("rotation:bound_deg=much", "must be like 30.0; got 'much'"),
        ("siren-bias:wrap=perhaps", "must be like False; got 'perhaps'"),
        ("dropout:chance=0", "chance of dropout must be over 0"),
        ("dropout:probability=2", "probability must lie in"),
    ],
)
def test_a_wrong_chain_is_a_sentence(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        parse_chain(text)


def test_only_symmetries_keep_the_function():
    assert keeps_function(parse_chain("permutation,siren-negation,siren-bias"))
    assert not keeps_function(parse_chain("permutation,rotation"))
