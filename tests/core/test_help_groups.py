"""Help of every command: options under headings, and no word of their texts lost."""

import inspect
import re
from collections.abc import Iterator

import docstring_parser
import pytest

from inrgen.cli import VERBS
from inrgen.core.command_line import parse_config
from inrgen.core.config_fields import nested_configs, walk_configs
from inrgen.core.encoding import Encoding
from inrgen.core.help_groups import option_headings
from pipelines.augmentation_study.__main__ import StudyConfig
from pipelines.bench.__main__ import VERBS as BENCHES

CONFIGS = {verb.name: verb.load(verb.config) for verb in VERBS}
CONFIGS |= {f"bench {verb.name}": verb.load(verb.config) for verb in BENCHES}
CONFIGS["study"] = StudyConfig
# More rows than this are a list that nobody reads to its end.
_MOST_ROWS = 16


def _help(config: type, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as end:
        parse_config(config, "inrgen verb", ["--help"])
    assert end.value.code == 0
    return capsys.readouterr().out


def _options(kind: type) -> set[str]:
    """Fields of a config that are options themselves, and that help does not suppress."""
    hints = inspect.get_annotations(kind)
    return {name for name in hints if "Suppress" not in repr(hints[name])} - {*nested_configs(kind)}


def _boxes(text: str) -> Iterator[list[str]]:
    """The rows of each box, in words alone."""
    for box in text.split("\u256d")[1:]:
        rows = [line for line in box.splitlines() if line.startswith("\u2502")]
        yield [row.strip("\u2502 ") for row in rows]


@pytest.mark.parametrize(("name", "columns"), [*((name, 80) for name in CONFIGS), ("build", 120)])
def test_help_is_grouped_and_loses_no_word(name, columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("tyro._fmtlib._FORCE_UTF8_BOXES", True)
    text = _help(CONFIGS[name], capsys)
    assert max(map(len, text.splitlines())) <= columns
    said = re.sub(r"\s+", "", "".join(" ".join(box) for box in _boxes(text)))
    for kind in set(walk_configs(CONFIGS[name])) - {Encoding}:
        for one in docstring_parser.parse(inspect.getdoc(kind) or "").params:
            if one.arg_name in _options(kind):
                assert re.sub(r"\s+", "", one.description or "") in said, one.arg_name
    for box in _boxes(text):
        assert sum(row.startswith("--") for row in box) <= _MOST_ROWS, box


def test_without_the_private_formatter_help_keeps_all_options(capsys, monkeypatch):
    monkeypatch.setattr("inrgen.core.help_groups._FORMATTER", "tyro.no_such_module")
    text = _help(CONFIGS["build"], capsys)
    assert "source.shape options" in text
    assert "--gpu-share FLOAT" in text


def test_a_heading_names_fields():
    headings = option_headings(CONFIGS["build"])
    assert headings["source.shape.fill"].title == "shape"
    assert headings["num_steps"].title == "fit"
    assert "out" not in headings
