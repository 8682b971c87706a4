"""Values of config fields are checked by type, and errors name options where they are typed."""

from pathlib import Path

import pytest

import inrgen
from inrgen.commands.align import AlignConfig
from inrgen.commands.build import BuildConfig
from inrgen.commands.train import TrainCommand
from inrgen.core.config_fields import make_config, name_options


@pytest.mark.parametrize(
    ("config_class", "values", "message"),
    [
        (BuildConfig, {"views": "two"}, "views must be a whole number or None; got 'two'"),
        (BuildConfig, {"views": True}, "views must be a whole number or None; got True"),
        (BuildConfig, {"lr": "0.1"}, "lr must be a number or None; got '0.1'"),
        (BuildConfig, {"hidden": 32}, "hidden must be a list of values, each a whole number"),
        (BuildConfig, {"split": "trian"}, r"got 'trian'; did you mean train\?"),
        (BuildConfig, {"out": 5}, "out must be text or a path; got 5"),
        (BuildConfig, {"start": "s3://b/x"}, "start must be a folder or file on this machine"),
        (BuildConfig, {"num_step": 5}, r"no option num_step; did you mean num_steps\?"),
        (AlignConfig, {"workers": 2.5}, "workers must be a whole number or None; got 2.5"),
        (TrainCommand, {"epochs": None}, "epochs must be a whole number; got None"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(config_class, values, message):
    needed = {"name": "digits"} if config_class is BuildConfig else {"store": "s"}
    with pytest.raises(ValueError, match=message):
        make_config(config_class, {"out": "o", **needed, **values})


def test_text_becomes_a_path_and_a_list_a_tuple():
    config = make_config(BuildConfig, {"name": "digits", "out": "o", "hidden": [8, 8], "limit": 3})
    assert (config.out, config.hidden, config.source.limit) == (Path("o"), (8, 8), 3)
    config = make_config(BuildConfig, {"name": "digits", "out": "s3://bucket/o"})
    assert config.out == "s3://bucket/o"


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("views must be at least 1; got 0", "--views must be at least 1; got 0"),
        ("max_faces and margin must be positive", "--max-faces and --margin must be positive"),
        ("x needs data, the folder", "x needs --data, the folder"),
        ("leave out hidden, omega", "leave out --hidden, --omega"),
        # The same words elsewhere are English, or a part of a name.
        ("the views of item data/views must agree", "the views of item data/views must agree"),
    ],
)
def test_messages_name_options_on_a_command_line(message, shown):
    assert name_options(message, BuildConfig) == shown


def test_a_path_without_a_store_is_one_error_without_another(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*typo$") as found:
        inrgen.open_store(tmp_path / "typo")
    assert found.value.__suppress_context__
