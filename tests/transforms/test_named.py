"""A chain of transforms is the same from its text, its short names and its record in a store."""

import json

import pytest

from inrgen.transforms.exact import SirenBias
from inrgen.transforms.geometric import Reflect, Rotate
from inrgen.transforms.named import keeps_function, make_chain, parse_links, read_links
from inrgen.transforms.noisy import GaussianNoise


@pytest.mark.parametrize(
    "text",
    [
        "rotation:bound_deg=20:around=z, gaussian-noise:scale=0.1:chance=0.5",
        "rotation,bound_deg=20,around=z,noise,scale=0.1,chance=0.5",
    ],
)
def test_colons_commas_and_short_names_give_one_chain(text):
    links = parse_links(text)
    assert [link.name for link in links] == ["rotation", "gaussian-noise"]
    assert make_chain(links).transforms == (
        Rotate(bound_deg=20.0, around="z"),
        GaussianNoise(scale=0.1),
    )
    assert make_chain(links).probabilities == (1.0, 0.5)


def test_values_follow_the_types_of_the_fields():
    (bias,) = parse_links("siren-bias:max_phase=2:wrap=true")
    assert bias.transform == SirenBias(max_phase=2, wrap=True)
    assert parse_links("reflection:axes=0/1")[0].transform == Reflect(axes=(0, 1))
    assert parse_links("reflection:axes=none")[0].transform == Reflect()
    assert parse_links("bias", published=True)[0].transform == SirenBias(published=True)


@pytest.mark.parametrize(
    "text", ["rotation,scale:values=keep", "reflection:axes=1", "dropout:rescale=no:chance=0.2"]
)
def test_a_recorded_chain_is_the_same_chain(text):
    links = parse_links(text)
    assert read_links(json.loads(json.dumps([link.to_dict() for link in links]))) == links


@pytest.mark.parametrize("name", ["rotation", "translate"])
def test_a_published_form_of_an_earlier_version_is_read_as_it_was(name):
    (plain,) = parse_links(name)
    recorded = plain.to_dict()
    assert "reversed" not in recorded["fields"], "records of this form stay as they were"
    (published,) = parse_links(name, published=True)
    assert published.to_dict()["fields"]["published"] == 2
    assert read_links([published.to_dict()]) == (published,)
    recorded["fields"]["published"] = True
    (earlier,) = read_links([recorded])
    assert earlier == parse_links(f"{name}:reversed=true")[0]
    assert earlier.to_dict() == recorded


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "augment '' has an empty part"),
        ("rotate", "transform must be one of translate, rotation.*did you mean rotation"),
        ("rotation:bound=3", "rotation: field must be one of bound_deg, .*got 'bound'"),
        ("gaussian-noise:std=0.1", "gaussian-noise: field must be one of scale, chance; got 'std'"),
        ("gaussian-noise:std=0.1:scale=much", "gaussian-noise: field .*got 'std'"),
        ("rotation:30", "transform must be one of .*got '30'"),
        ("rotation,,scale", "empty part"),
        ("rotation:bound_deg=much", "bound_deg needs a finite number; got 'much'"),
        ("siren-bias:wrap=perhaps", "wrap needs true or false; got 'perhaps'"),
        ("rotation:around=up", "around needs any or uniform or x or y or z; got 'up'"),
        ("dropout:chance=0", "dropout: chance must be above 0"),
        ("dropout:probability=2", "probability must lie in"),
    ],
)
def test_a_wrong_chain_is_refused_in_one_sentence(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        parse_links(text)


def test_a_record_of_a_later_version_is_refused():
    (recorded,) = [link.to_dict() for link in parse_links("dropout")]
    recorded["fields"]["later"] = 1
    with pytest.raises(ValueError, match=r"dropout: field must be one of .*got 'later'"):
        read_links([recorded])


def test_only_symmetries_keep_the_function():
    assert keeps_function(parse_links("permutation,negation,siren-bias"))
    assert not keeps_function(parse_links("permutation,rotation"))
