"""Command lines that tyro refuses, as one sentence each that names the option a user types.

tyro prints a box and names fields of nested configs by their place in the code, such as
config.source. Its hook for rejected input is private, so tyro's own text is kept without it.
"""

import importlib
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from inrgen.core.config_fields import name_options, option_names
from inrgen.core.config_text import suggest

# Python's words for a text that is no number, each with ours.
_NO_NUMBER = {
    r"invalid literal for int\(\) with base 10: (.*)": r"must be a whole number; got \1",
    r"could not convert string to float: (.*)": r"must be a number; got \1",
}
# The one complaint of tyro about options of several values; it quotes a Python list.
_NO_LIST = "Could not find valid parse for arguments: "
# Placeholders in the help, in words.
_WANTED = {
    "STORE": "a folder or URL",
    "PATH": "a path",
    "INT": "a whole number",
    "FLOAT": "a number",
    "STR": "a text",
}


@contextmanager
def errors_as_sentences(config_class: type) -> Iterator[None]:
    """Raise ValueError with a sentence where tyro would print a box and exit."""
    try:
        hooks: Any = importlib.import_module("tyro._errors")
        register = hooks.on_parse_error
    except (ImportError, AttributeError):
        yield
        return

    def refuse(event: Any) -> None:
        describe = _SENTENCES.get(type(event).__name__)
        if describe is not None:
            raise ValueError(describe(event, config_class)) from None

    with register(refuse):
        yield


def _missing(event: Any, config_class: type) -> str:
    # an option that is misspelt is missing, too
    if event.unrecognized_tokens:
        return _unknown(event.unrecognized_tokens, config_class)
    names = [_name(one.arg) for one in event.missing_arguments]
    return f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} needed"


def _unknown(tokens: list[str], config_class: type) -> str:
    first = tokens[0].split("=")[0]
    if not first.startswith("-"):
        return f"there is no argument to take {first!r}"
    known = [name for name in option_names(config_class).values() if name.startswith("--")]
    known += [f"--no-{name.removeprefix('--')}" for name in known if first.startswith("--no-")]
    return f"there is no option {first}{suggest(first, known)}"


def _choice(event: Any, config_class: type) -> str:
    choices = ", ".join(event.choices)
    near = suggest(event.value, list(event.choices))
    return f"{_name(event.argument)} must be one of {choices}; got {event.value!r}{near}"


def _value(event: Any, config_class: type) -> str:
    found = "" if event.offending_value is None else f"; got {event.offending_value!r}"
    wanted = event.argument.lowered.metavar or "no value"
    if wanted.startswith("{"):
        wanted = f"one of {', '.join(wanted.strip('{}').split(','))}"
    return f"{_name(event.argument)} needs {_WANTED.get(wanted, wanted)}{found}"


def _instance(event: Any, config_class: type) -> str:
    said = str(event.message)
    if event.argument is not None:
        if said.startswith(_NO_LIST):
            said = _several(said.removeprefix(_NO_LIST), event.argument.lowered.metavar or "")
        for pattern, ours in _NO_NUMBER.items():
            said = re.sub(pattern, ours, said)
        said = said.removeprefix("it ")
        joint = " " if said.startswith(("must", "cannot")) else ": "
        return f"{_name(event.argument)}{joint}{said}"
    # the place of the config that refused, such as config.mlp, is in tyro's exception alone
    place = getattr(sys.exc_info()[1], "arg", "")
    within = place.partition(".")[2].replace("-", "_") if isinstance(place, str) else ""
    return name_options(said, config_class, within)


def _several(typed: str, metavar: str) -> str:
    """The complaint about an option that takes several values.

    Args:
        typed: the values as a Python list.
        metavar: the option's placeholder, which names the type of a value.
    """
    got = " ".join(re.findall("'([^']*)'", typed))
    for kind, words, example in (("INT", "whole numbers", "32 32"), ("FLOAT", "numbers", "0.1 2")):
        if kind in metavar:
            return f"must be {words} with spaces between them, such as {example}; got {got!r}"
    return f"cannot be read from {got!r}"


def _name(argument: Any) -> str:
    """The option that a user types, or the placeholder of a positional argument."""
    if argument.is_positional():
        return str(argument.lowered.metavar)
    return argument.lowered.name_or_flags[0]


_SENTENCES = {
    "MissingArgs": _missing,
    "UnrecognizedArgs": lambda event, config_class: _unknown(event.tokens, config_class),
    "InvalidChoice": _choice,
    "BadValue": _value,
    "InstantiationFailure": _instance,
}
