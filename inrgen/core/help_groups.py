"""Headings in --help, which the HEADINGS of a config class give to its options.

tyro heads options by the config that holds them, so a config of forty fields is one long list. A
HEADINGS table maps each heading to the names of its fields, with spaces between them. A field that
no heading names keeps tyro's.
"""

import importlib
import re
import shutil
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any

from inrgen.core.config_fields import nested_configs

_FORMATTER = "tyro._backends._tyro_help_formatting"
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
# Longer lines of running text are hard to read on a wide terminal.
_MOST_COLUMNS = 100


@dataclass(frozen=True, slots=True)
class _Heading:
    """A heading; about tells whether the sentence of the nested config below it is shown, too."""

    title: str
    about: bool


def option_headings(config_class: type, heading: _Heading | None = None) -> dict[str, _Heading]:
    """The headings of a config's fields by dotted place, in the order in which help shows them.

    Args:
        heading: the heading of fields that the config's own table does not name.
    """
    table = getattr(config_class, "HEADINGS", {})
    titles = {name: title for title, names in table.items() for name in names.split()}
    names = [one.name for one in fields(config_class)]
    unknown = titles.keys() - set(names)
    assert not unknown, f"{config_class.__name__}.HEADINGS names no fields: {unknown}"
    ordered = [*(name for name in names if name not in titles), *titles]
    nested, found = nested_configs(config_class), dict[str, _Heading]()
    for name in ordered:
        own = _Heading(titles[name], name in nested) if name in titles else heading
        if name in nested:
            below = option_headings(nested[name], own if name in titles else None)
            found |= {f"{name}.{place}": one for place, one in below.items()}
        elif own is not None:
            found[name] = own
    return found


@contextmanager
def grouped_help(config_class: type) -> Iterator[None]:
    """Let tyro's --help show the headings of a config; its formatter is private.

    Without that formatter help keeps tyro's own headings.
    """
    try:
        formatting: Any = importlib.import_module(_FORMATTER)
        original = formatting.format_help
    except (ImportError, AttributeError):
        yield
        return
    headings = option_headings(config_class)
    order = list(dict.fromkeys(heading.title for heading in headings.values()))

    def format_grouped(**named: Any) -> Any:
        ranked: list[tuple[int, Any]] = []
        for one in named["args"]:
            place = f"{one.arg.intern_prefix}.{one.arg.field.intern_name}".removeprefix("config.")
            heading = headings.get(place)
            # Fields of nested configs without a heading come last, under tyro's own.
            rank = len(order) if "." in place else -1
            if heading is not None:
                about = one.source_parser.description if heading.about else ""
                group = replace(one.source_parser, extern_prefix=heading.title, description=about)
                one, rank = replace(one, source_parser=group), order.index(heading.title)
            ranked.append((rank, _joined(one)))
        ranked.sort(key=lambda pair: pair[0])
        lines = original(**{**named, "args": [one for _, one in ranked]})
        return [part for line in "\n".join(lines).split("\n") for part in _wrapped(line)]

    formatting.format_help = format_grouped
    try:
        yield
    finally:
        formatting.format_help = original


def _wrapped(line: str) -> list[str]:
    """A line of running text in lines that fit the terminal, which tyro wraps in boxes alone.

    Empty rows of boxes, which the space before a hidden default makes, are left out.
    """
    if line and not _COLOURS.sub("", line).strip("\u2502 "):
        return []
    width = min(shutil.get_terminal_size().columns, _MOST_COLUMNS)
    # Rows of boxes begin with a space, a line or a colour, and are as wide as they shall be.
    is_text = line[:1].isascii() and line[:1].isprintable() and line[:1] != " "
    return textwrap.wrap(line, width) if is_text and line else [line]


def _joined(one: Any) -> Any:
    """An argument with its help as one paragraph: tyro breaks it before "(" and digits."""
    text = one.arg.field.helptext
    text = text() if callable(text) else text
    joined = None if text is None else " ".join(str(text).split())
    return replace(one, arg=replace(one.arg, field=replace(one.arg.field, helptext=joined)))
