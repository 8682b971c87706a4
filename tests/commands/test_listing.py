"""Each list names everything that its option takes, with a sentence and the true defaults."""

from typing import get_args

import pytest

from inrgen.commands import listing
from inrgen.commands.listing import ListConfig
from inrgen.core.config_text import UnknownName
from inrgen.exchange.conventions import FormatName
from inrgen.fit.build_config import RecipeName
from inrgen.sources.catalog import source_names
from inrgen.training.models.catalog import FAMILIES, parse_model
from inrgen.transforms.named import ALIASES, TRANSFORMS, parse_links


@pytest.mark.parametrize(
    ("list_them", "names"),
    [
        (listing.list_transforms, set(TRANSFORMS)),
        (listing.list_models, set(FAMILIES)),
        (listing.list_sources, set(source_names())),
        (listing.list_recipes, set(get_args(RecipeName))),
        (listing.list_formats, set(get_args(FormatName))),
    ],
)
def test_a_list_is_whole_and_its_defaults_are_read_as_they_are(list_them, names):
    found = list_them(ListConfig())
    assert {entry.name.split(" (")[0] for entry in found.entries} == names
    assert all(entry.about.endswith(".") for entry in found.entries)
    for entry in found.entries:
        text = "".join(f",{key}={value}" for key, value in entry.fields.items())
        if list_them is listing.list_models:
            assert parse_model(entry.name + text) == parse_model(entry.name)
        if list_them is listing.list_transforms:
            assert parse_links(entry.name + text) == parse_links(entry.name)


@pytest.mark.parametrize(("short", "name"), ALIASES.items())
def test_a_short_name_lists_its_transform_and_is_told_there(short, name):
    (entry,) = listing.list_transforms(ListConfig(own=(short,))).entries
    assert entry.name == name
    assert entry.about.endswith(f". Short name: {short}.")


def test_own_ones_are_listed_too():
    own = ListConfig(own=("tests.transforms.test_own:add_noise",))
    last = listing.list_transforms(own).entries[-1]
    assert (last.name, last.fields) == (own.own[0], {"scale": "0.1"})


@pytest.mark.parametrize(
    ("list_them", "wrong", "near"),
    [
        (listing.list_transforms, "rotaton", "rotation"),
        (listing.list_models, "mlpp", "mlp"),
        (listing.list_sources, "digit", "digits"),
        (listing.list_recipes, "publishd", "published"),
        (listing.list_formats, "nfm", "nfn"),
    ],
)
def test_a_name_lists_that_alone_and_an_unknown_one_gives_the_nearest(list_them, wrong, near):
    chosen = list_them(ListConfig(own=(near,))).entries
    assert {entry.name.split(" ")[0] for entry in chosen} == {near}
    with pytest.raises(UnknownName, match=f"got '{wrong}'; did you mean {near}"):
        list_them(ListConfig(own=(wrong,)))
